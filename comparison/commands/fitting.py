"""``handbuilt calibrate | ablate``: the strengths of the rules fitted, and rules left out."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from comparison.commands.options import Bench, Json, Layers, Setup, make_folder, writable
from comparison.commands.shared import bars, command, progress_bars, show, wrote
from comparison.replacing.ablation import ablate, cases
from comparison.training.models import program_of
from extracted_rules.files import write_json, write_text
from handbuilt.calibration import CalibrationError, FitSettings, Progress, calibrate, starting_point
from handbuilt.strengths import AXES, FITTED, dump, strengths_of


@dataclass(frozen=True)
class Fit:
    """How strengths are fitted."""

    steps: Annotated[int, typer.Option(help="Steps of the fit.", min=1)] = FitSettings.steps
    batch: Annotated[int, typer.Option(help="Games a step.", min=1)] = FitSettings.batch
    rate: Annotated[float, typer.Option(help="Learning rate.", min=0.0)] = FitSettings.rate
    tied: Annotated[
        str, typer.Option(help=f"Axes to keep together, by commas; of {', '.join(AXES)}.")
    ] = ""

    def plan(self, seed: int) -> FitSettings:
        """Raises CalibrationError."""
        axes = tuple(axis.strip() for axis in self.tied.split(",") if axis.strip())
        unknown = [axis for axis in axes if axis not in AXES]
        if unknown:
            raise CalibrationError(f"no axis is called {unknown[0]!r}; there is {', '.join(AXES)}")
        return FitSettings(steps=self.steps, batch=self.batch, rate=self.rate, seed=seed, tied=axes)


@command("calibrate")
def calibrate_command(
    out: Annotated[Path, typer.Option(help="Folder for the fit's state, log and strengths.")],
    fit: Fit,
    setup: Setup,
    layers: Layers = None,
    strengths: Annotated[
        Path | None, writable(help=f"Where to write the strengths, if not to {FITTED} in --out.")
    ] = None,
    begin: Annotated[
        Path | None, typer.Option(help="A fit's folder or strengths to begin with, not `logic`'s.")
    ] = None,
    resume: Annotated[bool, typer.Option(help="Go on from the folder's state.")] = False,
) -> None:
    """Fit the strengths of `calibrated` on random games; `adopt` makes them the project's own."""
    plan, where = fit.plan(setup.seed), setup.where
    start = (
        strengths_of(begin, "logic", setup.side, layers)
        if begin
        else starting_point(setup.side, layers)
    )
    make_folder(out)
    with progress_bars() as progress:
        task = progress.add_task("calibrating", total=plan.steps)

        def report(line: Progress) -> None:
            text = f"loss {line.loss:.2f}, excess {line.excess:.3f}"
            progress.update(task, completed=line.step, description=text)

        fitted = calibrate(plan, start, out, resume=resume, device=where, report=report)
    numbers = plan.free_scalars(start.axes)
    comment = (
        f"Strengths of the recipe `calibrated`: {numbers:,} numbers fitted on "
        f"{plan.steps * plan.batch:,} random games{f', begun with {begin}' if begin else ''}.\n"
        f"{plan} on {where.type}"
    )
    place = strengths or out / FITTED
    write_text(dump(fitted, comment), place)
    wrote(place)


@command("ablate", games=200)
def ablate_command(
    bench: Bench,
    rules: Annotated[
        list[str] | None,
        typer.Argument(help="Rules or parts to leave out, one at a time; all by default."),
    ] = None,
    recipe: Annotated[
        str, typer.Option(help="Recipe to drop them from, or extracted.")
    ] = "calibrated",
    json: Json = None,
) -> None:
    """Drop rules one at a time, recompile, measure: what is each worth?"""
    from comparison.reporting.report import ablations_table

    programs = cases(program_of(recipe, bench.side), rules or ())
    games, source = bench.played(bench.side)
    with bars() as bar:
        found = ablate(programs, games, source, bench.seed, bar, bench.where)
    result = found[0].result
    title = f"{recipe} without a rule: {result.games:,} games ({source}), tau {result.tau:.2g}"
    show(ablations_table(title, found), "ablations")
    if json:
        figures = [{"rule": a.rule, "says": a.says, **a.result.overall.as_dict()} for a in found]
        write_json(figures, json)
