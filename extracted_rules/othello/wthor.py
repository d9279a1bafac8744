"""WTHOR ``.wtb`` files: binary, a 16-byte header that may name the board, then 68 bytes a game, its
moves as ``10 * row + column``; passes are not recorded.

Format: https://www.ffothello.org/informatique/la-base-wthor/.
"""

import struct
from collections.abc import Iterator
from gzip import GzipFile
from io import BufferedReader

from extracted_rules.othello.geometry import STANDARD, NotationError
from extracted_rules.othello.transcripts import BadGame, RecordedGame

_HEADER, _RECORD = struct.Struct("<4BIHH4B"), 68


def is_wthor(head: bytes) -> bool:
    """Whether a file begins with a date as WTHOR writes it, which no text does."""
    if len(head) < 4:
        return False
    century, year, month, day = head[:4]
    return 19 <= century <= 21 and year < 100 and month <= 12 and day <= 31


def read_wthor(file: BufferedReader | GzipFile, board: int) -> Iterator[RecordedGame | BadGame]:
    """The games of a file. Raises NotationError for a file of another board, or a cut header."""
    header = file.read(_HEADER.size)
    if len(header) < _HEADER.size:
        raise NotationError(f"a WTHOR file starts with {_HEADER.size} bytes, this one is shorter")
    _, _, _, _, games, _, _, size, *_ = _HEADER.unpack(header)
    size = size or STANDARD  # old files do not say
    if size != board:
        raise NotationError(
            f"its header says {size} x {size} squares; asked for was {board} x {board}"
        )
    for _ in range(games):
        record = file.read(_RECORD)
        if len(record) < _RECORD:
            yield BadGame("", f"the file ends in it; its header promises {games} games")
            return
        yield _game(record[8:], board)


def _game(moves: bytes, board: int) -> RecordedGame | BadGame:
    game = RecordedGame("")
    for ply, move in enumerate(moves, start=1):
        if move == 0:
            break
        row, column = divmod(move, 10)
        if not (1 <= row <= board and 1 <= column <= board):
            return BadGame("", f"ply {ply}: {move} is no WTHOR move (11..{11 * board})")
        game.squares.append(board * (row - 1) + column - 1)
    return game
