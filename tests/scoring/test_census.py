"""A census counts what it says: models with known errors, each position once; and what is proved of
the rules on 4 x 4."""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from comparison.scoring.bench import choose_threshold
from comparison.scoring.census import Census, take_census
from extracted_rules import Geometry, replay
from extracted_rules.othello.all_games import all_games, seen_first
from handbuilt import build, load_strengths
from handbuilt.compiler import needed
from handbuilt.network.transformer import OthelloGPT
from handbuilt.programs import write

#: Of 137,820 beginnings of up to 11 moves, 6,480 are whole games; none has anything to predict.
POSITIONS = 131_340


class Told:
    """A model of 4 x 4 that knows the rules; ``change`` edits what it says of the legal squares,
    float [B, T, moves], by the moves seen, int64 [B, T]."""

    geometry = Geometry(4)

    def __init__(self, change: Callable[[Tensor, Tensor], Tensor] = lambda legal, _: legal) -> None:
        self.change = change

    def __call__(self, tokens: Tensor) -> Tensor:
        played = replay(tokens, board=4)
        legal = played.legal[:, 1 : tokens.shape[1] + 1, list(self.geometry.playable)]
        said = self.change(legal.double(), tokens)
        return torch.nn.functional.pad(9 * said, (1, 0))


def test_who_knows_the_rules_errs_nowhere() -> None:
    found = take_census("told", Told(), 0.01)
    count = found.kinds["all"]
    assert (found.games, count.positions) == (60_060, POSITIONS)
    assert (count.illegal, count.wrong_sets) == (0, 0)
    assert count.unlikeliest > 0.1 > 0.001 > count.likeliest
    parts = [c.positions for kind, c in found.kinds.items() if kind != "all"]
    assert sum(parts) == POSITIONS == sum(c.positions for c in found.seen.values())
    assert min(parts) > 0
    assert not any(found.wrong.values())


def test_errors_are_counted_once_and_named() -> None:
    """One position of nine moves, which no other move leads to twice, gets its legal moves wrong,
    and one of a single move, with which a quarter of all games begins."""
    long = next(g for g in all_games() if g[9] != 0)
    beginnings = [long[:1].tolist(), long[:9].tolist()]

    def change(legal: Tensor, tokens: Tensor) -> Tensor:
        for moves in beginnings:
            seen = len(moves)
            same = (tokens[:, :seen] == torch.tensor(moves)).all(-1)
            legal[same, seen - 1] = 1 - legal[same, seen - 1]
        return legal

    found = take_census("told", Told(change), 0.01)
    assert (found.kinds["all"].illegal, found.kinds["all"].wrong_sets) == (2, 2)
    assert [seen for seen, count in found.seen.items() if count.illegal] == [1, 9]
    wrong = [one for ones in found.wrong.values() for one in ones]
    assert sorted(len(one.moves) for one in wrong) == [2, 18]
    assert all(one.missed and one.added and one.likeliest in one.added for one in wrong)


def test_a_part_has_every_so_manieth_game() -> None:
    found = take_census("told", Told(), 0.01, part=1000)
    assert found.games == 61
    counted = seen_first(all_games()[::1000])[:, :11].sum()
    assert 0 < found.kinds["all"].positions <= int(counted)


def census(recipe: str, layers: int, part: int) -> Census:
    network = _small(recipe, layers)
    tau = choose_threshold(network, 1, torch.device("cpu"), 200)
    return take_census(recipe, network, tau, part=part)


def _small(recipe: str, layers: int) -> OthelloGPT:
    """On 4 x 4, no wider than the rules need."""
    strengths = load_strengths(recipe, 4, layers)
    return build(strengths, shape=needed(write(strengths)))


@pytest.mark.parametrize("part", [10, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize(("recipe", "layers"), [("logic", 12), ("calibrated", 16)])
def test_networks_never_err_before_a_pass(recipe: str, layers: int, part: int) -> None:
    """A tenth of all games; all of them among the slow tests."""
    count = census(recipe, layers, part).kinds["pass-free"]
    assert count.positions > 10_000
    assert count.illegal == 0
    # There are thresholds with which every set is right.
    assert count.unlikeliest > 2 * count.likeliest


def test_fewer_layers_err_more() -> None:
    """The control: what has too few layers is caught."""
    wrong = [census("logic", layers, 100).kinds["pass-free"].wrong_sets for layers in (4, 6, 8)]
    assert all(more > fewer for more, fewer in pairwise(wrong))
