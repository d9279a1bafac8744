"""``handbuilt check``: the rules of the game as properties of any model."""

import shlex
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.markup import escape
from rich.progress import Progress, TaskID

from comparison.commands.shared import (
    Device,
    File,
    SkipBad,
    app,
    bench_games,
    check_writable,
    console,
    counter,
    make_folder,
    progress_bars,
    wrote,
)
from comparison.properties import PROPERTIES, PropertyError, Report, board_reader, check
from comparison.properties.beliefs import BeliefProperty
from comparison.properties.checking import EXAMPLES, named
from comparison.properties.known import check_known, read_known, risen
from comparison.properties.subjects import Subject
from comparison.scoring.bench import resolve_device
from comparison.training.companions import probes, threshold
from comparison.training.models import UnknownModelError, load_model


def _advance(progress: Progress, task: TaskID, done: int, total: int) -> None:
    progress.update(task, completed=done, total=total)


@app.command("check")
def check_command(
    models: Annotated[list[str], typer.Argument(help="Recipes, baselines or checkpoint paths.")],
    properties: Annotated[
        list[str] | None,
        typer.Option(
            "--property", help=f"Ask only for this one; may be repeated: {', '.join(PROPERTIES)}."
        ),
    ] = None,
    examples: Annotated[
        int, typer.Option(help="Random games, which give the rates, and as many hunted ones.")
    ] = EXAMPLES,
    file: File = None,
    seed: Annotated[int, typer.Option(help="Seed of all games.")] = 1,
    device: Device = "auto",
    skip_bad: SkipBad = False,
    json: Annotated[Path | None, typer.Option(help="Write all that was found as JSON.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="A folder for a report and a PNG of each counterexample.")
    ] = None,
    fail_under: Annotated[
        float | None,
        typer.Option(
            help="Exit with code 1 if any property holds in less than this share of the random "
            "cases (0 to 1).",
            min=0.0,
            max=1.0,
        ),
    ] = None,
    against: Annotated[
        Path | None,
        typer.Option(
            help="Exit with code 1 if any rate has surely risen above what this file, an earlier "
            "check's --json, says of the model."
        ),
    ] = None,
) -> None:
    """Put models to the rules of Othello; for each rule broken, find a shortest game that shows it.

    Rates are over random games, the bench of `evaluate` and `compare` at the same seed. Beside them
    stand hunted games: all openings; near misses, games steered to early passes and to wipe-outs,
    all of them edited. With --file as many of its games are asked about, too, and all its pairs of
    positions with the same board.
    """
    from comparison.reporting.properties_report import ALSO_HEADINGS, HEADINGS, also_rows, rows
    from comparison.reporting.report import as_table, write_json

    asked = [prop.name for prop in named(properties or PROPERTIES)]
    if examples < 1:
        raise PropertyError("at least one example is needed")
    if len(set(models)) < len(models):
        raise UnknownModelError("a model is named twice; every model is checked once")
    if json:
        check_writable(json)
    if out:
        make_folder(out)
        check_writable(out / "report.md")
    known = read_known(against) if against else None
    if known is not None:
        check_known(known, models)
    where = resolve_device(device)
    loaded = {name: load_model(name).to(where) for name in models}
    played = {}
    if file:
        batches, source = bench_games(0, file, seed, skip_bad, where)
        played[source] = torch.cat(batches)
    reports, subjects = [], []
    with progress_bars() as progress:
        for name, model in loaded.items():
            reads = any(isinstance(PROPERTIES[prop], BeliefProperty) for prop in asked)
            bars = partial(counter, progress)
            reader = board_reader(model, probes(name, model, bars)) if reads else None
            tau = threshold(name, model, seed, where, bars)
            task = progress.add_task(escape(f"{name}: games"), total=None)
            found = check(
                model,
                name=name,
                properties=asked,
                examples=examples,
                seed=seed,
                tau=tau,
                reader=reader,
                played=played,
                progress=partial(_advance, progress, task),
            )
            reports.append(found)
            subjects.append(Subject(model, tau, where, reader))
    for report in reports:
        title = f"{report.model}: {examples:,} random games (seed {seed}) and hunted ones"
        console.print(as_table(title, HEADINGS[:2], rows(report), HEADINGS[2:]))
        if also := also_rows(report):
            console.print(as_table("", ALSO_HEADINGS[:2], also, ALSO_HEADINGS[2:]))
    if json:
        write_json([report.as_dict() for report in reports], json)
    if out:
        _write(reports, subjects, out)
    said = [sentence for report in reports for sentence in _under(report, fail_under)]
    if known is not None:
        said += [sentence for report in reports for sentence in risen(report, known)]
    for sentence in said:
        console.print(sentence, highlight=False, markup=False, soft_wrap=True)
    if said:
        raise typer.Exit(1)


def _write(reports: list[Report], subjects: list[Subject], out: Path) -> None:
    """The report and its pictures."""
    from comparison.reporting.properties_report import draw, write_report

    pictures = {}
    for number, (report, subject) in enumerate(zip(reports, subjects, strict=True)):
        for name, finding in report.findings.items():
            picture = f"{number + 1}-{name}.png"
            if draw(finding, subject, report.model, out / picture):
                pictures[report.model, name] = picture
    command = f"handbuilt {shlex.join(sys.argv[1:])}"
    write_report(reports, pictures, command, out / "report.md")
    wrote(out / "report.md")


def _under(report: Report, share: float | None) -> list[str]:
    """A sentence for every property that holds in less than a share of the random cases."""
    return [
        f"{report.model}: {name} holds in {100 * (1 - ratio.value):.2f} % of {int(ratio.y):,} cases"
        for name, finding in report.findings.items()
        if (ratio := finding.overall()).y and share is not None and 1 - ratio.value < share
    ]
