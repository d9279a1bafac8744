"""Options that several commands take, and the places that commands write to."""

import os
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import torch
import typer
from torch import Tensor, nn

from comparison.commands.shared import notes
from comparison.scoring.bench import resolve_device
from comparison.training.models import as_gpt, load_models
from extracted_rules.errors import UserError
from extracted_rules.othello.game import random_games
from extracted_rules.othello.game_files import load_games
from extracted_rules.othello.geometry import STANDARD
from extracted_rules.othello.transcripts import BadGame
from handbuilt.network.layout import LayoutError
from handbuilt.network.transformer import OthelloGPT


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


def whole_numbers(text: str, wrong: str) -> list[int]:
    """Of a text with commas, which may be empty. Raises UserError, with what is wrong with any
    other text."""
    try:
        return [int(number) for number in text.split(",") if number.strip()]
    except ValueError:
        raise UserError(f"{text!r} {wrong}") from None


def make_folder(out: Path) -> None:
    """A folder to write to, and those above it. Raises OSError where there can be none."""
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OSError(f"cannot write {out}: {error.strerror}") from None


# ------------------------------------------------------------------ options

#: Options that name a file: it is looked at before any work is done.
writable = partial(typer.Option, callback=_writable, metavar="FILE")
picture = partial(typer.Option, callback=_picture, metavar="FILE.png")
#: Options that name a folder.
folder = partial(typer.Option, metavar="FOLDER")

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
Layers = Annotated[
    int | None, typer.Option(help="Layers of the model; 8 unless others are asked for.")
]
#: Games on which a transcript is found.
Finding = Annotated[int, typer.Option(help="Random games to find names and reads on.", min=2)]
Measuring = Annotated[int, typer.Option(help="Random games to measure on.", min=2)]
#: Of what is made here, on a board that no file decides.
Side = Annotated[int, typer.Option(help="Squares a side: 4, 6 or 8.")]
Heads = Annotated[
    int | None,
    typer.Option(
        help="Attention heads of a model whose file does not say; 64 wide unless told.", min=1
    ),
]


@dataclass(frozen=True)
class Setup:
    """What is the same for all that a command does: the random games' seed, the board, where."""

    seed: Seed = 1
    board: Board = None
    heads: Heads = None
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
        loaded = load_models(names, self.board, self.heads)
        return {name: model.to(where) for name, model in loaded.items()}

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
        typer.Option(
            metavar="FILE",
            help="Games to use instead: transcripts one a line, PGN, GGF, SGF or WTHOR, also "
            "compressed (gzip).",
        ),
    ] = None
    skip_bad: Annotated[
        bool, typer.Option(help="Leave out unreadable and illegal games, and say so.")
    ] = False

    def recorded(self, file: Path, board: int) -> tuple[list[Tensor], str]:
        """A file's games on a board, uint8 [b, max_plies] in batches, and how to call them. Raises
        GameFileError."""
        bad: list[BadGame] = []
        left_out = Counter[str]()
        on_bad = bad.append if self.skip_bad else None
        try:
            games = load_games(file, board, on_bad=on_bad, left_out=left_out)
            loaded = [tokens.to(self.where) for tokens in games]
        finally:
            for game in bad[:10]:
                notes.print(f"left out {game.place}: {game.reason}")
            if bad:
                notes.print(f"{len(bad)} bad games left out of {file}")
            if also := [f"{n} {what}{'s' * (n > 1)}" for what, n in left_out.items() if n]:
                notes.print(f"{' and '.join(also)} left out of {file}")
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


def check_layer(layer: int | None, layers: int) -> None:
    """Raises LayoutError for a layer that is asked for and not there."""
    if layer is not None and not 0 <= layer < layers:
        raise LayoutError(f"layer {layer} does not exist; there are {layers}")
