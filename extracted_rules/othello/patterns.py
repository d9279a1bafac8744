"""Lines of the board, the patterns on them, and the board's eight symmetries.

A *pattern* (start, direction, length): from the start square in the direction come exactly
``length`` discs and then one more. With the discs theirs and the last one mine it decides both
what a move at ``start`` flips and whether ``start`` is legal. There are 1036 on the board and 960
whose start can be played. A *bracket* is a pattern without its sense: two ends with a run between
them; each of the 518 brackets is two patterns.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from extracted_rules.othello.notation import CENTRE, LABELS, N_SQUARES, TOKEN_OF_SQUARE

#: The eight directions, clockwise from north, as (row step, column step).
DIRECTIONS: tuple[tuple[int, int], ...] = (
    (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1), (-1, -1),
)  # fmt: skip
DIRECTION_NAMES = ("N", "NE", "E", "SE", "S", "SW", "W", "NW")
MAX_DISTANCE = 7


def ray(square: int, direction: int) -> list[int]:
    """The squares behind ``square`` in a direction, nearest first, to the board's border."""
    (row_step, column_step), (row, column) = DIRECTIONS[direction], divmod(square, 8)
    squares = []
    while 0 <= (row := row + row_step) < 8 and 0 <= (column := column + column_step) < 8:
        squares.append(8 * row + column)
    return squares


@dataclass(frozen=True)
class Pattern:
    """From ``start`` in ``direction``: ``length`` discs, then an end disc."""

    start: int
    direction: int
    length: int

    @property
    def run(self) -> list[int]:
        """The squares between start and end, nearest to the start first."""
        return ray(self.start, self.direction)[: self.length]

    @property
    def end(self) -> int:
        return ray(self.start, self.direction)[self.length]

    @property
    def name(self) -> str:
        """Such as ``C4.E2``: from C4 eastwards over two discs."""
        return f"{LABELS[self.start]}.{DIRECTION_NAMES[self.direction]}{self.length}"


@dataclass(frozen=True)
class Bracket:
    """Two end squares and the run between them; ``ends[0] < ends[1]``."""

    ends: tuple[int, int]
    run: tuple[int, ...]

    @property
    def name(self) -> str:
        """Such as ``C4-F4``: both ends, with everything between."""
        return f"{LABELS[self.ends[0]]}-{LABELS[self.ends[1]]}"


ALL_PATTERNS: tuple[Pattern, ...] = tuple(
    Pattern(start, direction, length)
    for start in range(N_SQUARES)
    for direction in range(8)
    for length in range(1, len(ray(start, direction)))
)
PATTERNS: tuple[Pattern, ...] = tuple(p for p in ALL_PATTERNS if p.start not in CENTRE)
BRACKETS: tuple[Bracket, ...] = tuple(
    Bracket((p.start, p.end), tuple(p.run)) for p in ALL_PATTERNS if p.start < p.end
)

#: int64 [64, 8, 7]: RAYS[s, d, k] is the square k + 1 steps from s, or 64 off the board.
RAYS: Tensor = torch.tensor(
    [
        [(ray(s, d) + [N_SQUARES] * MAX_DISTANCE)[:MAX_DISTANCE] for d in range(8)]
        for s in range(N_SQUARES)
    ]
)


def _symmetry(transpose: bool, quarter_turns: int) -> list[int]:
    board = torch.arange(N_SQUARES).view(8, 8)
    board = board.T if transpose else board
    return [int(s) for s in torch.rot90(board, quarter_turns).flatten()]


#: int64 [8, 64]: the board's symmetries. ``board[..., SYMMETRIES[k]]`` is the transformed board:
#: its square s holds what square SYMMETRIES[k, s] held. Row 0 is the identity.
SYMMETRIES: Tensor = torch.tensor(
    [_symmetry(flip, turns) for flip in (False, True) for turns in range(4)]
)
#: The symmetries that map the start position to itself (colours included), so legal games to legal
#: games: the identity, the half turn and the two diagonal reflections.
START_SYMMETRIES: tuple[int, ...] = tuple(
    k
    for k in range(8)
    if {int(SYMMETRIES[k, s]) // 8 == int(SYMMETRIES[k, s]) % 8 for s in (27, 36)} == {True}
)


def _pair_classes() -> tuple[tuple[tuple[int, int], ...], Tensor]:
    """Representatives of the classes, and [64, 64] the class of each pair, from 1; 0 for none."""
    images = SYMMETRIES[:, :, None] * N_SQUARES + SYMMETRIES[:, None]
    smallest = images.amin(0)
    near = torch.eye(N_SQUARES, N_SQUARES + 1, dtype=torch.bool)
    near.scatter_(1, RAYS[..., : MAX_DISTANCE - 1].flatten(1), value=True)
    near = near[:, :N_SQUARES]
    near[list(CENTRE)] = False
    found, place = torch.unique(smallest[near], return_inverse=True)
    classes = torch.zeros(N_SQUARES, N_SQUARES, dtype=torch.int64)
    classes[near] = place + 1
    return tuple(divmod(pair, N_SQUARES) for pair in found.tolist()), classes


#: The square of a move and that of a disc, the same or on a line with it within the reach of a run,
#: up to the board's symmetries. One pair of each class; and int64 [64, 64], by move and disc, the
#: number of the pair's class plus 1, or 0 for any other pair.
PAIRS, PAIR_CLASS = _pair_classes()


def transform_tokens(tokens: Tensor, symmetry: int) -> Tensor:
    """Tokens of the games as seen on the transformed board; same shape and dtype.

    A move on square SYMMETRIES[k, s] becomes a move on s.
    """
    moved_to = torch.empty(N_SQUARES, dtype=torch.int64)
    moved_to[SYMMETRIES[symmetry]] = torch.arange(N_SQUARES)
    playable = TOKEN_OF_SQUARE[:N_SQUARES] > 0
    table = torch.zeros(int(playable.sum()) + 1, dtype=tokens.dtype)
    table[TOKEN_OF_SQUARE[:N_SQUARES][playable]] = TOKEN_OF_SQUARE[moved_to[playable]].to(
        tokens.dtype
    )
    return table.to(tokens.device)[tokens.long()]
