"""``handbuilt evaluate | compare | probe``: any model on games."""

import shlex
import sys
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.progress import Progress
from torch import Tensor, nn

from comparison.commands.shared import (
    Device,
    File,
    Games,
    Seed,
    SkipBad,
    app,
    bench_games,
    check_writable,
    console,
    counter,
    make_folder,
    othello_gpt,
    progress_bars,
    wrote,
)
from comparison.reading.boards import BOARD_GAMES, BoardAccuracy, board_accuracy
from comparison.reading.probes import PROBE_GAMES, fit_probes, probe_accuracy
from comparison.scoring.bench import Result, evaluate, resolve_device
from comparison.scoring.error_sets import write_who_errs
from comparison.scoring.precision import Operands, products_of
from comparison.training.companions import probes, threshold
from comparison.training.models import REFERENCE, UnknownModelError, load_model
from extracted_rules.othello.game import random_games
from handbuilt.network.transformer import OthelloGPT


def measure(
    name: str,
    model: nn.Module,
    games: list[Tensor],
    source: str,
    seed: int,
    progress: Progress,
    keep_errors: bool,
) -> Result:
    """Measure a model at its own threshold: the trained model's came with it, any other's is
    chosen now."""
    tau = threshold(name, model, seed, games[0].device, partial(counter, progress))
    step = counter(progress, name, sum(len(batch) for batch in games))
    return evaluate(name, model, games, tau, source, progress=step, keep_errors=keep_errors)


def boards_of(name: str, model: nn.Module, games: Tensor) -> BoardAccuracy | None:
    """What a model holds of the board, where there is something to read it with."""
    if not isinstance(model, OthelloGPT):
        return None
    if name == REFERENCE:
        read_by = probes(name, model)
        assert read_by is not None
        return probe_accuracy(model, read_by, games)
    return board_accuracy(model, games) if model.is_handbuilt else None


@app.command("evaluate")
def evaluate_command(
    model: Annotated[str, typer.Argument(help="A recipe, a baseline or a checkpoint's path.")],
    games: Games = 1000,
    file: File = None,
    seed: Seed = 1,
    device: Device = "auto",
    skip_bad: SkipBad = False,
    operands: Annotated[
        Operands, typer.Option(help="How operands of matrix products are rounded.")
    ] = Operands.FLOAT32,
    json: Annotated[Path | None, typer.Option(help="Write the figures here as JSON.")] = None,
) -> None:
    """Measure one model, with 95 % intervals and by stratum."""
    from comparison.reporting.report import as_table, group_rows, model_rows, write_json

    if json:
        check_writable(json)
    where = resolve_device(device)
    bench, source = bench_games(games, file, seed, skip_bad, where)
    loaded = load_model(model).to(where)
    with progress_bars() as progress, products_of(operands):
        result = measure(model, loaded, bench, source, seed, progress, keep_errors=False)
    title = f"{model} on {result.games:,} games ({source}), {operands}, tau {result.tau:.2g}"
    console.print(as_table(title, ("model", "positions"), model_rows([result])))
    console.print(as_table("By the ply to predict", ("positions",), group_rows(result, "stage")))
    console.print(
        as_table("By number of legal moves", ("legal",), group_rows(result, "legal moves"))
    )
    if json:
        write_json({**result.as_dict(), "operands": operands}, json)


@app.command("compare")
def compare_command(
    models: Annotated[list[str], typer.Argument(help="Recipes, baselines or checkpoint paths.")],
    games: Games = 2000,
    file: File = None,
    seed: Seed = 1,
    device: Device = "auto",
    skip_bad: SkipBad = False,
    out: Annotated[Path, typer.Option(help="Folder for results, report and figures.")] = Path(
        "out"
    ),
) -> None:
    """Measure several models on the same games; write a table, a report, figures and error sets."""
    from comparison.reporting import examples, figures
    from comparison.reporting.report import (
        all_overlaps,
        as_table,
        board_headings,
        board_rows,
        factor_headings,
        factor_rows,
        model_rows,
        stage_rows,
        write_json,
        write_markdown,
    )

    if len(set(models)) < len(models):
        raise UnknownModelError("a model is named twice; every model is compared once")
    where = resolve_device(device)
    loaded = {name: load_model(name).to(where) for name in models}
    bench, source = bench_games(games, file, seed, skip_bad, where)
    make_folder(out)
    with progress_bars() as progress:
        results = [
            measure(n, m, bench, source, seed, progress, keep_errors=True)
            for n, m in loaded.items()
        ]
    title = f"{results[0].games:,} games ({source})"
    console.print(as_table(title, ("model", "positions"), model_rows(results)))
    title = "By the ply to predict"
    console.print(as_table(title, ("model", "positions"), stage_rows(results)))
    if len(results) > 1:
        title = f"Who errs less? How often the likeliest move is illegal, against {models[0]}"
        headings = factor_headings(results)
        console.print(as_table(title, headings[:1], factor_rows(results), headings[1:]))
    overlaps = all_overlaps(results)
    drawn = [("error_by_ply.png", "Top-1 illegal rate by the ply to predict, 95 % intervals")]
    figures.error_by_ply(results, out / drawn[0][0])
    chosen = examples.draw_example(bench, loaded, results, out / "example.png")
    drawn.append(
        (
            "example.png",
            f"{chosen}. Blue squares are held for legal, dots are legal, a ring is the likeliest "
            "move, a cross where that is illegal",
        )
    )
    if overlaps:
        drawn.append(("error_overlap.png", "Overlap of the models' error sets"))
        figures.error_overlap([r.model for r in results], overlaps, out / drawn[2][0])
    for result, stem in zip(results, file_stems(models), strict=True):
        result.boards = boards_of(result.model, loaded[result.model], bench[0][:BOARD_GAMES])
        if result.boards:
            title = (
                f"{result.model}: whole boards right, read from {result.boards.source} "
                f"({result.boards.games} games)"
            )
            headings = board_headings(result.boards)
            console.print(as_table(title, (), board_rows(result.boards), headings))
            drawn.append((f"boards-{stem}.png", f"{title}, by layer and moves seen"))
            share = result.boards.whole_boards()
            figures.layer_by_ply(share, drawn[-1][1], "share of boards", out / drawn[-1][0])
        model = loaded[result.model]
        if isinstance(model, OthelloGPT) and model.is_handbuilt:
            worked = f"worked-{stem}.png"
            if examples.draw_worked(bench[0], model, out / worked):
                drawn.append((worked, f"{result.model}: one board, layer by layer"))
            guess = f"first-guess-{stem}.png"
            if examples.draw_first_guess(model, out / guess):
                drawn.append((guess, f"{result.model}: what moves say of the discs around them"))
        result.errors.write(out / f"errors-{stem}.csv")
    write_who_errs([(r.model, r.errors) for r in results], out / "who_errs.csv")
    write_json([result.as_dict() for result in results], out / "results.json")
    command = shlex.join(["handbuilt", *sys.argv[1:]])
    write_markdown(results, overlaps, drawn, command, out / "report.md")
    wrote(f"{out}/: report.md, results.json, figures and error sets")


def file_stems(names: list[str]) -> list[str]:
    """A different file name for every model, without folders."""
    stems: list[str] = []
    for name in names:
        stem, number = Path(name).stem, 2
        while stem in stems:
            stem, number = f"{Path(name).stem}-{number}", number + 1
        stems.append(stem)
    return stems


@app.command("probe")
def probe_command(
    model: Annotated[str, typer.Argument(help="A recipe, a checkpoint's path or reference.")],
    out: Annotated[Path, typer.Option(help="Where to write the probes; a PNG goes beside them.")],
    games: Annotated[
        int, typer.Option(help="Random games to fit on, used for nothing else.", min=1)
    ] = PROBE_GAMES,
    seed: Seed = 1,
    device: Device = "auto",
) -> None:
    """Fit linear probes for the board on every layer; say how much of it they find."""
    from comparison.reporting.figures import layer_by_ply
    from comparison.reporting.report import as_table, board_headings, board_rows

    picture = out.with_suffix(".png")
    if picture == out:
        raise OSError(f"cannot write {out}: probes are safetensors, a picture goes beside them")
    for path in (out, picture):
        check_writable(path)
    where = resolve_device(device)
    loaded = othello_gpt(model, "it has no layers to probe").to(where)
    with progress_bars() as progress:
        fitted = fit_probes(loaded, games, seed, counter(progress, "probes", games))
    fitted.save(out)
    bench = next(random_games(BOARD_GAMES, seed, device=where))
    accuracy = probe_accuracy(loaded, fitted, bench)
    title = f"{model}: probes fitted on {games:,} games, measured on {BOARD_GAMES} others"
    console.print(as_table(title, (), board_rows(accuracy), board_headings(accuracy)))
    title = f"{model}: whole boards right, read from linear probes ({BOARD_GAMES} games)"
    layer_by_ply(accuracy.whole_boards(), title, "share of boards", picture)
    wrote(f"{out} and {picture}")
