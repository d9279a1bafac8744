"""``handbuilt calibrate | ablate``: the strengths of the rules fitted, and rules left out."""

from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from comparison.commands.shared import (
    Device,
    Games,
    Seed,
    app,
    bench_games,
    check_writable,
    console,
    counter,
    make_folder,
    progress_bars,
    wrote,
)
from comparison.replacing.ablation import ablate, cases
from comparison.scoring.bench import resolve_device
from extracted_rules.files import whole_file
from handbuilt.calibration import CalibrationError, FitSettings, Progress, calibrate, starting_point
from handbuilt.strengths import AXES, FOLDER, dump


@app.command("calibrate")
def calibrate_command(
    out: Annotated[Path, typer.Option(help="Folder for the fit's state and log.")],
    strengths: Annotated[Path, typer.Option(help="Where to write the fitted strengths.")] = FOLDER
    / "calibrated.toml",
    steps: Annotated[int, typer.Option(min=1)] = FitSettings.steps,
    batch: Annotated[int, typer.Option(help="Games a step.", min=1)] = FitSettings.batch,
    rate: Annotated[float, typer.Option(help="Learning rate.", min=0.0)] = FitSettings.rate,
    seed: Annotated[int, typer.Option(help="Seed of the games of the fit.")] = 1,
    tied: Annotated[
        str, typer.Option(help=f"Axes to keep together, by commas; of {', '.join(AXES)}.")
    ] = "",
    resume: Annotated[bool, typer.Option(help="Go on from the folder's state.")] = False,
    device: Device = "auto",
) -> None:
    """Fit the strengths of `calibrated` through the rules' interpreter, on random games."""
    axes = tuple(axis.strip() for axis in tied.split(",") if axis.strip())
    unknown = [axis for axis in axes if axis not in AXES]
    if unknown:
        raise CalibrationError(f"no axis is called {unknown[0]!r}; there is {', '.join(AXES)}")
    plan = FitSettings(steps=steps, batch=batch, rate=rate, seed=seed, tied=axes)
    check_writable(strengths)
    where = resolve_device(device)
    make_folder(out)
    with progress_bars() as progress:
        task = progress.add_task("calibrating", total=steps)

        def report(line: Progress) -> None:
            text = f"loss {line.loss:.2f}, excess {line.excess:.3f}"
            progress.update(task, completed=line.step, description=text)

        fitted = calibrate(plan, starting_point(), out, resume=resume, device=where, report=report)
    numbers = plan.free_scalars(starting_point().axes)
    comment = (
        f"Strengths of the recipe `calibrated`: {numbers:,} numbers fitted on "
        f"{steps * batch:,} random games.\n{plan} on {where.type}"
    )
    with whole_file(strengths) as partial:
        partial.write_text(dump(fitted, comment), encoding="utf-8")
    wrote(strengths)


@app.command("ablate")
def ablate_command(
    rules: Annotated[
        list[str] | None,
        typer.Argument(help="Rules or parts to leave out, one at a time; all by default."),
    ] = None,
    recipe: Annotated[str, typer.Option(help="Recipe to drop them from.")] = "calibrated",
    games: Games = 200,
    seed: Seed = 1,
    device: Device = "auto",
    json: Annotated[Path | None, typer.Option(help="Write the figures here as JSON.")] = None,
) -> None:
    """Drop rules one at a time, recompile, measure: what is each worth?"""
    from comparison.reporting.report import HEADINGS, as_table, cells, write_json

    if json:
        check_writable(json)
    where = resolve_device(device)
    programs = cases(recipe, rules or ())
    bench, source = bench_games(games, None, seed, False, where)
    with progress_bars() as progress:
        bar = partial(counter, progress)
        found = ablate(programs, bench, source, seed, bar, where)
    rows = []
    for one in found:
        _, illegal, f1, _, excess = cells(one.result.overall)
        rows.append([one.rule, one.says, illegal, f1, excess])
    title = f"{recipe} without a rule: {games:,} games ({source}), tau {found[0].result.tau:.2g}"
    _, illegal, f1, _, excess = HEADINGS
    console.print(as_table(title, ("dropped", "that is"), rows, (illegal, f1, excess)))
    if json:
        figures = [{"rule": a.rule, "says": a.says, **a.result.overall.as_dict()} for a in found]
        write_json(figures, json)
