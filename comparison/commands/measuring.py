"""``handbuilt evaluate | compare | probe``: any model on games."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer
from torch import Tensor, nn

from comparison.commands.options import (
    Bench,
    Gpt,
    Json,
    Models,
    Setup,
    check_writable,
    folder,
    make_folder,
    writable,
)
from comparison.commands.shared import bars, command, keep, notes, say, show, typed, wrote
from comparison.reading.board_reader import ProbedReader, board_reader
from comparison.reading.boards import BOARD_GAMES, BoardAccuracy, board_accuracy
from comparison.reading.probes import PROBE_GAMES, fit_probes
from comparison.reporting.sections import Figure, write_report
from comparison.scoring.bench import Bars, Result, board_of, evaluate
from comparison.scoring.census import take_census
from comparison.scoring.error_sets import Overlap, write_who_errs
from comparison.training.companions import probes, threshold
from comparison.training.models import REFERENCE
from extracted_rules.files import write_json
from extracted_rules.othello.all_games import all_games
from extracted_rules.othello.game import random_games
from extracted_rules.othello.geometry import BoardError
from handbuilt.network.precision import Operands, products_of
from handbuilt.network.transformer import OthelloGPT


def measure(
    name: str,
    model: nn.Module,
    games: list[Tensor],
    source: str,
    seed: int,
    bar: Bars,
    keep_errors: bool,
) -> Result:
    """Measure a model at its own threshold: the trained model's came with it, any other's is
    chosen now."""
    tau = threshold(name, model, seed, games[0].device, bar)
    step = bar(name, sum(len(batch) for batch in games))
    return evaluate(name, model, games, tau, source, progress=step, keep_errors=keep_errors)


def boards_of(name: str, model: nn.Module, games: Tensor) -> BoardAccuracy | None:
    """The board decoded from a model, where there is something to read it with."""
    reader = board_reader(model, probes(name, model) if name == REFERENCE else None)
    return board_accuracy(reader, games) if reader is not None else None


@command("evaluate", games=1000)
def evaluate_command(
    model: Annotated[str, typer.Argument(help="A recipe, a baseline or a checkpoint's path.")],
    bench: Bench,
    operands: Annotated[
        Operands,
        typer.Option(metavar="TYPE", help=f"Round operands of products: {', '.join(Operands)}."),
    ] = Operands.FLOAT32,
    json: Json = None,
    every: Annotated[
        bool,
        typer.Option("--all", help="On every game there is, each position once: 4 x 4 alone."),
    ] = False,
) -> None:
    """Measure one model, with 95 % intervals and by stratum; or count where it errs in all games
    of 4 x 4."""
    from comparison.reporting.report import group_table, models_table

    loaded = bench.load(model)[model]
    if every:
        return _count_all(model, loaded, bench, operands, json)
    games, source = bench.played(board_of(loaded))
    with bars() as bar, products_of(operands):
        result = measure(model, loaded, games, source, bench.seed, bar, keep_errors=False)
    title = f"{model} on {result.games:,} games ({source}), {operands}, tau {result.tau:.2g}"
    show(models_table(title, [result]), "models")
    show(group_table(result, "stage", "By the ply to predict"))
    show(group_table(result, "legal moves", "By number of legal moves"))
    if json:
        write_json({**result.as_dict(), "operands": operands}, json)


def _count_all(
    name: str, model: nn.Module, bench: Bench, operands: Operands, json: Path | None
) -> None:
    """A census in place of a sample. Raises BoardError for another board than 4 x 4."""
    if bench.file is not None:
        raise BoardError("all games are run through, or those of a file, not both")
    number = len(all_games(board_of(model)))
    with bars() as bar, products_of(operands):
        tau = threshold(name, model, bench.seed, bench.where, bar)
        found = take_census(name, model, tau, bar(name, number), device=bench.where)
    for key, table in found.tables().items():
        show(table, key)
    if json:
        write_json({**asdict(found), "operands": operands}, json)


@command("compare", games=300)
def compare_command(
    models: Models,
    bench: Bench,
    out: Annotated[Path, folder(help="Folder for results, report and figures.")] = Path("out"),
    json: Json = None,
) -> None:
    """Measure several models on the same games; write a table, a report, figures and error sets."""
    from comparison.reporting.report import all_overlaps, in_a_line, sections

    loaded = bench.load(*models)
    games, source = bench.played(board_of(loaded[models[0]]))
    make_folder(out)
    results = []
    for name, model in loaded.items():
        with bars() as bar:
            results.append(measure(name, model, games, source, bench.seed, bar, keep_errors=True))
        say(in_a_line(results[-1]))
    _show(results)
    notes.print("figures and the boards decoded from the models follow ...")
    overlaps = all_overlaps(results)
    drawn = _drawn_together(results, overlaps, loaded, games, out)
    for result, stem in zip(results, file_stems(models), strict=True):
        model = loaded[result.model]
        result.boards = boards_of(result.model, model, games[0][:BOARD_GAMES])
        drawn += _drawn_alone(result, model, stem, games[0], out)
        result.errors.write(out / f"errors-{stem}.csv")
    write_who_errs({r.model: r.errors for r in results}, out / "who_errs.csv")
    for path in (out / "results.json", *([json] if json else [])):
        write_json([result.as_dict() for result in results], path)
    parts = sections(results, overlaps, drawn)
    write_report("Comparison", [f"`{typed()}`"], parts, out / "report.md")
    wrote(f"{out}/: report.md, results.json, figures and error sets")


def _show(results: Sequence[Result]) -> None:
    """The tables of a comparison."""
    from comparison.reporting.report import (
        factors_table,
        models_table,
        stages_table,
        thresholds_table,
    )

    title = f"{results[0].games:,} games ({results[0].source})"
    show(models_table(title, results), "models")
    keep(thresholds_table(results), "thresholds")
    show(stages_table(results), "stages")
    if len(results) > 1:
        show(factors_table(results), "factors")


def _drawn_together(
    results: Sequence[Result],
    overlaps: dict[tuple[str, str], list[Overlap]],
    loaded: dict[str, nn.Module],
    games: list[Tensor],
    out: Path,
) -> list[Figure]:
    """Figures with all models in them."""
    from comparison.reporting import examples, figures

    figures.error_by_ply(results, out / "error_by_ply.png")
    chosen = examples.draw_example(games, loaded, results, out / "example.png")
    drawn = [
        Figure("error_by_ply.png", "Top-1 illegal rate by the ply to predict, 95 % intervals"),
        Figure(
            "example.png",
            f"{chosen}. Blue squares are predicted, dots are legal, a ring is the likeliest "
            "move, a cross where that is illegal",
        ),
    ]
    if overlaps:
        drawn.append(Figure("error_overlap.png", "Overlap of the models' error sets"))
        figures.error_overlap([r.model for r in results], overlaps, out / drawn[-1].file)
    return drawn


def _drawn_alone(
    result: Result, model: nn.Module, stem: str, games: Tensor, out: Path
) -> list[Figure]:
    """Figures of one model: the boards decoded from it and, of a hand-built one, a worked
    example."""
    from comparison.reporting import examples
    from comparison.reporting.report import boards_table
    from extracted_rules.drawing.positions import layer_by_ply

    drawn = []
    if boards := result.boards:
        title = (
            f"{result.model}: whole boards right, read from {boards.source} ({boards.games} games)"
        )
        keep(boards_table(title, boards), f"{result.model}: boards")
        figure = Figure(f"boards-{stem}.png", f"{title}, by layer and moves seen")
        layer_by_ply(boards.whole_boards(), figure.caption, "share of boards", out / figure.file)
        drawn.append(figure)
    if isinstance(model, OthelloGPT) and model.is_handbuilt:
        worked, guess = f"worked-{stem}.png", f"first-guess-{stem}.png"
        if examples.draw_worked(games, model, out / worked):
            drawn.append(Figure(worked, f"{result.model}: one board, layer by layer"))
        if examples.draw_first_guess(model, out / guess):
            drawn.append(Figure(guess, f"{result.model}: what moves say of the discs around them"))
    return drawn


def file_stems(names: list[str]) -> list[str]:
    """A different file name for every model, without folders."""
    stems: list[str] = []
    for name in names:
        stem, number = Path(name).stem, 2
        while stem in stems:
            stem, number = f"{Path(name).stem}-{number}", number + 1
        stems.append(stem)
    return stems


@command("probe")
def probe_command(
    model: Gpt,
    out: Annotated[Path, writable(help="Where to write the probes; a PNG goes beside them.")],
    setup: Setup,
    games: Annotated[
        int, typer.Option(help="Random games to fit on, used for nothing else.", min=1)
    ] = PROBE_GAMES,
) -> None:
    """Fit linear probes for the board on every layer; say how much of it they find."""
    from comparison.reporting.report import boards_table
    from extracted_rules.drawing.positions import layer_by_ply

    picture = out.with_suffix(".png")
    if picture == out:
        raise OSError(f"cannot write {out}: probes are safetensors, a picture goes beside them")
    check_writable(picture)
    loaded = setup.gpt(model, "it has no layers to probe")
    with bars() as bar:
        fitted = fit_probes(loaded, games, setup.seed, bar("probes", games))
    fitted.save(out)
    board = loaded.geometry.size
    bench = next(random_games(BOARD_GAMES, setup.seed, board=board, device=setup.where))
    accuracy = board_accuracy(ProbedReader(loaded, fitted), bench)
    title = f"{model}: probes fitted on {games:,} games, measured on {BOARD_GAMES} others"
    show(boards_table(title, accuracy), "boards")
    title = f"{model}: whole boards right, read from linear probes ({BOARD_GAMES} games)"
    layer_by_ply(accuracy.whole_boards(), title, "share of boards", picture)
    wrote(f"{out} and {picture}")
