"""``handbuilt extract | rules``: find the rules in a model, and read what was found."""

import shutil
from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape
from rich.progress import Progress
from rich.table import Table

from comparison.commands.shared import (
    Device,
    app,
    check_picture,
    check_writable,
    console,
    counter,
    make_folder,
    othello_gpt,
    progress_bars,
    wrote,
)
from comparison.reading.probes import PROBE_GAMES, Probes, fingerprint, fit_probes
from comparison.replacing import extraction
from comparison.scoring.bench import resolve_device
from comparison.training import reference
from comparison.training.models import REFERENCE
from extracted_rules import catalogue
from extracted_rules.catalogue import RULES, Neuron
from extracted_rules.othello.notation import square_of
from handbuilt.network.layout import LayoutError
from handbuilt.network.transformer import OthelloGPT

#: Rules in a list, and those drawn in one picture, unless more are asked for.
LISTED = 20


@app.command("extract")
def extract_command(
    model: Annotated[str, typer.Argument(help="A recipe, or any Othello-GPT's checkpoint.")],
    out: Annotated[Path, typer.Option(help="Where to write the catalogue (.jsonl).")],
    probes: Annotated[
        Path | None, typer.Option(help="Probes of the model, as `probe` writes; else fitted first.")
    ] = None,
    games: Annotated[
        int, typer.Option(help="Random games in which rules are found.")
    ] = extraction.FINDING_GAMES,
    checking: Annotated[
        int, typer.Option(help="Other random games on which they are checked.")
    ] = extraction.CHECKING_GAMES,
    seed: Annotated[int, typer.Option(help="Seed of all these games.")] = 1,
    layer: Annotated[int | None, typer.Option(help="Look at this layer only.")] = None,
    control: Annotated[
        bool, typer.Option(help="Look at a model with the same weights in random order instead.")
    ] = False,
    device: Device = "auto",
) -> None:
    """Find the rules that neurons, heads and layers follow. Killed, it goes on where it was."""
    check_writable(out)
    settings = extraction.Settings(games, checking, seed)
    settings.check()
    loaded = othello_gpt(model, "it has no neurons to look at").to(resolve_device(device))
    name = model if "/" not in model else Path(model).stem
    if control:
        loaded, name = extraction.random_control(loaded, seed), f"{name}, weights in random order"
    _check_layer(layer, loaded.shape.n_layers)
    given = Probes.load(probes, loaded) if probes else None
    if given is None and model == REFERENCE and not control:
        given = Probes.load(reference.FOLDER / reference.PROBES, loaded)
    work = out.with_name(f"{out.name}.work")
    make_folder(work)
    layers = None if layer is None else range(layer, layer + 1)
    with progress_bars() as progress:
        read_by = given or _fitted_probes(loaded, work, progress)
        found = extraction.extract(
            loaded,
            name,
            read_by,
            settings,
            work,
            lambda part, total: counter(progress, part, total),
            layers,
        )
    catalogue.write(found, out)
    shutil.rmtree(work)
    console.print(_overview(found))
    wrote(out)


def _check_layer(layer: int | None, layers: int) -> None:
    """Raises LayoutError for a layer that is asked for and not there."""
    if layer is not None and not 0 <= layer < layers:
        raise LayoutError(f"layer {layer} does not exist; there are {layers}")


def _fitted_probes(model: OthelloGPT, work: Path, progress: Progress) -> Probes:
    """Probes of a model that has none, kept in ``work``."""
    # Named by the model, so that another one's are never mistaken for them.
    kept = work / f"probes-{fingerprint(model)[:16]}.safetensors"
    if kept.exists():
        return Probes.load(kept, model)
    probes = fit_probes(model, progress=counter(progress, "probes", PROBE_GAMES))
    probes.save(kept)
    return probes


def _overview(found: catalogue.Catalogue) -> Table:
    """How many neurons of each layer follow which kind of rule."""
    layers, counts = catalogue.census(found.neurons)
    title = escape(found.header.model)
    table = Table("neurons in layer", *(str(layer) for layer in layers), "all", title=title)
    for name, by_layer in counts.items():
        table.add_row(name, *map(str, by_layer), str(sum(by_layer)))
    return table


@app.command("rules")
def rules_command(
    path: Annotated[Path, typer.Argument(metavar="CATALOGUE", help="What `extract` wrote.")],
    neuron: Annotated[
        str | None, typer.Argument(help="Explain this neuron (such as 3.n17) instead.")
    ] = None,
    layer: Annotated[int | None, typer.Option(help="Rules of this layer.")] = None,
    square: Annotated[str | None, typer.Option(help="Rules that name this square.")] = None,
    kind: Annotated[str | None, typer.Option(help=f"One of: {', '.join(RULES)}.")] = None,
    min_f1: Annotated[float, typer.Option(help="F1 on other games, at least.")] = 0.0,
    most: Annotated[int, typer.Option(help="List at most so many.", min=1)] = LISTED,
    out: Annotated[Path | None, typer.Option(help="A PNG to draw the rules in.")] = None,
) -> None:
    """List, filter, explain and draw the rules of a catalogue."""
    if out is not None:
        check_picture(out)
    known = catalogue.read(path)
    _check_layer(layer, known.header.sizes[0])
    if neuron is not None:
        chosen = [known.neuron(neuron)]
        for line in catalogue.words(chosen[0]):
            console.print(line, highlight=False, markup=False, soft_wrap=True)
    else:
        asked = None if square is None else square_of(square)
        matching = catalogue.select(known.neurons, layer, asked, kind, min_f1)
        chosen = matching[:most]
        if layer is None and square is None and kind is None and not min_f1:
            console.print(_overview(known))
        console.print(_listed(chosen, f"{len(matching):,} neurons, the best {len(chosen)}"))
    if out is not None:
        from comparison.reporting import rule_boards

        rule_boards.draw_rules(chosen, f"Rules of {known.header.model}", out)
        wrote(out)


def _listed(neurons: list[Neuron], title: str) -> Table:
    table = Table("neuron", "rule", "active where", "F1", "control", "r2", title=title)
    for n in neurons:
        numbers = (n.f1 if n.other else None, n.control.f1 if n.control else None, n.r2)
        shown = ["" if number is None else f"{number:.3f}" for number in numbers]
        table.add_row(*map(escape, (n.place, n.rule, catalogue.says(n))), *shown)
    return table
