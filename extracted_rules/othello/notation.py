"""Games as they are written: transcripts, squares and tokens."""

from collections import Counter
from itertools import pairwise

import torch
from torch import Tensor

from extracted_rules.othello.game import IllegalGameError, Replay, replay
from extracted_rules.othello.geometry import NO_MOVE, STANDARD, Geometry, NotationError
from extracted_rules.othello.transcripts import BadGame, RecordedGame, games_of_text


def parse_transcript(text: str, board: int = STANDARD) -> list[int]:
    """Squares of a transcript such as ``"f5d6c3"`` or ``"1. F5 d6 2. C3"``, in the order played.

    Passes may be written. Raises NotationError naming the ply (from 1) of the first unreadable
    move, and for a second game; IllegalGameError for a pass that is not due.
    """
    first, *others = [*games_of_text(text, board, Counter()), RecordedGame("")]
    if isinstance(first, BadGame):
        raise NotationError(first.reason)
    if len(others) > 1:
        raise NotationError("these are several games, each up to its result; give one")
    if first.passes:
        played = replay(tokens_from_squares([first.squares], board), {}, board=board)
        if fault := undue_pass(played, 0, first.passes):
            raise fault
    return first.squares


def undue_pass(played: Replay, game: int, passes: list[int]) -> IllegalGameError | None:
    """What is wrong with the passes that are written before some plies (from 1, in order) of a
    game; once it is over, no pass is."""
    for last, ply in pairwise([0, *passes]):
        over = played.movers[game, ply - 1] == 0
        if not over and (ply == last or not played.passes[game, ply - 1]):
            return IllegalGameError(None, ply, "a pass is written where none is due")
    return None


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
