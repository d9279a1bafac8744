"""``handbuilt adopt``: what was made elsewhere becomes the project's own."""

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from comparison.commands.measuring import measure
from comparison.commands.options import Bench, check_writable
from comparison.commands.shared import bars, command, say, show, wrote
from comparison.reading.board_reader import ProbedReader
from comparison.reading.boards import BOARD_GAMES, board_accuracy
from comparison.reading.probes import PROBE_GAMES, fit_probes
from comparison.scoring.bench import THRESHOLD_GAMES, choose_threshold, evaluate
from comparison.training import reference
from comparison.training.history import Past, Run, Told, in_place
from comparison.training.models import REFERENCE
from extracted_rules.othello.geometry import BoardError, Geometry
from handbuilt import build
from handbuilt.strengths import FOLDER, holds_strengths, keep_threshold, put_strengths, strengths_of

#: The recipe that fitted strengths are for, and the seed of the games for a threshold that is kept.
CALIBRATED, THRESHOLD_SEED = "calibrated", 1


@command("adopt")
def adopt_command(
    made: Annotated[Path, typer.Argument(help="A run's or a fit's folder, weights or strengths.")],
    bench: Bench,
    told: Told,
    log: Annotated[Path | None, typer.Option(help="The run's log, if not beside it.")] = None,
    trained_by: Annotated[
        str | None,
        typer.Option(help="The `handbuilt train ...` of weights that do not say it themselves."),
    ] = None,
    probe_games: Annotated[int, typer.Option(help="Games to fit probes on.", min=1)] = PROBE_GAMES,
) -> None:
    """Make a trained model the project's own, `reference`: measure, probe and describe it, on
    random games and on those of --file as well. Or make fitted strengths those of `calibrated`.
    """
    if holds_strengths(made):
        _adopt_strengths(made, bench)
    else:
        _adopt_run(Run.read(made, bench.board, log, trained_by), bench, told, probe_games)


def _adopt_strengths(made: Path, bench: Bench) -> None:
    """Put strengths and their threshold in place of those of `calibrated`, and show both."""
    from comparison.reporting.report import models_table

    check_writable(FOLDER / f"{CALIBRATED}.toml")
    strengths = strengths_of(made, CALIBRATED)
    if bench.side != strengths.geometry.size:
        raise BoardError(
            f"{CALIBRATED} is kept for a board of {strengths.geometry}, not of "
            f"{Geometry(bench.side)}"
        )
    models = {"before": build(CALIBRATED), "now": build(strengths)}
    before, now = (model.to(bench.where).fingerprint() for model in models.values())
    games, source = bench.played(strengths.geometry.size)
    with bars() as bar:
        found = [
            measure(name, model, games, source, THRESHOLD_SEED, bar, keep_errors=False)
            for name, model in models.items()
        ]
    show(models_table(f"{CALIBRATED}: {found[0].games:,} games ({source})", found), "models")
    is_now, was = put_strengths(made, CALIBRATED)
    keep_threshold(CALIBRATED, now, found[1].tau)
    wrote(f"strengths of weights {now[:12]}: {is_now}")
    say(f"they replace those of weights {before[:12]}: {was}")


def _adopt_run(run: Run, bench: Bench, told: Told, probe_games: int) -> None:
    """Measure a run's model, fit its probes, and put all of it in place of the model there."""
    from comparison.training.adoption import write_reference

    check_writable(reference.FOLDER.with_suffix(".partial"))
    past, there = Past.of(run, reference.FOLDER), in_place(reference.FOLDER)
    seed, model = bench.seed, run.model.to(bench.where)
    board = model.geometry.size
    benches = [(f"--games {bench.games} --seed {seed}", *replace(bench, file=None).played(board))]
    if bench.file:
        options = shlex.join(["--file", bench.file.name]) + " --skip-bad" * bench.skip_bad
        benches.append((options, *bench.played(board)))
    with bars() as bar:
        step = bar("threshold", THRESHOLD_GAMES)
        tau = choose_threshold(model, seed, bench.where, THRESHOLD_GAMES, progress=step)
        measured = []
        for options, games, source in benches:
            step = bar(source, sum(map(len, games)))
            result = evaluate(
                REFERENCE, model, games, tau, source, progress=step, keep_errors=False
            )
            typed = f"handbuilt evaluate {REFERENCE} {options} --device {bench.where.type}"
            measured.append((typed, result))
        probes = fit_probes(model, probe_games, seed, bar("probes", probe_games))
        boards = board_accuracy(ProbedReader(model, probes), benches[0][1][0][:BOARD_GAMES])
    write_reference(reference.FOLDER, run, past, told, measured, probes, boards)
    wrote(f"{reference.FOLDER}: evaluate, compare and probe know this model as {REFERENCE}")
    if there:
        say(f"it replaces {there}")
