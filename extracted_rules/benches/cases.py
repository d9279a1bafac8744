"""Squares that need a pattern, squares that one tempts to, and what a model makes of them.

A legal square *needs* a pattern if that pattern alone makes it legal. The other way around, an
empty square that is not legal *tempts* by a pattern if that one alone is nearly there: all its
squares hold discs, and exactly one of them is of the wrong colour.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt

from extracted_rules.benches.positions import Bench, Longs, Mask, batches, has
from extracted_rules.conditions import Boards
from extracted_rules.othello.game import replay
from extracted_rules.othello.geometry import Geometry, Pattern


@cache
def of_start(geometry: Geometry) -> dict[int, list[int]]:
    """The patterns of each playable square, by number."""
    found: dict[int, list[int]] = {square: [] for square in geometry.playable}
    for number, pattern in enumerate(geometry.patterns):
        found[pattern.start].append(number)
    return found


@dataclass(frozen=True)
class Cases:
    """By pattern and game, uint8 [patterns, games]: squares that need a pattern, and those of them
    that were left out of the predicted legal set (false negatives); squares that a pattern tempts,
    and those of them that were taken into it (false positives)."""

    needed: npt.NDArray[np.uint8]
    left_out: npt.NDArray[np.uint8]
    tempting: npt.NDArray[np.uint8]
    taken: npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Slips:
    """Positions where the likeliest move is illegal.

    game: int64 [slips]. near: bool [slips, patterns], patterns that are nearly there, all their
    starts empty and illegal. open: bool [slips, squares], the empty squares that are illegal. top:
    int64 [slips], the square chosen.
    """

    game: Longs
    near: Mask
    open: Mask
    top: Longs


def cases(
    bench: Bench,
    top: npt.NDArray[np.uint8],
    predicted: Longs,
    progress: Callable[[int], None] = lambda _: None,
) -> tuple[Cases, Slips]:
    """Go through a bench once. top, predicted: [N], what a model answers at its positions, the
    likeliest square and the predicted legal set. ``progress`` is told of games."""
    geometry = bench.positions.geometry
    columns, slips = [], []
    game = row = 0
    for batch in batches([bench.tokens]):
        boards = Boards.of(replay(batch, board=geometry.size), geometry.context)
        rows = slice(row, row + len(boards))
        counted, slipped = _cases(
            geometry,
            boards.now.T.contiguous().numpy(),
            boards.game.numpy(),
            len(batch),
            top[rows],
            predicted[rows],
        )
        columns.append(counted)
        slips.append((slipped.game + game, slipped.near, slipped.open, slipped.top))
        game, row = game + len(batch), rows.stop
        progress(len(batch))
    joined = (np.concatenate(parts, 1) for parts in zip(*columns, strict=True))
    return Cases(*joined), Slips(*(np.concatenate(parts) for parts in zip(*slips, strict=True)))


def _cases(
    geometry: Geometry,
    now: npt.NDArray[np.int8],
    game: Longs,
    games: int,
    top: npt.NDArray[np.uint8],
    predicted: Longs,
) -> tuple[tuple[npt.NDArray[np.uint8], ...], Slips]:
    """The four of :class:`Cases` and the slips of n positions of some games.

    now: [squares, n], +1 mine, -1 theirs for the side to move.
    """
    squares, n = now.shape
    patterns = geometry.patterns
    counts = np.zeros((4, len(patterns), games), dtype=np.uint8)
    legal = np.zeros((squares, n), dtype=np.bool_)
    near_all = np.zeros((len(patterns), n), dtype=np.bool_)
    for square, numbers in of_start(geometry).items():
        rows = np.flatnonzero(now[square] == 0)
        holds, near = _lines(now, rows, [patterns[number] for number in numbers])
        legal[square, rows] = holds.any(0)
        near &= ~legal[square, rows]
        near_all[np.array(numbers)[:, None], rows] = near
        taken = has(predicted[rows], square, geometry)
        for which, (mask, wrong) in enumerate(((holds, ~taken), (near, taken))):
            alone = mask & (mask.sum(0) == 1)
            for number, cases_of in zip(numbers, alone, strict=True):
                for place, chosen in ((2 * which, cases_of), (2 * which + 1, cases_of & wrong)):
                    counts[place, number] = np.bincount(game[rows[chosen]], minlength=games)
    slip = np.flatnonzero(~legal[top, np.arange(n)])
    near_there = np.ascontiguousarray(near_all[:, slip].T)
    is_open = ((now[:, slip] == 0) & ~legal[:, slip]).T
    return tuple(counts), Slips(game[slip], near_there, is_open, top[slip].astype(np.int64))


def _lines(
    now: npt.NDArray[np.int8], rows: Longs, patterns: Sequence[Pattern]
) -> tuple[Mask, Mask]:
    """bool [patterns, rows] each: where a pattern of an empty start holds, and where it is nearly
    there."""
    holds, near = (np.zeros((len(patterns), len(rows)), dtype=np.bool_) for _ in range(2))
    for place, pattern in enumerate(patterns):
        run, end = now[np.array(pattern.run)[:, None], rows], now[pattern.end, rows]
        full = (run != 0).all(0) & (end != 0)
        wrong = (run == 1).sum(0) + (end == -1)
        holds[place], near[place] = full & (wrong == 0), full & (wrong == 1)
    return holds, near
