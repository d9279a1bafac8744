"""``handbuilt extract | rules | circuits``: find the rules in a model, read what was found."""

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from comparison.commands.options import (
    CataloguePath,
    Gpt,
    Setup,
    check_layer,
    make_folder,
    picture,
    writable,
)
from comparison.commands.shared import bars, command, say, show, wrote
from comparison.reading.probes import PROBE_GAMES, Probes, fit_probes, kept_probes
from comparison.replacing import extraction
from comparison.training import reference
from comparison.training.models import REFERENCE
from extracted_rules import catalogue
from extracted_rules.catalogue import RULES, Neuron
from extracted_rules.drawing.tables import Table
from extracted_rules.othello.geometry import Geometry
from handbuilt.analysis.controls import in_random_order

#: Rules in a list, and those drawn in one picture, unless more are asked for.
LISTED = 20


@dataclass(frozen=True)
class Sought:
    """Where rules are looked for."""

    games: Annotated[int, typer.Option(help="Random games in which rules are found.")] = (
        extraction.FINDING_GAMES
    )
    checking: Annotated[int, typer.Option(help="Other random games on which they are checked.")] = (
        extraction.CHECKING_GAMES
    )
    layer: Annotated[int | None, typer.Option(help="Look at this layer only.")] = None
    control: Annotated[
        bool, typer.Option(help="Look at a model with the same weights in random order instead.")
    ] = False


@command("extract")
def extract_command(
    model: Gpt,
    out: Annotated[Path, writable(help="Where to write the catalogue (.jsonl).")],
    setup: Setup,
    sought: Sought,
    probes: Annotated[
        Path | None, typer.Option(help="Probes of the model, as `probe` writes; else fitted first.")
    ] = None,
) -> None:
    """Find the rules that neurons, heads and layers follow. Killed, it goes on where it was."""
    settings = extraction.Settings(sought.games, sought.checking, setup.seed)
    settings.check()
    loaded = setup.gpt(model, "it has no neurons to look at")
    name = model if "/" not in model else Path(model).stem
    if sought.control:
        loaded = in_random_order(loaded, setup.seed)
        name = f"{name}, weights in random order"
    check_layer(sought.layer, loaded.shape.n_layers)
    layers = None if sought.layer is None else range(sought.layer, sought.layer + 1)
    given = Probes.load(probes, loaded) if probes else None
    if given is None and model == REFERENCE and not sought.control:
        given = Probes.load(reference.FOLDER / reference.PROBES, loaded)
    work = out.with_name(f"{out.name}.work")
    make_folder(work)
    with bars() as bar:
        read_by = given or kept_probes(
            work, loaded, lambda: fit_probes(loaded, progress=bar("probes", PROBE_GAMES))
        )
        found = extraction.extract(loaded, name, read_by, settings, work, bar, layers)
    catalogue.write(found, out)
    shutil.rmtree(work)
    show(_overview(found), "neurons")
    wrote(out)


def _overview(found: catalogue.Catalogue) -> Table:
    """How many neurons of each layer follow which kind of rule."""
    layers, counts = catalogue.census(found.neurons)
    rows = [[name, *(f"{n:,}" for n in (*row, sum(row)))] for name, row in counts.items()]
    headings = [*map(str, layers), "all"]
    return Table(found.header.model, ("neurons in layer",), headings, rows)


@dataclass(frozen=True)
class Filter:
    """Which rules are listed."""

    layer: Annotated[int | None, typer.Option(help="Rules of this layer.")] = None
    square: Annotated[str | None, typer.Option(help="Rules that name this square.")] = None
    kind: Annotated[str | None, typer.Option(help=f"One of: {', '.join(RULES)}.")] = None
    min_f1: Annotated[float, typer.Option(help="F1 on other games, at least.")] = 0.0
    most: Annotated[int, typer.Option(help="List at most so many.", min=1)] = LISTED


@command("rules")
def rules_command(
    path: CataloguePath,
    asked: Filter,
    neuron: Annotated[
        str | None, typer.Argument(help="Explain this neuron (such as 3.n17) instead.")
    ] = None,
    out: Annotated[Path | None, picture(help="A PNG to draw the rules in.")] = None,
) -> None:
    """List, filter, explain and draw the rules of a catalogue."""
    known = catalogue.read(path)
    check_layer(asked.layer, known.header.sizes[0])
    if neuron is not None:
        chosen = [known.neuron(neuron)]
        say(*catalogue.words(chosen[0], known.geometry))
    else:
        square = None if asked.square is None else known.geometry.square_of(asked.square)
        matching = catalogue.select(known, asked.layer, square, asked.kind, asked.min_f1)
        chosen = matching[: asked.most]
        if asked == Filter(most=asked.most):
            show(_overview(known), "neurons")
        title = f"{len(matching):,} neurons, the best {len(chosen)}"
        show(_listed(chosen, known.geometry, title), "rules")
    if out is not None:
        from extracted_rules.drawing.rules import draw_rules

        draw_rules(chosen, known.geometry, f"Rules of {known.header.model}", out)
        wrote(out)


def _listed(neurons: list[Neuron], geometry: Geometry, title: str) -> Table:
    rows = []
    for n in neurons:
        numbers = (n.f1 if n.other else None, n.control.f1 if n.control else None, n.r2)
        shown = ["" if number is None else f"{number:.3f}" for number in numbers]
        rows.append([n.place, n.rule, catalogue.says(n, geometry), *shown])
    return Table(title, ("neuron", "rule", "active where"), ("F1", "control", "r2"), rows)


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
        show(circuits.head_table(one))
        show(circuits.layer_table(one))
        show(circuits.kernel_table(one))
    if out is not None:
        circuits.draw_kernels(known, out)
        wrote(out)
