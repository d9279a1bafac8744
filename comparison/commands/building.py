"""``handbuilt build | describe | export``: hand-built models, and files for other programs."""

from pathlib import Path
from typing import Annotated

import typer

from comparison.commands.options import (
    Board,
    Gpt,
    Heads,
    Layers,
    Setup,
    check_writable,
    picture,
    writable,
)
from comparison.commands.shared import command, say, wrote
from extracted_rules.othello.geometry import STANDARD
from handbuilt.network import huggingface
from handbuilt.network.checkpoints import FORMATS, export
from handbuilt.network.layout import LayoutError
from handbuilt.recipes import RECIPES, build


@command("build")
def build_command(
    out: Annotated[Path, writable(help="Where to write the safetensors file.")],
    recipe: Annotated[str, typer.Option(help=f"One of: {', '.join(RECIPES)}.")] = "logic",
    board: Board = None,
    layers: Layers = None,
) -> None:
    """Compile a recipe into weights and save them."""
    model = build(recipe, board=STANDARD if board is None else board, layers=layers)
    model.save(out)
    wrote(f"{out}: {model.metadata['description']}")


@command("describe")
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
        Path | None, picture(help="A PNG to draw the layer in, with an example position.")
    ] = None,
    board: Board = None,
) -> None:
    """Say what a direction, head or neuron of a model with names is for, or draw a layer."""
    from handbuilt.programs import anatomy

    if layer is not None and place is not None:
        raise LayoutError("name a place or a layer, not both")
    if layer is None and out is not None:
        raise LayoutError("what is drawn is one layer: name it with --layer")
    why = "it is not hand-built and carries no names"
    described = Setup(board=board).gpt(model, why)
    if layer is None:
        return say(*described.layout.describe(place))
    parts = anatomy.layer_anatomy(described, layer)
    say(*parts.lines())
    if out is not None:
        anatomy.draw_layer(
            parts,
            out,
            anatomy.values_of(described, layer, anatomy.worked_moves(described.geometry)),
        )
        wrote(out)


@command("export")
def export_command(
    model: Gpt,
    out: Annotated[Path, typer.Option(help="Where to write the file, or huggingface's folder.")],
    form: Annotated[str, typer.Option("--format", help=f"One of: {', '.join(FORMATS)}.")],
    board: Board = None,
    heads: Heads = None,
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
    setup = Setup(board=board, heads=heads)
    export(setup.gpt(model, "only an Othello-GPT can be exported"), form, out)
    wrote(out)
