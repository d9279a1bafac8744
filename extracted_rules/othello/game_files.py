"""Recorded games: transcripts, PGN and WTHOR ``.wtb`` files, read as a stream.

A text file holds one transcript a line (``f5d6c3...``, blank lines and ``#`` comments skipped).
A PGN file holds tagged games as the WTHOR collections are published. A WTHOR file is binary: a
16-byte header that may name the board, then 68 bytes a game, its moves as ``10 * row + column``.
None of them records passes. Format: https://www.ffothello.org/informatique/la-base-wthor/.
"""

import re
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TextIO

import torch
from torch import Tensor

from extracted_rules.errors import UserError
from extracted_rules.othello.game import IllegalGameError, replay
from extracted_rules.othello.geometry import STANDARD, Geometry, NotationError
from extracted_rules.othello.notation import (
    format_transcript,
    parse_transcript,
    squares_from_tokens,
    tokens_from_squares,
)


class GameFileError(UserError):
    """A file that cannot be used; the message is one sentence naming file, place and reason."""


@dataclass(frozen=True)
class BadGame:
    """A game that was read but cannot be used. ``place`` is such as ``"line 12"``."""

    place: str
    reason: str


@dataclass(frozen=True)
class RecordedGame:
    """The squares of one game in the order played, and where it stands in its file."""

    place: str
    squares: list[int]


def _from_transcript(place: str, text: str, board: int) -> RecordedGame | BadGame:
    try:
        return RecordedGame(place, parse_transcript(text, board))
    except NotationError as error:
        return BadGame(place, str(error))


def _read_transcripts(file: TextIO, board: int) -> Iterator[RecordedGame | BadGame]:
    for number, line in enumerate(file, start=1):
        if (text := line.strip()) and not text.startswith("#"):
            yield _from_transcript(f"line {number}", text, board)


_PGN_NOISE = re.compile(
    r"\{[^}]*\}|\([^()]*\)|;[^\n]*|\$\d+|\d+\.+|--|\bpass\b|\bPA\b", re.IGNORECASE
)
_PGN_RESULT = re.compile(r"(\d+-\d+|1/2-1/2|\*)\s*$")


def _read_pgn(file: TextIO, board: int) -> Iterator[RecordedGame | BadGame]:
    start, moves = 0, ""

    def game() -> RecordedGame | BadGame:
        text = _PGN_RESULT.sub("", _PGN_NOISE.sub(" ", moves))
        return _from_transcript(f"line {start}", text, board)

    for number, line in enumerate(file, start=1):
        text = line.strip()
        if text.startswith("["):
            if moves.strip():
                yield game()
            moves, start = "", 0
        elif text:
            start = start or number
            moves += text + "\n"
    if moves.strip():
        yield game()


_WTB_HEADER, _WTB_RECORD = struct.Struct("<4BIHH4B"), 68


def _read_wthor(file: BinaryIO, board: int) -> Iterator[RecordedGame | BadGame]:
    header = file.read(_WTB_HEADER.size)
    if len(header) < _WTB_HEADER.size:
        raise GameFileError("a WTHOR file starts with 16 bytes, this one is shorter")
    _, _, _, _, games, _, _, size, *_ = _WTB_HEADER.unpack(header)
    size = size or STANDARD  # old files do not say
    if size != board:
        raise GameFileError(
            f"its header says {size} x {size} squares; asked for was {board} x {board}"
        )
    for number in range(1, games + 1):
        record = file.read(_WTB_RECORD)
        if len(record) < _WTB_RECORD:
            yield BadGame(
                f"game {number}", f"the file ends in it; its header promises {games} games"
            )
            return
        squares, reason = [], ""
        for ply, move in enumerate(record[8:], start=1):
            if move == 0:
                break
            row, column = divmod(move, 10)
            if not (1 <= row <= board and 1 <= column <= board):
                reason = f"ply {ply}: {move} is no WTHOR move (11..{11 * board})"
                break
            squares.append(board * (row - 1) + column - 1)
        place = f"game {number}"
        yield BadGame(place, reason) if reason else RecordedGame(place, squares)


def read_games(path: Path, board: int = STANDARD) -> Iterator[RecordedGame | BadGame]:
    """Stream the games of a file; the format follows from the suffix (.wtb, .pgn, else text).

    Games are parsed, not yet played: see :func:`load_games`. Raises GameFileError,
    also for a WTHOR file of another board.
    """
    try:
        if path.suffix.lower() == ".wtb":
            with path.open("rb") as binary:
                yield from _read_wthor(binary, board)
        else:
            reader = _read_pgn if path.suffix.lower() == ".pgn" else _read_transcripts
            with path.open(encoding="utf-8-sig", errors="replace") as text:
                yield from reader(text, board)
    except OSError as error:
        raise GameFileError(f"{path}: {error.strerror}") from None
    except GameFileError as error:
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
    replay(tokens, faults, board=board)
    for index, fault in faults.items():
        bad[index] = BadGame(games[index].place, f"ply {fault.ply}: {fault.reason}")
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
    batch: int = 1024,
) -> Iterator[Tensor]:
    """Legal games of a file: yields uint8 [at most ``batch``, max_plies] tokens.

    Without ``on_bad`` the first unreadable or illegal game raises GameFileError; with it, such
    games are handed over and left out. A file without a single good game raises as well.
    """

    def refuse(bad: BadGame) -> None:
        raise GameFileError(f"{path}, {bad.place}: {bad.reason}")

    found = 0
    games = read_games(path, board)
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
