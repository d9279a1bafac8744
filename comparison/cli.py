"""The command line: ``handbuilt build | evaluate | compare | describe``."""

import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from torch import Tensor, nn

from comparison.bench import (
    CONTEXT,
    THRESHOLD_GAMES,
    MissingDeviceError,
    Result,
    choose_threshold,
    evaluate,
    resolve_device,
)
from comparison.boards import board_accuracy
from comparison.models import UnknownModelError, load_model
from extracted_rules.game import IllegalGameError, random_games, replay
from extracted_rules.game_files import BadGame, GameFileError, load_games
from extracted_rules.notation import NotationError, squares_from_tokens
from handbuilt.recipes import RECIPES, UnknownRecipeError, build
from handbuilt.space import Layout, LayoutError
from handbuilt.transformer import CheckpointError, OthelloGPT

#: What a user can do wrong, as opposed to a defect: reported as one sentence.
USER_ERRORS = (
    CheckpointError,
    GameFileError,
    IllegalGameError,
    LayoutError,
    MissingDeviceError,
    NotationError,
    OSError,
    UnknownModelError,
    UnknownRecipeError,
)

#: Games on which beliefs are compared with boards.
BOARD_GAMES = 200

app = typer.Typer(
    help="Build an Othello-GPT from rules, measure it, and compare it with other models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
# Piped output is no terminal and has no width of its own: a table should still be whole there.
console = Console(width=None if sys.stdout.isatty() else 140)
notes = Console(stderr=True)

Games = Annotated[int, typer.Option(help="Number of random games.", min=1)]
File = Annotated[
    Path | None,
    typer.Option(help="Games to use instead: transcripts one a line, .pgn, or WTHOR .wtb."),
]
Seed = Annotated[int, typer.Option(help="Seed of the random games and of the threshold games.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
SkipBad = Annotated[bool, typer.Option(help="Leave out unreadable and illegal games, and say so.")]


def _check_writable(path: Path) -> None:
    """Fail before the work, not after it: raises OSError for a place that cannot be written."""
    folder = path.parent
    if not folder.is_dir():
        raise OSError(f"cannot write {path}: {folder} is no folder")
    if path.is_dir() or not os.access(folder, os.W_OK):
        raise OSError(f"cannot write {path}: it is a folder or not writable")


@contextmanager
def _progress() -> Iterator[Progress]:
    columns = (
        TextColumn("{task.description:>16}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=notes, transient=True) as progress:
        yield progress


def _bench_games(
    games: int, file: Path | None, seed: int, skip_bad: bool, device: torch.device
) -> tuple[list[Tensor], str]:
    """The bench's games and how to call them."""
    if file is None:
        return list(random_games(games, seed, device=device)), f"random, seed {seed}"
    bad: list[BadGame] = []
    loaded = [t.to(device) for t in load_games(file, on_bad=bad.append if skip_bad else None)]
    for game in bad[:10]:
        notes.print(f"left out {game.place}: {game.reason}", highlight=False)
    if bad:
        notes.print(f"{len(bad)} bad games left out of {file}", highlight=False)
    return loaded, file.name


def _measure(
    name: str, model: nn.Module, games: list[Tensor], source: str, seed: int, progress: Progress
) -> Result:
    device = games[0].device
    total = sum(len(batch) for batch in games)
    task = progress.add_task(name, total=THRESHOLD_GAMES + total)
    step = lambda n: progress.advance(task, n)  # noqa: E731
    tau = choose_threshold(model, seed, device, THRESHOLD_GAMES, progress=step)
    return evaluate(name, model, games, tau, source, progress=step)


@app.command("build")
def build_command(
    recipe: Annotated[str, typer.Option(help=f"One of: {', '.join(RECIPES)}.")],
    out: Annotated[Path, typer.Option(help="Where to write the safetensors file.")],
) -> None:
    """Compile a recipe into weights and save them."""
    _check_writable(out)
    model = build(recipe)
    model.save(out)
    console.print(f"wrote {out}: {model.metadata['description']}", highlight=False)


@app.command("evaluate")
def evaluate_command(
    model: Annotated[str, typer.Argument(help="A recipe, a baseline or a checkpoint's path.")],
    games: Games = 1000,
    file: File = None,
    seed: Seed = 1,
    device: Device = "auto",
    skip_bad: SkipBad = False,
    json: Annotated[Path | None, typer.Option(help="Write the figures here as JSON.")] = None,
) -> None:
    """Measure one model, with 95 % intervals and by stratum."""
    from comparison.report import as_table, group_rows, model_rows, write_json

    if json:
        _check_writable(json)
    where = resolve_device(device)
    bench, source = _bench_games(games, file, seed, skip_bad, where)
    loaded = load_model(model).to(where)
    with _progress() as progress:
        result = _measure(model, loaded, bench, source, seed, progress)
    title = f"{model} on {result.games:,} games ({source}), tau {result.tau:.2g}"
    console.print(as_table(title, ("model", "positions"), model_rows([result])))
    console.print(
        as_table("By number of legal moves", ("legal",), group_rows(result, "legal moves"))
    )
    if json:
        write_json(result.as_dict(), json)


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
    from comparison import figures
    from comparison.report import all_overlaps, as_table, model_rows, write_json, write_markdown

    out.mkdir(parents=True, exist_ok=True)
    where = resolve_device(device)
    bench, source = _bench_games(games, file, seed, skip_bad, where)
    loaded = {name: load_model(name).to(where) for name in models}
    with _progress() as progress:
        results = [_measure(n, m, bench, source, seed, progress) for n, m in loaded.items()]
    console.print(
        as_table(
            f"{results[0].games:,} games ({source})", ("model", "positions"), model_rows(results)
        )
    )
    overlaps = all_overlaps(results)
    drawn = [("error_by_ply.png", "Top-1 illegal rate by the ply to predict, 95 % intervals")]
    figures.error_by_ply(results, out / drawn[0][0])
    drawn.append(("example.png", "An example: blue squares are held for legal, dots are legal"))
    _draw_example(bench[0][:1], loaded, results, out / drawn[1][0])
    if overlaps:
        drawn.append(("error_overlap.png", "Overlap of the models' error sets"))
        figures.error_overlap([r.model for r in results], overlaps, out / drawn[2][0])
    for name, model in loaded.items():
        if isinstance(model, OthelloGPT) and "layout" in model.metadata:
            drawn.append(_draw_beliefs(name, model, bench, out))
    for result in results:
        result.errors.write(out / f"errors-{Path(result.model).stem}.csv")
    write_json([result.as_dict() for result in results], out / "results.json")
    command = " ".join(["handbuilt", *sys.argv[1:]])
    write_markdown(results, overlaps, drawn, command, out / "report.md")
    console.print(f"wrote {out}/: report.md, results.json, figures and error sets", highlight=False)


@torch.inference_mode()
def _draw_example(
    game: Tensor, models: dict[str, nn.Module], results: Iterable[Result], path: Path
) -> None:
    from comparison import figures

    seen = min(30, int((game != 0).sum()) - 1)
    played = replay(game)
    log_odds = []
    for result in results:
        logits = models[result.model](game[:, :CONTEXT].long())[0, seen - 1, 1:].double()
        odds = logits.log_softmax(-1) - torch.tensor(result.tau, dtype=torch.float64).log()
        log_odds.append((result.model, odds.cpu()))
    figures.legality_heat_map(
        played.boards[0, seen].cpu(),
        played.legal[0, seen].cpu(),
        log_odds,
        f"{'Black' if int(played.movers[0, seen]) > 0 else 'White'} to move "
        + figures.caption_of(squares_from_tokens(game[0, :seen])),
        path,
    )


def _draw_beliefs(name: str, model: OthelloGPT, bench: list[Tensor], out: Path) -> tuple[str, str]:
    from comparison import figures

    games = bench[0][:BOARD_GAMES]
    accuracy = board_accuracy(model, [games])
    table = Table(title=f"{name}: boards held true, {len(games)} games", box=SIMPLE_HEAD)
    for heading in ("layer", "discs right %", "whole boards right %"):
        table.add_column(heading, justify="right")
    for layer, (discs, boards) in enumerate(accuracy.by_layer()):
        table.add_row(str(layer), f"{100 * discs:.1f}", f"{100 * boards:.1f}")
    console.print(table)
    file = f"boards-{Path(name).stem}.png"
    title = f"{name}: whole boards right, by layer and moves seen ({len(games)} games)"
    figures.layer_by_ply(accuracy.whole_boards(), title, "share of boards", out / file)
    return file, f"{title}, read from the belief directions"


@app.command("describe")
def describe_command(
    model: Annotated[str, typer.Argument(help="A recipe or the path of a hand-built checkpoint.")],
    place: Annotated[
        str | None,
        typer.Argument(help="A direction (512), head (3.0), neuron (3.n17) or a name (belief.D3)."),
    ] = None,
) -> None:
    """Say what a direction, head or neuron of a hand-built model is for."""
    layout = Layout.of(load_model(model))
    for line in layout.describe(place):
        console.print(line, highlight=False, markup=False, soft_wrap=True)


def main() -> None:
    """Entry point: user errors are one sentence on stderr and exit code 2."""
    try:
        app()
    except USER_ERRORS as error:
        print(f"handbuilt: {error}", file=sys.stderr)
        sys.exit(2)
