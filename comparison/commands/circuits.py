"""``handbuilt circuits``: what a catalogue says of heads and whole layers."""

from pathlib import Path
from typing import Annotated

import typer

from comparison.commands.options import picture
from comparison.commands.shared import command, console, wrote
from extracted_rules import catalogue


@command("circuits")
def circuits_command(
    paths: Annotated[list[Path], typer.Argument(metavar="CATALOGUE", help="What `extract` wrote.")],
    out: Annotated[
        Path | None, picture(help="A PNG to draw all catalogues' lag kernels in.")
    ] = None,
) -> None:
    """Roles of heads, and what rules explain of layers; lag kernels of several models at once."""
    from extracted_rules.drawing import circuits

    known = [catalogue.read(path) for path in paths]
    for one in known:
        console.print(circuits.head_table(one))
        console.print(circuits.layer_table(one))
    if out is not None:
        circuits.draw_kernels(known, out)
        wrote(out)
