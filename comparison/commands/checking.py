"""``handbuilt check``: the rules of the game as properties of any model."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.markup import escape
from torch import Tensor, nn

from comparison.commands.options import (
    Json,
    Models,
    Recorded,
    Setup,
    check_writable,
    folder,
    make_folder,
)
from comparison.commands.shared import command, progress_bars, say, show, starter, typed, wrote
from comparison.properties import PROPERTIES, PropertyError, Report, board_reader, check
from comparison.properties.beliefs import BeliefProperty
from comparison.properties.checking import EXAMPLES, named
from comparison.properties.known import check_known, read_known, risen
from comparison.properties.subjects import Subject
from comparison.scoring.bench import board_of
from comparison.training.companions import probes, threshold
from extracted_rules.files import write_json


@dataclass(frozen=True)
class Bounds:
    """When a check fails."""

    fail_under: Annotated[
        float | None,
        typer.Option(
            help="Exit with code 1 if any property holds in less than this share of the random "
            "cases (0 to 1).",
            min=0.0,
            max=1.0,
        ),
    ] = None
    against: Annotated[
        Path | None,
        typer.Option(
            help="Exit with code 1 if any rate has surely risen above what this file, an earlier "
            "check's --json, says of the model."
        ),
    ] = None


@command("check")
def check_command(
    models: Models,
    setup: Recorded,
    bounds: Bounds,
    properties: Annotated[
        list[str] | None,
        typer.Option(
            "--property", help=f"Ask only for this one; may be repeated: {', '.join(PROPERTIES)}."
        ),
    ] = None,
    examples: Annotated[
        int, typer.Option(help="Random games, which give the rates, and as many hunted ones.")
    ] = EXAMPLES,
    json: Json = None,
    out: Annotated[
        Path | None, folder(help="A folder for a report and a PNG of each counterexample.")
    ] = None,
) -> None:
    """Put models to the rules of Othello; for each rule broken, find a shortest game that shows it.

    Rates are over random games, the bench of `evaluate` and `compare` at the same seed. Beside them
    stand hunted games: all openings; near misses, games steered to early passes and to wipe-outs,
    all of them edited. With --file as many of its games are asked about, too, and all its pairs of
    positions with the same board.
    """
    asked = [prop.name for prop in named(properties or PROPERTIES)]
    if examples < 1:
        raise PropertyError("at least one example is needed")
    if out:
        make_folder(out)
        check_writable(out / "report.md")
    loaded = setup.load(*models)
    board = board_of(loaded[models[0]])
    known = read_known(bounds.against, board) if bounds.against else None
    if known is not None:
        check_known(known, models)
    played = {}
    if setup.file:
        batches, source = setup.recorded(setup.file, board)
        played[source] = torch.cat(batches)
    checked = [
        _checked(name, model, asked, examples, setup, played) for name, model in loaded.items()
    ]
    reports = [report for report, _ in checked]
    _show(reports, f"{examples:,} random games (seed {setup.seed}) and hunted ones")
    if json:
        write_json([report.as_dict() for report in reports], json)
    if out:
        _write(checked, out)
    said = [sentence for report in reports for sentence in _under(report, bounds.fail_under)]
    if known is not None:
        said += [sentence for report in reports for sentence in risen(report, known)]
    say(*said)
    if said:
        raise typer.Exit(1)


def _checked(
    name: str,
    model: nn.Module,
    asked: Sequence[str],
    examples: int,
    setup: Setup,
    played: Mapping[str, Tensor],
) -> tuple[Report, Subject]:
    """What was found of a model, and the model with what it was asked by."""
    with progress_bars() as progress:
        bars = starter(progress)
        reads = any(isinstance(PROPERTIES[prop], BeliefProperty) for prop in asked)
        reader = board_reader(model, probes(name, model, bars)) if reads else None
        tau = threshold(name, model, setup.seed, setup.where, bars)
        task = progress.add_task(escape(f"{name}: games"), total=None)
        report = check(
            model,
            properties=asked,
            examples=examples,
            seed=setup.seed,
            tau=tau,
            reader=reader,
            played=played,
            progress=lambda done, total: progress.update(task, completed=done, total=total),
        )
    return replace(report, model=name), Subject(model, tau, setup.where, reader)


def _show(reports: Sequence[Report], games: str) -> None:
    """The tables of what was found of models."""
    from comparison.reporting import properties_report as tables

    for report in reports:
        title = f"{report.model}: {games}"
        show(tables.property_table(title, report, tables.LONGEST), f"{report.model}: properties")
    if (beside := tables.beside_table(reports)).rows:
        show(beside, "beside")
    if len(reports) > 1:
        show(tables.together_table(f"Broken %: {games}", reports), "properties")


def _write(checked: Sequence[tuple[Report, Subject]], out: Path) -> None:
    """The report and its pictures."""
    from comparison.reporting.properties_report import draw, sections
    from comparison.reporting.sections import write_report

    pictures = {}
    for number, (report, subject) in enumerate(checked, start=1):
        for name, finding in report.findings.items():
            picture = f"{number}-{name}.png"
            if draw(finding, subject, report.model, out / picture):
                pictures[report.model, name] = picture
    parts = sections([report for report, _ in checked], pictures)
    title = "The rules of the game as properties"
    write_report(title, [f"`{typed()}`"], parts, out / "report.md")
    wrote(out / "report.md")


def _under(report: Report, share: float | None) -> list[str]:
    """A sentence for every property that holds in less than a share of the random cases."""
    return [
        f"{report.model}: {name} holds in {100 * (1 - ratio.value):.2f} % of {int(ratio.y):,} cases"
        for name, finding in report.findings.items()
        if (ratio := finding.overall()).y and share is not None and 1 - ratio.value < share
    ]
