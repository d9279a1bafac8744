"""All games of 4 x 4: as many as everybody counts, each once, and their positions by ply."""

import pytest
import torch

from extracted_rules import BoardError, replay
from extracted_rules.othello.all_games import all_games, seen_first
from tests.othello.test_perft import GAMES_OF_FOUR, PERFT


def test_every_game_is_there_once() -> None:
    games = all_games()
    played = replay(games, board=4)  # raises for an illegal one
    lengths, counts = played.lengths.unique(return_counts=True)
    assert dict(zip(lengths.tolist(), counts.tolist(), strict=True)) == GAMES_OF_FOUR
    assert len(games.unique(dim=0)) == len(games) == sum(GAMES_OF_FOUR.values())
    ends = played.legal[torch.arange(len(games)), played.lengths]
    assert not ends.any()


def test_positions_by_ply_are_as_many_as_known() -> None:
    first = seen_first(all_games())
    assert tuple(first.sum(0).tolist()) == PERFT[4]


def test_a_position_that_games_share_is_seen_first_once() -> None:
    games = torch.tensor([[1, 2, 3], [1, 2, 4], [1, 3, 0], [2, 3, 0]])
    assert seen_first(games).tolist() == [
        [True, True, True],
        [False, False, True],
        [False, True, False],
        [True, True, False],
    ]


@pytest.mark.parametrize("board", [6, 8])
def test_larger_boards_have_too_many(board: int) -> None:
    with pytest.raises(BoardError, match=f"{board} x {board} has too many"):
        all_games(board)
