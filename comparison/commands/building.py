"""``handbuilt build | describe | export``: hand-built models, and files for other programs."""

from pathlib import Path
from typing import Annotated

import typer

from comparison.commands.shared import app, check_writable, console, othello_gpt
from comparison.trained.checkpoints import FORMATS, export
from comparison.trained.models import load_model
from handbuilt.recipes import RECIPES, build
from handbuilt.space import Layout


@app.command("build")
def build_command(
    recipe: Annotated[str, typer.Option(help=f"One of: {', '.join(RECIPES)}.")],
    out: Annotated[Path, typer.Option(help="Where to write the safetensors file.")],
) -> None:
    """Compile a recipe into weights and save them."""
    check_writable(out)
    model = build(recipe)
    model.save(out)
    console.print(f"wrote {out}: {model.metadata['description']}", highlight=False)


@app.command("describe")
def describe_command(
    model: Annotated[str, typer.Argument(help="A recipe or the path of a hand-built checkpoint.")],
    place: Annotated[
        str | None,
        typer.Argument(
            help="A direction (0..511), head (3.0), neuron (3.n17), or a name: belief.D3, 3.mine."
        ),
    ] = None,
) -> None:
    """Say what a direction, head or neuron of a hand-built model is for."""
    layout = Layout.of(load_model(model))
    for line in layout.describe(place):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


@app.command("export")
def export_command(
    model: Annotated[str, typer.Argument(help="A recipe or a checkpoint's path.")],
    out: Annotated[Path, typer.Option(help="Where to write the file.")],
    form: Annotated[str, typer.Option("--format", help=f"One of: {', '.join(FORMATS)}.")],
) -> None:
    """Write a model for other programs: the same weights; only safetensors keeps recipe and layout.

    transformer-lens: a state dict for HookedTransformer (normalization_type "LN", act_fn "gelu").
    mingpt: a state dict for the GPT class of Li et al. 2022. Every command reads both.
    """
    check_writable(out)
    export(othello_gpt(model, "only an Othello-GPT can be exported"), form, out)
    console.print(f"wrote {out}", highlight=False, markup=False, soft_wrap=True)
