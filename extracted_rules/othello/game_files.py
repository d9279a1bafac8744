"""Recorded games: transcripts, PGN, GGF, SGF and WTHOR files, compressed or not, read as a stream.

What a file holds decides how it is read, not its name. Passes need not be written; one that is
written has to be due.
"""

import gzip
import io
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import TextIO

import torch
from torch import Tensor

from extracted_rules.errors import UserError
from extracted_rules.kinds import HEAD, kind_of
from extracted_rules.othello import game_trees
from extracted_rules.othello.game import IllegalGameError, replay
from extracted_rules.othello.geometry import STANDARD, Geometry, NotationError
from extracted_rules.othello.notation import (
    format_transcript,
    squares_from_tokens,
    tokens_from_squares,
    undue_pass,
)
from extracted_rules.othello.transcripts import BadGame, RecordedGame, read_lines
from extracted_rules.othello.wthor import is_wthor, read_wthor


class GameFileError(UserError):
    """A file that cannot be used; the message is one sentence naming file, place and reason."""


@contextmanager
def _opened(path: Path) -> Iterator[io.BufferedReader | gzip.GzipFile]:
    """A file's bytes, uncompressed."""
    with path.open("rb") as file:
        if file.peek(2).startswith(b"\x1f\x8b"):
            with gzip.open(file) as unpacked:
                yield unpacked
        else:
            yield file


def _encoding(head: bytes) -> str | None:
    """How a text that begins like this is encoded; None for what is no text."""
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    every_other = head[1:32:2], head[:32:2]
    for zeros, name in zip(every_other, ("utf-16-le", "utf-16-be"), strict=True):
        if zeros and not any(zeros):
            return name
    return None if kind_of(head) else "utf-8-sig"


def _read(path: Path, board: int, left_out: Counter[str]) -> Iterator[RecordedGame | BadGame]:
    with _opened(path) as file:
        head = file.peek(HEAD)[:HEAD]
        if is_wthor(head):
            yield from read_wthor(file, board)
            return
        encoding = _encoding(head)
        if encoding is None:
            raise NotationError(f"this is no file of games; it is {kind_of(head)}")
        found = game_trees.START.search(head.decode(encoding, errors="replace"))
        reader = game_trees.read_trees if found else read_lines
        with io.TextIOWrapper(file, encoding, errors="replace") as text:
            yield from reader(text, board, left_out)


def read_games(
    path: Path, board: int = STANDARD, left_out: Counter[str] | None = None
) -> Iterator[RecordedGame | BadGame]:
    """Stream the games of a file, of any format.

    Games are parsed, not yet played: see :func:`load_games`. Raises GameFileError,
    also for a WTHOR file of another board.
    """
    try:
        games = _read(path, board, Counter() if left_out is None else left_out)
        for number, game in enumerate(games, start=1):
            place = f"{game.place}, game {number}" if game.place else f"game {number}"
            yield replace(game, place=place)
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise GameFileError(f"{path}: what is compressed in it is damaged or cut short") from None
    except OSError as error:
        raise GameFileError(f"{path}: {error.strerror}") from None
    except NotationError as error:
        raise GameFileError(f"{path}: {error}") from None


def _checked(
    games: list[RecordedGame | BadGame], on_bad: Callable[[BadGame], None], board: int
) -> Tensor:
    """Tokens of the legal games, in order; every other game goes to ``on_bad``, in order too."""
    bad: dict[int, BadGame] = {}
    tokens = torch.zeros(len(games), Geometry(board).max_plies, dtype=torch.uint8)
    for index, game in enumerate(games):
        try:
            if isinstance(game, BadGame):
                bad[index] = game
            elif not game.squares:
                bad[index] = BadGame(game.place, "it has no moves")
            else:
                tokens[index] = tokens_from_squares([game.squares], board)[0]
        except NotationError as error:
            bad[index] = BadGame(game.place, str(error))
    faults: dict[int, IllegalGameError] = {}
    played = replay(tokens, faults, board=board)
    for index, game in enumerate(games):
        if index not in bad and isinstance(game, RecordedGame):
            fault = undue_pass(played, index, game.passes) or faults.get(index)
            if fault:
                bad[index] = BadGame(game.place, f"ply {fault.ply}: {fault.reason}")
    for index in sorted(bad):
        on_bad(bad[index])
    good = torch.ones(len(tokens), dtype=torch.bool)
    good[list(bad)] = False
    return tokens[good]


def load_games(
    path: Path,
    board: int = STANDARD,
    *,
    on_bad: Callable[[BadGame], None] | None = None,
    left_out: Counter[str] | None = None,
    batch: int = 1024,
) -> Iterator[Tensor]:
    """Legal games of a file: yields uint8 [at most ``batch``, max_plies] tokens.

    Without ``on_bad`` the first unreadable or illegal game raises GameFileError; with it, such
    games are handed over and left out. A file without a single good game raises as well.
    ``left_out`` counts comments and variations.
    """

    def refuse(bad: BadGame) -> None:
        raise GameFileError(f"{path}, {bad.place}: {bad.reason}")

    found = 0
    games = read_games(path, board, left_out)
    while waiting := list(islice(games, batch)):
        tokens = _checked(waiting, on_bad or refuse, board)
        found += len(tokens)
        if len(tokens):
            yield tokens
    if not found:
        raise GameFileError(f"{path}: no legal game in this file")


def write_transcripts(tokens: Tensor, file: TextIO, board: int = STANDARD) -> None:
    """Write games (integer [B, T]) as transcripts, one a line."""
    for row in tokens:
        file.write(format_transcript(squares_from_tokens(row, board), board) + "\n")
