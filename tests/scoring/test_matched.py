"""Statistics of two error sets against tables by hand, slow counts, planted truth and chance."""

from dataclasses import replace
from fractions import Fraction
from math import isnan

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import rankdata, spearmanr

from comparison.scoring.error_sets import error_sets, overlap
from comparison.scoring.matched import pairs
from extracted_rules.benches.intervals import percentiles, resampled_games
from extracted_rules.benches.matched import (
    FEWEST,
    Array,
    Errors,
    Matching,
    observed_and_expected,
    odds_ratio,
    rank_correlation,
    raw_odds_ratio,
    tables,
)
from extracted_rules.benches.positions import PASS_STATES, Mask, Positions
from extracted_rules.benches.ranks import permuted, within_ranks
from extracted_rules.othello.game import random_games, replay
from tests.errors.made import answers, positions, records


def columns(*counts: int) -> Array:
    return np.array(counts, dtype=np.float64)[:, None]


def test_a_table_by_hand() -> None:
    """Two strata: (both, only A, only B, neither) = (4, 6, 10, 80) and (3, 2, 5, 10), and one in
    which A always errs."""
    n, a, b, both = columns(100, 20, 2), columns(10, 5, 2), columns(14, 8, 1), columns(4, 3, 1)
    by_hand = Fraction(4 * 80, 100) + Fraction(3 * 10, 20), Fraction(60, 100) + Fraction(10, 20)
    assert odds_ratio(n, a, b, both)[0] == pytest.approx(float(by_hand[0] / by_hand[1]))
    observed, expected = observed_and_expected(n, a, b, both)
    assert observed[0] == 7  # without the last stratum
    assert expected[0] == pytest.approx(10 * 10 / 90 + 5 * 5 / 15)
    raw = 8.5 * 90.5 / (9.5 * 15.5)
    assert raw_odds_ratio(n, a, b, both)[0] == pytest.approx(raw)


def test_tables_agree_with_a_slow_count() -> None:
    generator = np.random.default_rng(1)
    at = positions(40, 25, 4)
    in_a = generator.random(len(at)) < 0.1 * at.number
    in_b = generator.random(len(at)) < 0.05 * at.number + 0.3 * in_a
    matching = Matching(at, resampled_games(40, 1, 50))
    found = tables(*(Errors(matching, mask, generator) for mask in (in_a, in_b)))["all"]
    for_it, against, observed, expected = 0.0, 0.0, 0, 0.0
    for number in set(at.number.tolist()):
        here = [
            (bool(x), bool(y)) for x, y, k in zip(in_a, in_b, at.number, strict=True) if k == number
        ]
        count = {
            pair: here.count(pair)
            for pair in [(True, True), (True, False), (False, True), (False, False)]
        }
        for_it += count[True, True] * count[False, False] / len(here)
        against += count[True, False] * count[False, True] / len(here)
        observed += count[True, True]
        rate = count[False, True] / (count[False, True] + count[False, False])
        expected += rate * (count[True, True] + count[True, False])
    assert found.matched.value == pytest.approx(for_it / against)
    assert found.times.value == pytest.approx(observed / expected)
    assert (found.comparable, found.expected) == (observed, pytest.approx(expected))
    assert found.both == int((in_a & in_b).sum())
    assert found.jaccard == pytest.approx((in_a & in_b).sum() / (in_a | in_b).sum())


def test_what_is_not_matched_is_what_compare_says() -> None:
    generator = np.random.default_rng(2)
    at = replace(positions(60, 20, 3), ply=np.tile(np.arange(2, 22), 60).astype(np.uint8))
    said = records(
        at, *(answers(name, at, generator.random(len(at)) < 0.1) for name in ("one", "two"))
    )
    found = next(pairs(said, Matching(at, resampled_games(60, 1, 200)), 1, ("top-1",)))
    one, two = error_sets(said).values()
    known = overlap(one, two, "top-1")
    table = found.strata["all"]
    assert table.raw.value == pytest.approx(known.odds_ratio.value)
    assert (table.both, table.a - table.both) == (known.both, known.only_a)
    assert table.positions == known.both + known.only_a + known.only_b + known.neither
    assert table.raw.low == pytest.approx(known.odds_ratio.low, rel=0.25)


def drawn(at: Positions, rate: Array | float, generator: np.random.Generator) -> Mask:
    """Errors at a rate that differs from game to game."""
    hard = 2 * generator.random(at.games)[at.game]
    mask: Mask = generator.random(len(at)) < rate * hard
    return mask


def figures(matching: Matching, in_a: Mask, in_b: Mask) -> tuple[Array, Array, Array]:
    """(matched odds ratio, times, odds ratio), each with its bootstrap values."""
    counts = [matching.all, *(matching.counts(mask) for mask in (in_a, in_b, in_a & in_b))]
    observed, expected = observed_and_expected(*counts)
    return odds_ratio(*counts), observed / expected, raw_odds_ratio(*counts)


def test_intervals_of_two_random_subsets_cover_1_about_95_times_in_100() -> None:
    """Errors are commoner in some kinds of positions, and in some games."""
    generator = np.random.default_rng(3)
    at = positions(150, 20, 6)
    matching = Matching(at, resampled_games(150, 3, 200))
    covered, tries = np.zeros(3), 600
    for _ in range(tries):
        # Up to 18 %.
        in_a, in_b = (drawn(at, 0.005 * at.number.astype(float) ** 2, generator) for _ in range(2))
        for which, found in enumerate(figures(matching, in_a, in_b)):
            estimate = percentiles(found)
            covered[which] += estimate.low <= 1 <= estimate.high
    assert (covered[:2] / tries >= 0.925).all()
    assert (covered[:2] / tries <= 0.975).all()
    # Unmatched, hard kinds of positions pass for something in common.
    assert covered[2] / tries < 0.5


def test_what_hard_positions_explain_is_no_dependence() -> None:
    generator = np.random.default_rng(4)
    at = positions(300, 30, 2)
    rate = np.where(at.number == 1, 0.3, 0.01)
    in_a, in_b = (drawn(at, rate, generator) for _ in range(2))
    matching = Matching(at, resampled_games(300, 4, 300))
    matched, times, raw = map(percentiles, figures(matching, in_a, in_b))
    assert raw.low > 2
    assert matched.low < 1 < matched.high
    assert times.low < 1 < times.high


def test_planted_dependence_is_found() -> None:
    """Where A errs, B errs at 12 % instead of 4: three times as likely, odds ratio 3.27."""
    generator = np.random.default_rng(5)
    at = positions(400, 40, 3)
    in_a = drawn(at, 0.05, generator)
    in_b = generator.random(len(at)) < np.where(in_a, 0.12, 0.04)
    errors = [
        Errors(Matching(at, resampled_games(400, 5, 300)), m, generator) for m in (in_a, in_b)
    ]
    found = tables(*errors)["all"]
    assert 2 < found.times.low < 3 < found.times.high < 4.5
    assert 2 < found.matched.low < 3.27 < found.matched.high < 5
    assert found.control.low < 1 < found.control.high


def test_of_hardly_any_common_errors_no_interval_is_made_up() -> None:
    at = positions(50, 20, 1)
    in_a, in_b = (np.zeros(len(at), dtype=np.bool_) for _ in range(2))
    in_a[: FEWEST + 10] = in_b[12 : FEWEST + 11] = True
    generator = np.random.default_rng(0)
    matching = Matching(at, resampled_games(50, 0, 50))
    found = tables(*(Errors(matching, mask, generator) for mask in (in_a, in_b)))
    assert found["all"].both == FEWEST - 2
    assert isnan(found["all"].matched.low)
    assert found["at a pass"].positions == 0
    assert isnan(found["at a pass"].times.value)


def test_one_game_tells_no_interval() -> None:
    weights = resampled_games(1, 0, 20)
    assert isnan(percentiles(weights[0]).low)


def test_strata_are_unions_of_matching_strata() -> None:
    tokens = torch.cat(list(random_games(40, 5, purpose="test")))
    at = Positions.of(replay(tokens))
    matching = Matching(at, resampled_games(at.games, 0, 5))
    for name, mask in at.strata():
        assert matching.all[matching.unions[name], 0].sum() == mask.sum(), name
    assert sum(matching.all[matching.unions[name], 0].sum() for name in PASS_STATES) == len(at)


def test_a_permutation_keeps_what_is_in_each_stratum() -> None:
    generator = np.random.default_rng(6)
    stratum = generator.integers(5, size=400)
    values = generator.permutation(400)
    anew = permuted(values, stratum, generator)
    for number in range(5):
        assert sorted(anew[stratum == number]) == sorted(values[stratum == number])
    assert (anew == values).mean() < 0.1


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(-2, 2)), min_size=1, max_size=60))
def test_ranks_within_strata(members: list[tuple[int, int]]) -> None:
    stratum, values = (np.array(x) for x in zip(*members, strict=True))
    ranks = within_ranks(values.astype(np.float64), stratum)
    for number in np.unique(stratum):
        here = stratum == number
        expected = (rankdata(values[here]) - 0.5) / here.sum() - 0.5
        assert ranks[here] == pytest.approx(expected)
        assert ranks[here].sum() == pytest.approx(0)


def test_rank_correlation() -> None:
    """Spearman's where all positions are alike; 0 for what only unlike ones have in common."""
    generator = np.random.default_rng(7)
    at = positions(100, 20, 1)
    matching = Matching(at, resampled_games(100, 7, 200))
    x = generator.normal(size=len(at))
    y = x + generator.normal(size=len(at))
    ranks = [within_ranks(values, matching.stratum) for values in (x, y)]
    found = rank_correlation(*ranks, matching)
    assert found.value == pytest.approx(spearmanr(x, y).statistic)
    assert found.low < found.value < found.high < 1
    at = positions(100, 20, 5)
    matching = Matching(at, resampled_games(100, 7, 200))
    x, y = (at.number + generator.normal(size=len(at)) for _ in range(2))
    assert spearmanr(x, y).statistic > 0.5
    found = rank_correlation(*(within_ranks(v, matching.stratum) for v in (x, y)), matching)
    assert found.low < 0 < found.high
