"""``handbuilt reproduce``: every figure of README and docs, made again."""

import os
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer

from comparison.commands.shared import command, say, show
from comparison.reproducing import results
from comparison.reproducing.documents import Figures, rewrite
from comparison.reproducing.jobs import TOURNAMENT, Job, JobError, named
from comparison.reproducing.running import Runner
from comparison.reproducing.sources import ROOT
from extracted_rules.drawing.tables import Table

#: As many tournament games as a quick run takes.
FEW_GAMES = ROOT / "tests" / "data" / "tournament-2009.txt"


@command("reproduce")
def reproduce_command(
    names: Annotated[list[str] | None, typer.Argument(help="Jobs; all by default.")] = None,
    listed: Annotated[
        bool, typer.Option("--list", help="Say what there is, and what is out of date.")
    ] = False,
    again: Annotated[bool, typer.Option("--again", help="Also what is up to date.")] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="A fiftieth of everything, to see that it runs.")
    ] = False,
    tournament: Annotated[
        Path | None, typer.Option(help="Tournament games, which are no part of the project.")
    ] = None,
) -> None:
    """Make the figures of README and docs again: those that are out of date. Killed, it goes on.

    Results are kept in results/, and documents written from them.
    """
    jobs = named(names or ())
    elsewhere = {TOURNAMENT: tournament} if tournament else {}
    runner = Runner(elsewhere)
    if listed:
        show(_table(jobs, runner), "jobs")
    elif quick:
        with tempfile.TemporaryDirectory() as work:
            few = {TOURNAMENT: FEW_GAMES, **elsewhere}
            # Small jobs gain little from a second thread: as many jobs as cores, each with one.
            cores = os.cpu_count() or 1
            _run(jobs, Runner(few, work=Path(work), quick=True, threads=1), True, cores)
    else:
        _run(jobs, runner, again)
        for document in rewrite(Figures()):
            say(f"wrote {document}")


def _table(jobs: list[Job], runner: Runner) -> Table:
    """One row a job: what it is, how large, and whether its result is up to date."""
    rows = []
    for job in jobs:
        before = results.read(job.name, runner.results)
        size = ", ".join(f"{number:,} {name}" for name, number in job.numbers().items())
        lacks = runner.lacks(job)
        state = f"needs {lacks[0]}" if lacks else runner.due(job) or "up to date"
        rows.append([job.name, job.says, state, size, f"{before.minutes:g}" if before else ""])
    return Table("Results", ("job", "what it is", "state"), ("size", "minutes"), rows)


def _run(jobs: list[Job], runner: Runner, again: bool, at_once: int = 1) -> None:
    """Run what is due, and all that can be run. Raises JobError at the end for what failed."""
    with ThreadPoolExecutor(at_once) as pool:
        places = [f"{number}/{len(jobs)} {job.name}" for number, job in enumerate(jobs, start=1)]
        fine = pool.map(lambda place, job: _made(place, job, runner, again), places, jobs)
        failed = [job.name for job, made in zip(jobs, fine, strict=True) if not made]
    if failed:
        raise JobError(f"{', '.join(failed)} failed")


def _made(place: str, job: Job, runner: Runner, again: bool) -> bool:
    """Whether all went well with a job."""
    if lacks := runner.lacks(job):
        say(f"{place}: left out, without {lacks[0]}")
    elif again or runner.due(job):
        say(f"{place}: {job.says}")
        try:
            say(f"{place}: done in {runner.run(job).minutes:g} minutes")
        except JobError as error:
            say(f"{place}: {error}")
            return False
    else:
        say(f"{place}: up to date")
    return True
