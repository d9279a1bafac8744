"""Names against positions, and readouts of streams that say something and that say nothing."""

from functools import cache

import pytest
import torch
from torch import Tensor

from extracted_rules import Position
from extracted_rules.discovery.names import (
    Readouts,
    all_names,
    covariance,
    fitted,
    kind_of,
    moving,
    random,
    square_of,
    that_vary,
    truth,
)
from extracted_rules.discovery.regression import Regression, share
from extracted_rules.othello.game import random_games, replay
from extracted_rules.othello.geometry import Geometry

FOUR = Geometry(4)


@cache
def facts(games: int, seed: int) -> Tensor:
    found, _ = truth(replay(next(random_games(games, seed, board=4)), board=4))
    return found


def sums_of(x: Tensor, y: Tensor) -> Regression:
    sums = Regression.zeros(1, x.shape[1], y.shape[1])
    sums.add(x, y)
    return sums


def test_names_say_what_positions_say() -> None:
    moves = ["A2", "A1", "B1"]
    games = torch.tensor([[FOUR.token_of(FOUR.square_of(move)) for move in moves]])
    found, where = truth(replay(games, board=4))
    held = [
        {name for name, holds in zip(all_names(FOUR), row.tolist(), strict=True) if holds}
        for row in found
    ]
    assert len(held) == int(where.sum())
    position = Position.after("a2", board=4)
    first = held[0]
    assert {square_of(n) for n in first if kind_of(n) == "legal next"} == {
        move.upper() for move in position.legal_moves
    }
    assert {n for n in first if kind_of(n) in ("played", "ply")} == {"played A2", "ply 1"}
    assert {n for n in first if kind_of(n) == "flipped"} == {"flipped B2"}
    assert {n for n in first if kind_of(n) == "theirs"} >= {"theirs A2", "theirs B2"}
    assert square_of("ply 3") == ""
    assert square_of("legal next B3") == "B3"


def test_what_never_happens_is_no_name() -> None:
    y = facts(300, 1)
    named = [all_names(FOUR)[n] for n in that_vary(sums_of(y[:, :5], y)).tolist()]
    assert "played B2" not in named
    assert not {"legal next B2", "flipped A1"} & set(named)
    assert {"mine B2", "played A1", "ply 4"} <= set(named)


def test_readouts_tell_what_is_there_and_nothing_of_other_games() -> None:
    generator = torch.Generator().manual_seed(1)
    mix = torch.randn(len(all_names(FOUR)), 120, generator=generator, dtype=torch.float64)
    seen, other = (facts(300, seed) for seed in (1, 2))
    own, control = (
        sums_of(x @ mix, seen) for x in (seen, seen[torch.randperm(len(seen), generator=generator)])
    )
    rest = sums_of(other @ mix, other)
    assert share(*rest.explained(fitted(own))) > 0.95
    assert share(*rest.explained(fitted(control))) < 0.05


def test_readouts_have_unit_variance_and_decode_what_they_read() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(400, 6, generator=generator, dtype=torch.float64) + 3
    x[:, 0] = 2.0**20  # constant, as ballast
    x[:, 1] = 5.0 + 1e-9 * x[:, 2]  # nothing but rounding
    sums = sums_of(x, x[:, 2:4])
    assert moving(sums).tolist() == [False, False, True, True, True, True]
    for directions in (fitted(sums), random(sums, 4, seed=1)):
        assert not directions[:2].any()
        of = Readouts.of(sums, directions)
        read = (x - of.mean) @ of.weights
        torch.testing.assert_close(read.T @ read / len(x), of.covariance)
        assert of.covariance.diagonal().tolist() == pytest.approx([1.0] * read.shape[1])
    torch.testing.assert_close((of.mean + read @ of.decoder)[:, 2:], x[:, 2:], rtol=0, atol=1e-3)
    assert covariance(sums).shape == (6, 6)
    silent = Readouts.of(sums, torch.zeros(6, 3, dtype=torch.float64))
    assert not silent.weights.any()
