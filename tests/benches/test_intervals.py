"""Intervals against scipy's, where it has them; what they cover; what cannot be told."""

from math import isnan

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from extracted_rules.benches.intervals import (
    GROUPS,
    Ratio,
    bootstrap,
    by_group,
    group_of_games,
    jackknife,
    percentiles,
    ratio_by_game,
    resampled_games,
)


@given(st.integers(1, 400), st.data())
def test_rates_of_independent_positions_are_wilsons(n: int, data: st.DataObject) -> None:
    errors = data.draw(st.integers(0, n))
    found = Ratio.of(torch.tensor([errors]), torch.tensor([n])).rate()
    known = stats.binomtest(errors, n).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=1e-6)


def test_rates_cover_the_truth_about_95_times_in_100() -> None:
    """Of errors that cluster in games: Wilson's interval at the effective sample size."""
    generator = torch.Generator().manual_seed(0)
    covered = 0
    for _ in range(400):
        by_game = 0.2 * torch.rand(200, 1, generator=generator) ** 3  # mean 0.05
        errors = (torch.rand(200, 50, generator=generator) < by_game).long().sum(-1)
        rate = Ratio.of(errors, torch.full((200,), 50)).rate()
        covered += rate.low <= 0.05 <= rate.high
    assert 0.92 <= covered / 400 <= 0.98


def ratio(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
    return x.sum(axis) / y.sum(axis)


@pytest.fixture(scope="module")
def sums() -> tuple[np.ndarray, np.ndarray]:
    """Errors and positions of 300 games, some of them hard."""
    generator = np.random.default_rng(1)
    positions = generator.integers(20, 60, size=300)
    return generator.binomial(positions, 0.3 * generator.random(300)), positions


def test_all_ways_agree_with_scipys_bootstrap(sums: tuple[np.ndarray, np.ndarray]) -> None:
    known = stats.bootstrap(
        sums, ratio, paired=True, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    x, y = (torch.from_numpy(values) for values in sums)
    group = group_of_games(300)
    weights = resampled_games(300, 3)
    drawn = [values.astype(float) @ weights for values in sums]
    width = known.high - known.low
    for found in (
        Ratio.of(x, y).mean(),
        Ratio.of(x, y).rate(),
        jackknife(lambda a, b: float(a / b), by_group(x, group), by_group(y, group)),
        bootstrap(lambda s: s[..., 0] / s[..., 1], torch.stack([x, y], -1).double(), 4),
        percentiles(drawn[0] / drawn[1]),
    ):
        assert found.value == pytest.approx(float(ratio(*sums)))
        # A jackknife of 20 groups knows the spread to a sixth or so.
        assert found.low == pytest.approx(known.low, abs=0.25 * width)
        assert found.high == pytest.approx(known.high, abs=0.25 * width)


def test_the_bootstrap_draws_games_with_repetition() -> None:
    weights = resampled_games(50, 1, 200)
    assert (weights.sum(0) == 50).all()
    assert (weights[:, 0] == 1).all()
    assert 0.9 < weights[:, 1:].var() < 1.1
    assert np.array_equal(weights, resampled_games(50, 1, 200))


def test_of_one_game_there_is_no_telling() -> None:
    one = torch.tensor([3]), torch.tensor([40])
    assert isnan(Ratio.of(*one).mean().low)
    assert isnan(bootstrap(lambda s: s[..., 0], torch.stack(one, -1).double(), 1).low)
    assert isnan(percentiles(np.array([1.0, *([np.nan] * 100)])).high)


def test_rows_are_summed_by_game() -> None:
    game = np.array([0, 2, 2, 5])
    wrong = np.array([True, False, True, True])
    found = ratio_by_game(wrong, np.ones(4), game)
    assert found == Ratio.of(torch.tensor([1.0, 1.0, 1.0]), torch.tensor([1.0, 2.0, 1.0]))
    assert ratio_by_game(*map(torch.from_numpy, (wrong, np.ones(4), game))) == found


def test_groups_are_of_neighbours_and_of_like_size() -> None:
    group = group_of_games(47)
    assert group.tolist() == sorted(group.tolist())
    assert set(torch.bincount(group).tolist()) == {2, 3}
    assert len(torch.bincount(group)) == GROUPS
