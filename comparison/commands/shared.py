"""What the groups of commands share: the app, options that several take, consoles, progress.

A command's options are grouped in frozen dataclasses, each field an option; :func:`command` makes
the flat signature of them that typer reads.
"""

import os
import shlex
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import MISSING, dataclass, fields, is_dataclass
from functools import partial, wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_type_hints

import torch
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import Tensor, nn

from comparison.scoring.bench import Bars, resolve_device
from comparison.training.models import as_gpt, load_models
from extracted_rules.othello.game import random_games
from extracted_rules.othello.game_files import BadGame, load_games
from extracted_rules.othello.geometry import STANDARD
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

Command = TypeVar("Command", bound=Callable[..., None])


def command(name: str, group: typer.Typer = app, **defaults: Any) -> Callable[[Command], Command]:
    """Registers a function as a command of a group.

    A parameter whose type is a dataclass stands for the options that its fields are. ``defaults``:
    those of fields, where this command has others.
    """

    def register(work: Command) -> Command:
        options: list[Parameter] = []
        grouped: dict[str, type] = {}
        types = get_type_hints(work, include_extras=True)
        for parameter in signature(work).parameters.values():
            kind = types[parameter.name]
            if is_dataclass(kind) and isinstance(kind, type):
                grouped[parameter.name] = kind
                options += _options(kind, defaults)
            else:
                options.append(parameter.replace(annotation=kind, kind=Parameter.KEYWORD_ONLY))

        @wraps(work)
        def run(**given: Any) -> None:
            for parameter, kind in grouped.items():
                given[parameter] = kind(**{f.name: given.pop(f.name) for f in fields(kind)})
            work(**given)

        run.__signature__ = Signature(options)  # type: ignore[attr-defined]
        group.command(name)(run)
        return work

    return register


def _options(kind: type, defaults: dict[str, Any]) -> Iterator[Parameter]:
    """The fields of a dataclass as parameters of a function."""
    types = get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        default = defaults.get(field.name, field.default)
        yield Parameter(
            field.name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if default is MISSING else default,
            annotation=types[field.name],
        )


# ------------------------------------------------------------------ places to write to


def check_writable(path: Path) -> None:
    """Fail before the work, not after it: raises OSError for a place that cannot be written."""
    if not path.parent.is_dir():
        raise OSError(f"cannot write {path}: {path.parent} is no folder")
    if path.exists() and not path.is_file():
        raise OSError(f"cannot write {path}: it is no ordinary file")
    if not os.access(path.parent, os.W_OK):
        raise OSError(f"cannot write {path}: its folder is not writable")


def _writable(path: Path | None) -> Path | None:
    if path is not None:
        check_writable(path)
    return path


def _picture(path: Path | None) -> Path | None:
    if path is not None:
        check_writable(path)
        if path.suffix != ".png":
            raise OSError(f"cannot write {path}: the picture is a .png")
    return path


def make_folder(out: Path) -> None:
    """A folder to write to, and those above it. Raises OSError where there can be none."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"cannot write {out}: {error.strerror}") from None


# ------------------------------------------------------------------ options

#: Options that name a file: it is looked at before any work is done.
writable = partial(typer.Option, callback=_writable)
picture = partial(typer.Option, callback=_picture)

Models = Annotated[list[str], typer.Argument(help="Recipes, baselines or checkpoint paths.")]
Gpt = Annotated[str, typer.Argument(help="A recipe, or any Othello-GPT's checkpoint.")]
CataloguePath = Annotated[Path, typer.Argument(metavar="CATALOGUE", help="What `extract` wrote.")]
Json = Annotated[Path | None, writable(help="Write all that was found here as JSON.")]
Seed = Annotated[int, typer.Option(help="Seed of all random games.")]
Board = Annotated[
    int | None,
    typer.Option(
        help="Squares a side: 4, 6 or 8. By default the models' own; recipes and baselines are "
        "made for 8."
    ),
]


@dataclass(frozen=True)
class Setup:
    """What is the same for all that a command does: the random games' seed, the board, where."""

    seed: Seed = 1
    board: Board = None
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto"

    @property
    def where(self) -> torch.device:
        """Raises MissingDeviceError."""
        return resolve_device(self.device)

    @property
    def side(self) -> int:
        """Squares a side of what no model's file decides."""
        return STANDARD if self.board is None else self.board

    def load(self, *names: str) -> dict[str, nn.Module]:
        """Different models by name, all of one board. Raises UnknownModelError, CheckpointError
        and BoardError."""
        where = self.where
        return {name: m.to(where) for name, m in load_models(names, self.board).items()}

    def gpts(self, *names: str, purpose: str) -> dict[str, OthelloGPT]:
        """As :meth:`load`; ``purpose`` says why no baseline will do."""
        return {name: as_gpt(name, m, purpose) for name, m in self.load(*names).items()}

    def gpt(self, name: str, purpose: str) -> OthelloGPT:
        """As :meth:`gpts`, for one."""
        return self.gpts(name, purpose=purpose)[name]


@dataclass(frozen=True)
class Recorded(Setup):
    """With games of a file."""

    file: Annotated[
        Path | None,
        typer.Option(help="Games to use instead: transcripts one a line, .pgn, or WTHOR .wtb."),
    ] = None
    skip_bad: Annotated[
        bool, typer.Option(help="Leave out unreadable and illegal games, and say so.")
    ] = False

    def recorded(self, file: Path, board: int) -> tuple[list[Tensor], str]:
        """A file's games on a board, uint8 [b, max_plies] in batches, and how to call them. Raises
        GameFileError."""
        bad: list[BadGame] = []
        try:
            games = load_games(file, board, on_bad=bad.append if self.skip_bad else None)
            loaded = [tokens.to(self.where) for tokens in games]
        finally:
            for game in bad[:10]:
                notes.print(f"left out {game.place}: {game.reason}")
            if bad:
                notes.print(f"{len(bad)} bad games left out of {file}")
        return loaded, file.name


@dataclass(frozen=True)
class Bench(Recorded):
    """The games that models are measured on: of a file, or random ones."""

    games: Annotated[int, typer.Option(help="Number of random games.", min=1)] = 2000

    def played(self, board: int) -> tuple[list[Tensor], str]:
        """As :meth:`recorded`."""
        if self.file is not None:
            return self.recorded(self.file, board)
        games = random_games(self.games, self.seed, board=board, device=self.where)
        return list(games), f"random, seed {self.seed}"


# ------------------------------------------------------------------ what is shown


def typed() -> str:
    """The command as it was typed."""
    return shlex.join(["handbuilt", *sys.argv[1:]])


def say(*lines: object) -> None:
    """Print lines as they are: a name may look like markup, or be long."""
    for line in lines:
        console.print(str(line), highlight=False, markup=False, soft_wrap=True)


def wrote(what: Path | str) -> None:
    """Say what was written."""
    say(f"wrote {what}")


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


def starter(progress: Progress) -> Bars:
    """Starts bars of a name and a length, which the calls of what it gives advance."""

    def start(name: str, total: int) -> Callable[[int], None]:
        task = progress.add_task(escape(name), total=total)
        return lambda n: progress.advance(task, n)

    return start


@contextmanager
def bars() -> Iterator[Bars]:
    """As :func:`starter`, while the block lasts."""
    with progress_bars() as progress:
        yield starter(progress)
