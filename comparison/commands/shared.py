"""What the groups of commands share: the app, its consoles, common options, progress."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor

from comparison.training.models import UnknownModelError, load_model
from extracted_rules.othello.game import random_games
from extracted_rules.othello.game_files import BadGame, load_games
from handbuilt.network.transformer import OthelloGPT

app = typer.Typer(
    help="Build an Othello-GPT from rules, measure it, and compare it with other models.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
# Piped output is no terminal and has no width of its own: a table should still be whole there.
console = Console(width=None if sys.stdout.isatty() else 170)
notes = Console(stderr=True, markup=False, highlight=False, soft_wrap=True)

Games = Annotated[int, typer.Option(help="Number of random games.", min=1)]
File = Annotated[
    Path | None,
    typer.Option(help="Games to use instead: transcripts one a line, .pgn, or WTHOR .wtb."),
]
Seed = Annotated[int, typer.Option(help="Seed of the random games and of the threshold games.")]
Device = Annotated[str, typer.Option(help="auto, cpu or cuda.")]
SkipBad = Annotated[bool, typer.Option(help="Leave out unreadable and illegal games, and say so.")]


def check_writable(path: Path) -> None:
    """Fail before the work, not after it: raises OSError for a place that cannot be written."""
    if not path.parent.is_dir():
        raise OSError(f"cannot write {path}: {path.parent} is no folder")
    if path.exists() and not path.is_file():
        raise OSError(f"cannot write {path}: it is no ordinary file")
    if not os.access(path.parent, os.W_OK):
        raise OSError(f"cannot write {path}: its folder is not writable")


def check_picture(path: Path) -> None:
    """As :func:`check_writable`, for a picture: raises OSError for a name that is no PNG's, too."""
    check_writable(path)
    if path.suffix != ".png":
        raise OSError(f"cannot write {path}: the picture is a .png")


def make_folder(out: Path) -> None:
    """A folder to write to, and those above it. Raises OSError where there can be none."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"cannot write {out}: {error.strerror}") from None


def wrote(what: Path | str) -> None:
    """Say what was written, as it is called: a name may look like markup, or be long."""
    console.print(f"wrote {what}", highlight=False, markup=False, soft_wrap=True)


@contextmanager
def progress_bars() -> Iterator[Progress]:
    columns = (
        TextColumn("{task.description:>16}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=notes, transient=True) as progress:
        yield progress


def counter(progress: Progress, name: str, total: int) -> Callable[[int], None]:
    """A new bar that the calls of the result advance."""
    task = progress.add_task(escape(name), total=total)
    return lambda n: progress.advance(task, n)


def bench_games(
    games: int, file: Path | None, seed: int, skip_bad: bool, device: torch.device
) -> tuple[list[Tensor], str]:
    """The bench's games and how to call them."""
    if file is None:
        return list(random_games(games, seed, device=device)), f"random, seed {seed}"
    bad: list[BadGame] = []
    try:
        loaded = [t.to(device) for t in load_games(file, on_bad=bad.append if skip_bad else None)]
    finally:
        for game in bad[:10]:
            notes.print(f"left out {game.place}: {game.reason}")
        if bad:
            notes.print(f"{len(bad)} bad games left out of {file}")
    return loaded, file.name


def othello_gpt(name_or_path: str, purpose: str) -> OthelloGPT:
    """A model that is no baseline; ``purpose`` says why none will do. Raises UnknownModelError."""
    model = load_model(name_or_path)
    if not isinstance(model, OthelloGPT):
        raise UnknownModelError(f"{name_or_path} is a baseline: {purpose}")
    return model
