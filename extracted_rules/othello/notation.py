"""Squares, labels and token ids: the one place that knows how a square is written.

A *square* is 0..63, row-major from A1 (``8 * row + column``, row 0 is rank 1).
A *token* is what Othello-GPT reads: 0 for "no move" (pass or padding), 1..60 for the sixty
squares that can be played, row-major with the four centre squares skipped (Li et al. 2022).
"""

import torch
from torch import Tensor

from extracted_rules.othello.geometry import NotationError

N_SQUARES = 64
N_TOKENS = 61
NO_MOVE = 0
MAX_PLIES = 60
#: Positions of a game that predict a move: position t has seen moves 0..t.
CONTEXT = MAX_PLIES - 1

COLUMNS = "ABCDEFGH"
LABELS: tuple[str, ...] = tuple(f"{COLUMNS[s % 8]}{s // 8 + 1}" for s in range(N_SQUARES))
CENTRE: tuple[int, ...] = tuple(LABELS.index(label) for label in ("D4", "E4", "D5", "E5"))
PLAYABLE: tuple[int, ...] = tuple(s for s in range(N_SQUARES) if s not in CENTRE)

_SQUARE_OF_LABEL = {label: square for square, label in enumerate(LABELS)}
_TOKEN_OF_SQUARE = {square: token for token, square in enumerate(PLAYABLE, start=1)}

#: int64 [61]: the square of each token; token 0 maps to 64, one past the board.
SQUARE_OF_TOKEN: Tensor = torch.tensor([N_SQUARES, *PLAYABLE])
#: int64 [65]: the token of each square; the centre squares and index 64 map to 0.
TOKEN_OF_SQUARE: Tensor = torch.tensor(
    [_TOKEN_OF_SQUARE.get(square, NO_MOVE) for square in range(N_SQUARES + 1)]
)


def square_of(label: str) -> int:
    """The square 0..63 of a label such as ``"f5"`` or ``"F5"``; NotationError otherwise."""
    square = _SQUARE_OF_LABEL.get(label.upper())
    if square is None:
        raise NotationError(f"{label!r} is not a square (A1..H8)")
    return square


def token_of(square: int) -> int:
    """The token 1..60 of a playable square; NotationError for the centre or off the board."""
    token = _TOKEN_OF_SQUARE.get(square)
    if token is None:
        where = LABELS[square] if 0 <= square < N_SQUARES else str(square)
        raise NotationError(f"{where} is never played, so it has no token")
    return token


def parse_transcript(text: str) -> list[int]:
    """Squares of a transcript such as ``"f5d6c3"`` or ``"F5 D6 C3"``, in the order played.

    Raises NotationError naming the ply (from 1) of the first unreadable move.
    """
    compact = "".join(text.split())
    squares = []
    for start in range(0, len(compact), 2):
        label, ply = compact[start : start + 2], start // 2 + 1
        if len(label) < 2:
            raise NotationError(
                f"ply {ply}: the transcript ends in the middle of a move ({label!r})"
            )
        try:
            squares.append(square_of(label))
        except NotationError as error:
            raise NotationError(f"ply {ply}: {error}") from None
    return squares


def format_transcript(squares: list[int]) -> str:
    """The transcript of a list of squares, lower case without spaces: ``"f5d6c3"``."""
    return "".join(LABELS[square] for square in squares).lower()


def tokens_from_squares(games: list[list[int]]) -> Tensor:
    """uint8 [games, 60] tokens, 0 behind each game's last move.

    Raises NotationError for a game of more than 60 moves or one that plays a centre square.
    """
    tokens = torch.zeros(len(games), MAX_PLIES, dtype=torch.uint8)
    for row, squares in enumerate(games):
        if len(squares) > MAX_PLIES:
            raise NotationError(
                f"a game has {len(squares)} moves; at most {MAX_PLIES} fit the board"
            )
        moves = []
        for ply, square in enumerate(squares, start=1):
            try:
                moves.append(token_of(square))
            except NotationError as error:
                raise NotationError(f"ply {ply}: {error}") from None
        tokens[row, : len(moves)] = torch.tensor(moves, dtype=torch.uint8)
    return tokens


def squares_from_tokens(tokens: Tensor) -> list[int]:
    """Squares of one game's tokens ([T], any integer type), up to its first 0."""
    squares = []
    for token in tokens.tolist():
        if token == NO_MOVE:
            break
        squares.append(int(SQUARE_OF_TOKEN[token]))
    return squares
