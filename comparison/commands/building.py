"""``handbuilt build | describe | export``: hand-built models, and files for other programs."""

from pathlib import Path
from typing import Annotated

import typer

from comparison.commands.shared import (
    app,
    check_picture,
    check_writable,
    console,
    othello_gpt,
    wrote,
)
from handbuilt.network import huggingface
from handbuilt.network.checkpoints import FORMATS, export
from handbuilt.network.layout import LayoutError
from handbuilt.recipes import RECIPES, build


@app.command("build")
def build_command(
    recipe: Annotated[str, typer.Option(help=f"One of: {', '.join(RECIPES)}.")],
    out: Annotated[Path, typer.Option(help="Where to write the safetensors file.")],
) -> None:
    """Compile a recipe into weights and save them."""
    check_writable(out)
    model = build(recipe)
    model.save(out)
    wrote(f"{out}: {model.metadata['description']}")


@app.command("describe")
def describe_command(
    model: Annotated[str, typer.Argument(help="A recipe or the path of a hand-built checkpoint.")],
    place: Annotated[
        str | None,
        typer.Argument(
            help="A direction (0..511), head (3.0), neuron (3.n17), or a name: belief.D3, 3.mine."
        ),
    ] = None,
    layer: Annotated[
        int | None, typer.Option(help="Instead: who reads and writes what in this layer.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="A PNG to draw the layer in, with an example position.")
    ] = None,
) -> None:
    """Say what a direction, head or neuron of a hand-built model is for, or draw a layer."""
    if layer is None:
        if out is not None:
            raise LayoutError("what is drawn is one layer: name it with --layer")
        lines = othello_gpt(model, "it is not hand-built and carries no names").layout.describe(
            place
        )
    else:
        lines = _describe_layer(model, place, layer, out)
    for line in lines:
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def _describe_layer(name: str, place: str | None, layer: int, out: Path | None) -> list[str]:
    """A layer's parts as lines to read, and drawn at ``out``. Raises LayoutError or OSError."""
    from comparison.reporting import anatomy

    if place is not None:
        raise LayoutError("name a place or a layer, not both")
    if out is not None:
        check_picture(out)
    model = othello_gpt(name, "it has no layers to describe")
    parts = anatomy.layer_anatomy(model, layer)
    lines = parts.lines()
    if out is not None:
        values = anatomy.held(model, layer, anatomy.worked_moves())
        anatomy.draw_layer(parts, out, values)
        lines.append(f"wrote {out}")
    return lines


@app.command("export")
def export_command(
    model: Annotated[str, typer.Argument(help="A recipe or a checkpoint's path.")],
    out: Annotated[Path, typer.Option(help="Where to write the file, or huggingface's folder.")],
    form: Annotated[str, typer.Option("--format", help=f"One of: {', '.join(FORMATS)}.")],
) -> None:
    """Write a model for other programs, with the same weights. Every command reads all formats.

    huggingface: a folder for the Hub. It and safetensors keep recipe and layout.

    transformer-lens: a state dict for TransformerLens (normalization_type "LN", act_fn "gelu").

    mingpt: a state dict for the GPT class of Li et al. 2022.
    """
    if form == "huggingface" and out.is_dir():
        huggingface.check_replaceable(out)
    else:
        check_writable(out)
    export(othello_gpt(model, "only an Othello-GPT can be exported"), form, out)
    wrote(out)
