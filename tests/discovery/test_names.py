"""Names against positions, and readouts of streams that say something and that say nothing."""

from functools import cache

import pytest
import torch
from torch import Tensor

from extracted_rules import Position
from extracted_rules.discovery.names import Spread, all_names, kind_of, square_of, truth
from extracted_rules.discovery.regression import Regression
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
    named = [all_names(FOUR)[n] for n in Spread.of(sums_of(y[:, :5], y)).varies.tolist()]
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
    rest = Spread.of(sums_of(other @ mix, other))
    varies = rest.varies
    assert float(rest.correlation(Spread.of(own).fitted())[varies].mean()) > 0.97
    assert float(rest.correlation(Spread.of(control).fitted())[varies].abs().mean()) < 0.15


def test_what_only_rounding_moves_is_not_read() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(400, 6, generator=generator, dtype=torch.float64) + 3
    x[:, 0] = 2.0**20  # constant, as ballast
    x[:, 1] = 5.0 + 1e-9 * x[:, 2]
    spread = Spread.of(sums_of(x, x[:, 2:4]))
    assert spread.moves.tolist() == [False, False, True, True, True, True]
    for directions in (spread.fitted(), spread.random(3, seed=1), spread.principal(3)):
        # Nothing of their own: only what takes off the mean of all.
        torch.testing.assert_close(directions[0], directions[1])


def test_directions_have_unit_variance_and_decode_what_they_read() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(400, 6, generator=generator, dtype=torch.float64)
    x -= x.mean(1, keepdim=True)  # as a LayerNorm leaves it
    x = x - x.mean(0)
    spread = Spread.of(sums_of(x, x[:, 2:4]))
    for directions in (spread.fitted(), spread.random(5, seed=1), spread.principal(5)):
        assert float(directions.mean(0).abs().max()) < 1e-12
        among, read = spread.among(directions), x @ directions
        assert among.diagonal().tolist() == pytest.approx([1.0] * directions.shape[1])
        torch.testing.assert_close(read.T @ read / len(x), among)
    torch.testing.assert_close(read @ spread.decoder(directions), x, rtol=0, atol=1e-4)
    assert not spread.scaled(torch.zeros(6, 3, dtype=torch.float64)).any()


def test_places_count_alike_however_many_rows_they_have() -> None:
    x = torch.randn(300, 5, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    few, many = sums_of(x[:50], x[:50, :2]), sums_of(x[50:] + 7, x[50:, :2])
    pooled = Spread.pooled([few, many])
    mean = (Spread.of(few).activations + Spread.of(many).activations) / 2
    torch.testing.assert_close(pooled.activations, mean)
    only = pooled.only(torch.tensor([1]))
    torch.testing.assert_close(only.fitted()[:, 0], pooled.fitted()[:, 1])
