"""How many games there are: the counts that everybody gets, by plain Python and by the engine."""

from collections import Counter
from functools import cache

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from extracted_rules import Geometry, count_sequences, random_games, replay

#: Legal sequences of 1, 2 ... moves from the start; a pass is no move.
PERFT = {
    4: (4, 12, 44, 128, 436, 1296, 3784, 9756, 22152, 41296, 58912, 53580),
    6: (4, 12, 56, 244, 1364, 7604, 47740, 308716),
    8: (4, 12, 56, 244, 1396, 8200, 55092, 390216),
}
DEEPER = {6: (9, 2_115_128), 8: (9, 3_005_320)}
#: All games of 4 x 4 squares by their number of moves.
GAMES_OF_FOUR = {6: 4, 7: 8, 8: 20, 9: 308, 10: 808, 11: 5332, 12: 53580}


@pytest.mark.parametrize(
    ("board", "depth", "sequences"),
    [(board, d, n) for board, counts in PERFT.items() for d, n in enumerate(counts, start=1)],
)
def test_sequences_are_as_many_as_known(board: int, depth: int, sequences: int) -> None:
    assert count_sequences(depth, board) == sequences


@pytest.mark.parametrize("board", [6, 8])
def test_longer_sequences_are_as_many_as_known(board: int) -> None:
    depth, sequences = DEEPER[board]
    assert count_sequences(depth, board) == sequences


# A plain engine: squares as (row, column), a dictionary of discs, one line after the other.

Square = tuple[int, int]
Discs = tuple[tuple[Square, int], ...]
STEPS = [(r, c) for r in (-1, 0, 1) for c in (-1, 0, 1) if (r, c) != (0, 0)]


def start(n: int) -> Discs:
    low, high = n // 2 - 1, n // 2
    return (((low, low), -1), ((low, high), 1), ((high, low), 1), ((high, high), -1))


@cache
def moves(n: int, discs: Discs, colour: int) -> dict[Square, list[Square]]:
    """The legal moves of a colour, each with the discs that it turns."""
    held, found = dict(discs), {}
    for square in ((r, c) for r in range(n) for c in range(n)):
        turned: list[Square] = []
        for r, c in STEPS:
            line, at = [], (square[0] + r, square[1] + c)
            while held.get(at) == -colour:
                line.append(at)
                at = (at[0] + r, at[1] + c)
            if held.get(at) == colour:
                turned += line
        if turned and square not in held:
            found[square] = turned
    return found


def play(discs: Discs, square: Square, turned: list[Square], colour: int) -> Discs:
    return tuple(sorted((dict(discs) | dict.fromkeys([square, *turned], colour)).items()))


def lengths(n: int) -> Counter[int]:
    """How many games have how many moves; positions that are reached twice are counted on once."""
    ended: Counter[int] = Counter()
    level = Counter({(start(n), 1): 1})
    ply = 0
    while level:
        following: Counter[tuple[Discs, int]] = Counter()
        for (discs, named), ways in level.items():
            colour = named if moves(n, discs, named) else -named
            for square, turned in moves(n, discs, colour).items():
                following[play(discs, square, turned, colour), -colour] += ways
            if not moves(n, discs, colour):
                ended[ply] += ways
        level, ply = following, ply + 1
    return ended


def test_all_games_of_four_squares_a_side_are_counted() -> None:
    assert lengths(4) == GAMES_OF_FOUR
    assert sum(GAMES_OF_FOUR.values()) == 60_060


def test_random_games_of_four_squares_are_as_long_as_they_can_be() -> None:
    games = torch.cat(list(random_games(4000, 1, board=4, purpose="test")))
    seen = set(replay(games, board=4).lengths.tolist())
    assert seen <= set(GAMES_OF_FOUR)
    assert {9, 10, 11, 12} <= seen


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**31), st.sampled_from([4, 6]))
def test_the_engine_agrees_with_a_plain_one(seed: int, board: int) -> None:
    geometry = Geometry(board)
    tokens = next(random_games(2, seed, board=board, purpose="test"))
    played = replay(tokens, board=board)
    for game in range(2):
        discs, named = start(board), 1
        for ply in range(geometry.max_plies + 1):
            passes = not moves(board, discs, named) and bool(moves(board, discs, -named))
            colour = -named if passes else named
            legal = moves(board, discs, colour)
            held = [0] * geometry.n_squares
            for (r, c), disc in discs:
                held[board * r + c] = disc
            assert played.boards[game, ply].tolist() == held
            assert int(played.movers[game, ply]) == (colour if legal else 0)
            assert bool(played.passes[game, ply]) == passes
            shown = played.legal[game, ply].nonzero().squeeze(-1).tolist()
            assert shown == [board * r + c for r, c in legal]
            if not legal:
                break
            square = divmod(geometry.playable[int(tokens[game, ply]) - 1], board)
            turned = played.flips[game, ply].nonzero().squeeze(-1).tolist()
            assert turned == sorted(board * r + c for r, c in legal[square])
            discs, named = play(discs, square, legal[square], colour), -colour
