"""Fitted numbers on other boards and in other layers: one rule, and back again."""

from dataclasses import replace

import pytest
import torch

from extracted_rules import Geometry
from handbuilt import load_strengths
from handbuilt.plan import Plan
from handbuilt.strengths import NAMES, Axes, Strengths, StrengthsError, axes_of, carry_over
from handbuilt.strengths.carrying import layers_carried


def axes(board: int, layers: int) -> Axes:
    return Axes(Geometry(board), Plan(layers))


def same(a: Strengths, b: Strengths) -> bool:
    return all(getattr(a, name).equal(getattr(b, name)) for name in NAMES)


@pytest.mark.parametrize("recipe", ["calibrated", "pooled"])
def test_numbers_for_their_own_size_are_unchanged(recipe: str) -> None:
    own = load_strengths(recipe)
    assert carry_over(own, own.axes) is own


@pytest.mark.parametrize("board", [4, 6, 8])
@pytest.mark.parametrize("layers", [9, 12, 17])
def test_over_to_more_layers_and_back_is_the_same(board: int, layers: int) -> None:
    own = load_strengths("calibrated", board, 8)
    there = carry_over(own, axes(board, layers))
    assert there.axes == axes(board, layers)
    assert same(carry_over(there, axes(board, 8)), own)


def test_numbers_stand_where_they_stood() -> None:
    """By lag, length and depth on a smaller board; a file of 8 x 8 holds every one of them."""
    own, there = load_strengths("calibrated"), load_strengths("calibrated", 4)
    for name in NAMES:
        if "pair" not in axes_of(name):
            value = getattr(there, name)
            corner = getattr(own, name)[tuple(slice(size) for size in value.shape)]
            assert value.equal(corner), name


def test_layers_go_by_their_roles() -> None:
    paper = Plan()
    assert layers_carried(paper, paper) == list(range(8))
    assert layers_carried(paper, Plan(4)) == [0, 3, 6, 7]
    assert layers_carried(paper, Plan(12)) == [0, 1, 2, 2, 2, 3, 4, 5, 5, 5, 6, 7]
    for layers in range(4, 20):
        taken = layers_carried(paper, Plan(layers))
        assert taken == sorted(taken)
        plan = Plan(layers)
        assert [taken[at] for at in (0, plan.look, plan.last)] == [0, paper.look, paper.last]


def test_pairs_keep_their_step_and_their_borders() -> None:
    """A made table that says how far apart a pair is, and another of pairs along the rim."""
    own, small = Geometry(8), Geometry(4)

    def table(board: Geometry) -> torch.Tensor:
        rows = []
        for a, b in board.pairs:
            (ra, ca), (rb, cb) = divmod(a, board.size), divmod(b, board.size)
            ends = (0, board.size - 1)
            along = (ra == rb and ra in ends) or (ca == cb and ca in ends)
            rows.append([float(max(abs(ra - rb), abs(ca - cb))), float(along)])
        return torch.tensor(rows, dtype=torch.float64).T

    made = replace(load_strengths("calibrated"), near=table(own))
    torch.testing.assert_close(carry_over(made, axes(4, 8)).near, table(small))
    torch.testing.assert_close(carry_over(made, axes(6, 8)).near, table(Geometry(6)))


def test_a_larger_board_has_lines_that_nobody_fitted() -> None:
    with pytest.raises(StrengthsError, match="say nothing about the longer lines of 8 x 8"):
        carry_over(load_strengths("logic", 6), axes(8, 8))
