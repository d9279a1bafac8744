"""Games as they are written: transcripts, squares and tokens."""

import torch
from torch import Tensor

from extracted_rules.othello.geometry import NO_MOVE, STANDARD, Geometry, NotationError


def parse_transcript(text: str, board: int = STANDARD) -> list[int]:
    """Squares of a transcript such as ``"f5d6c3"`` or ``"F5 D6 C3"``, in the order played.

    Raises NotationError naming the ply (from 1) of the first unreadable move.
    """
    geometry, compact = Geometry(board), "".join(text.split())
    squares = []
    for start in range(0, len(compact), 2):
        label, ply = compact[start : start + 2], start // 2 + 1
        if len(label) < 2:
            raise NotationError(
                f"ply {ply}: the transcript ends in the middle of a move ({label!r})"
            )
        try:
            squares.append(geometry.square_of(label))
        except NotationError as error:
            raise NotationError(f"ply {ply}: {error}") from None
    return squares


def format_transcript(squares: list[int], board: int = STANDARD) -> str:
    """The transcript of a list of squares, lower case without spaces: ``"f5d6c3"``."""
    labels = Geometry(board).labels
    return "".join(labels[square] for square in squares).lower()


def tokens_from_squares(games: list[list[int]], board: int = STANDARD) -> Tensor:
    """uint8 [games, max_plies] tokens, 0 behind each game's last move.

    Raises NotationError for a game of more moves than the board has room for, or one that plays a
    centre square.
    """
    geometry = Geometry(board)
    tokens = torch.zeros(len(games), geometry.max_plies, dtype=torch.uint8)
    for row, squares in enumerate(games):
        if len(squares) > geometry.max_plies:
            raise NotationError(
                f"a game has {len(squares)} moves; at most {geometry.max_plies} fit the {geometry} "
                "board"
            )
        moves = []
        for ply, square in enumerate(squares, start=1):
            try:
                moves.append(geometry.token_of(square))
            except NotationError as error:
                raise NotationError(f"ply {ply}: {error}") from None
        tokens[row, : len(moves)] = torch.tensor(moves, dtype=torch.uint8)
    return tokens


def squares_from_tokens(tokens: Tensor, board: int = STANDARD) -> list[int]:
    """Squares of one game's tokens ([T], any integer type), up to its first 0."""
    playable, squares = Geometry(board).playable, []
    for token in tokens.tolist():
        if token == NO_MOVE:
            break
        squares.append(playable[token - 1])
    return squares
