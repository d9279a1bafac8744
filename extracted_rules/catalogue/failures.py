"""Do the rules that a catalogue lacks or holds weakly account for the model's errors?

If the model knows moves by its pattern rules, squares that need a weak rule, or one it lacks, are
left out of its legal set more often; and a strong rule may be over-eager at squares that it tempts
to (:mod:`extracted_rules.benches.cases`).

Patterns differ in more than their rules: long ones are rarer, and harder for any model. So
strengths are compared among patterns of one length and border class, too, and among those that the
board's symmetries map to each other, which differ in nothing but where they lie. The control is a
permutation null: strengths permuted among patterns of the same length and border class.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from extracted_rules.benches.cases import Cases, Slips, cases, of_start
from extracted_rules.benches.intervals import Estimate, Ratio, percentiles, ratio_by_game
from extracted_rules.benches.positions import Array, Bench, Longs, Mask
from extracted_rules.benches.ranks import permuted, within_ranks
from extracted_rules.catalogue.patterns import BORDER, groups, strengths
from extracted_rules.catalogue.records import Catalogue

#: Patterns that are needed (or tempt) more seldom than this have no rate to speak of.
LEAST_CASES = 30
#: How often strengths are permuted.
PERMUTATIONS = 1000
#: The same where slips are looked at, which takes longer.
EAGER_PERMUTATIONS = 100
#: Best F1 of a pattern's neurons: the levels under which patterns are counted together.
LEVELS = (0.0, 0.5, 0.7, 0.8, 0.9)


@dataclass(frozen=True)
class Correlation:
    """Spearman's of a strength with the rate of an error, over patterns.

    error: "left out" or "taken". among: which patterns are compared (:func:`groups`).
    patterns: with LEAST_CASES. value: with a bootstrap over games. control: the permutation
    null, strengths permuted among patterns of one length and border class, the mean and what lies
    between 2.5 and 97.5 %.
    reliability: of the error rates themselves, the correlation of those in even and odd games:
    with less than 1 there is chance in them that no strength accounts for.
    """

    strength: str
    error: str
    among: str
    patterns: int
    value: Estimate
    control: Estimate
    reliability: float


@dataclass(frozen=True)
class Level:
    """Patterns whose best neuron's F1 lies within ``least`` and ``below`` (0 and 0: no neuron names
    them), and the squares that need them.

    needed, left_out: how many. rate: of those that need them, the share left out. times: how many
    times as many are left out as if every pattern had the rate of its length and border class.
    """

    least: float
    below: float
    patterns: int
    needed: int
    left_out: int
    rate: Estimate
    times: Estimate


@dataclass(frozen=True)
class Eager:
    """Is an illegal likeliest move tempted by a stronger rule than other squares of the position?

    Over empty, illegal squares where some pattern is nearly there: the chance that the strongest of
    those at the square chosen is stronger than that at another square (0.5 if strength plays no
    part). control: the permutation null, as in :class:`Correlation`.
    """

    strength: str
    slips: int
    chance: Estimate
    control: Estimate


@dataclass(frozen=True)
class RuleErrors:
    """What a catalogue's strengths have to do with its model's errors.

    patterns: their names. by_pattern: [patterns] each, the measures of :func:`strengths` and the
    totals of :class:`Cases`, by name. near: how many of the illegal likeliest moves have a
    pattern nearly there; near_elsewhere: of the other empty, illegal squares of these positions.
    """

    model: str
    patterns: tuple[str, ...]
    by_pattern: dict[str, npt.NDArray[Any]]
    correlations: tuple[Correlation, ...]
    levels: tuple[Level, ...]
    eager: tuple[Eager, ...]
    near: Estimate
    near_elsewhere: Estimate


def rule_errors(
    model: str,
    bench: Bench,
    answers: tuple[npt.NDArray[np.uint8], Longs],
    known: Catalogue,
    weights: npt.NDArray[np.float32],
    seed: int,
    progress: Callable[[int], None] = lambda _: None,
) -> RuleErrors:
    """model: the name of the one that ``known`` is the catalogue of; answers: its likeliest squares
    and its predicted legal sets, [N] each. weights: the games drawn, :func:`resampled_games`.
    progress: is told of games."""
    found, slips = cases(bench, *answers, progress)
    geometry = bench.positions.geometry
    strength = strengths(known)
    generator = np.random.default_rng(seed)
    alike = groups(geometry)
    null = {
        name: np.stack([permuted(values, alike[BORDER], generator) for _ in range(PERMUTATIONS)])
        for name, values in strength.items()
    }
    starts = of_start(geometry)
    near, elsewhere = _near_rates(slips, starts)
    totals = {name: counts.sum(1, dtype=np.int64) for name, counts in vars(found).items()}
    return RuleErrors(
        model,
        tuple(pattern.name for pattern in geometry.patterns),
        {**strength, **totals},
        tuple(_correlations(strength, null, found, weights, alike)),
        tuple(_levels(strength["best F1"], found, weights, alike[BORDER])),
        tuple(
            _eager(name, strength[name], null[name], slips, of_start(geometry)) for name in strength
        ),
        near,
        elsewhere,
    )


def _totals(
    counts: npt.NDArray[np.uint8], weights: npt.NDArray[np.float32]
) -> npt.NDArray[np.float32]:
    """[patterns, columns]: sums over the games drawn."""
    return counts.astype(np.float32) @ weights


def _rates(cases_of: npt.NDArray[np.float32], wrong: npt.NDArray[np.float32]) -> Array:
    """0 where there is no case."""
    return (wrong / np.maximum(cases_of, 1)).astype(np.float64)


def _ranks_of_columns(values: Array, group: Longs) -> Array:
    """Ranks within groups [patterns], for each column of [patterns, columns] by itself."""
    columns = values.shape[1]
    stratum = (np.arange(columns)[:, None] * (group.max() + 1) + group).ravel()
    return within_ranks(values.T.ravel(), stratum).reshape(columns, -1).T


def _pearson(x: Array, y: Array) -> Array:
    """[columns], of [patterns, columns] each with mean 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio: Array = (x * y).sum(0) / np.sqrt((x * x).sum(0) * (y * y).sum(0))
    return ratio


def _centred(columns: Array) -> Estimate:
    """The interval of a rank correlation. Games drawn anew add noise to the rates beyond that of
    the games themselves, which draws every correlation towards 0: that shift is taken back."""
    drawn = columns[1:] + (columns[0] - columns[1:].mean())
    return percentiles(np.append(columns[0], drawn))


def _correlations(
    strength: dict[str, Array],
    null: dict[str, Array],
    found: Cases,
    weights: npt.NDArray[np.float32],
    alike: dict[str, Longs],
) -> Iterator[Correlation]:
    kinds = {"left out": (found.needed, found.left_out), "taken": (found.tempting, found.taken)}
    halves = np.stack([np.arange(len(weights)) % 2 == half for half in (0, 1)], 1)
    for error, counts in kinds.items():
        rates = _rates(*(_totals(c, weights) for c in counts))
        by_half = _rates(*(_totals(c, halves.astype(np.float32)) for c in counts))
        known = counts[0].sum(1, dtype=np.int64) >= LEAST_CASES
        if not known.any():
            continue
        for among, group in alike.items():
            y = _ranks_of_columns(rates[known], group[known])
            half = _ranks_of_columns(by_half[known], group[known])
            for name, values in strength.items():
                x = _ranks_of_columns(values[known, None], group[known])
                anew = _pearson(_ranks_of_columns(null[name][:, known].T, group[known]), y[:, :1])
                yield Correlation(
                    name,
                    error,
                    among,
                    int(known.sum()),
                    _centred(_pearson(x, y)),
                    percentiles(np.append(anew.mean(), anew)),
                    float(_pearson(half[:, :1], half[:, 1:])[0]),
                )


def _levels(
    best: Array, found: Cases, weights: npt.NDArray[np.float32], group: Longs
) -> Iterator[Level]:
    needed, left_out = (_totals(c, weights) for c in (found.needed, found.left_out))
    of_class = np.zeros((group.max() + 1, weights.shape[1], 2))
    np.add.at(of_class, group, np.stack([needed, left_out], -1))
    expected = needed * _rates(*of_class.transpose(2, 0, 1))[group]
    edges = [(0.0, 0.0), *zip(LEVELS, (*LEVELS[1:], 1.0), strict=True)]
    for least, below in edges:
        members = (best > least) & (best <= below) if below else best == 0
        if not found.needed[members].any():
            continue
        rate = Ratio.of(
            *(
                torch.from_numpy(c[members].sum(0, dtype=np.int64))
                for c in (found.left_out, found.needed)
            )
        )
        with np.errstate(divide="ignore", invalid="ignore"):
            times = left_out[members].sum(0) / expected[members].sum(0)
        yield Level(
            least,
            below,
            int(members.sum()),
            int(rate.y),
            int(rate.x),
            rate.rate(),
            percentiles(times.astype(np.float64)),
        )


def _strongest(near: Mask, strength: Array, starts: dict[int, list[int]]) -> Array:
    """float64 [slips, squares]: of the patterns nearly there, by square; -inf where there is
    none."""
    best = np.full((len(near), max(starts) + 1), -np.inf)  # the last square is played
    for square, numbers in starts.items():
        values = np.where(near[:, numbers], strength[numbers], -np.inf)
        best[:, square] = values.max(1)
    return best


def _tempted(slips: Slips, starts: dict[int, list[int]]) -> Mask:
    """bool [slips, squares]: empty, illegal squares where a pattern is nearly there."""
    return np.isfinite(_strongest(slips.near, np.zeros(slips.near.shape[1]), starts))


def _near_rates(slips: Slips, starts: dict[int, list[int]]) -> tuple[Estimate, Estimate]:
    tempted, rows = _tempted(slips, starts), np.arange(len(slips.game))
    here = slips.open[rows, slips.top]  # a square that holds a disc is tempted by nothing
    others = slips.open & here[:, None]
    others[rows, slips.top] = False

    def rate(x: npt.NDArray[np.generic], y: npt.NDArray[np.generic]) -> Estimate:
        return ratio_by_game(x, y, slips.game).rate()

    at_top = rate(tempted[rows, slips.top] & here, here)
    return at_top, rate((tempted & others).sum(1), others.sum(1))


def _eager(
    strength_name: str, strength: Array, null: Array, slips: Slips, starts: dict[int, list[int]]
) -> Eager:
    rows = np.arange(len(slips.game))
    tempted = _tempted(slips, starts)
    others = tempted.copy()
    others[rows, slips.top] = False
    known = tempted[rows, slips.top] & others.any(1)

    def stronger(strength: Array) -> Array:
        """[known slips]: the share of other squares that the top one is stronger than."""
        best = _strongest(slips.near[known], strength, starts)
        top = best[np.arange(len(best)), slips.top[known]][:, None]
        beats = np.where(others[known], (top > best) + 0.5 * (top == best), 0.0)
        share: Array = beats.sum(1) / others[known].sum(1)
        return share

    shares = stronger(strength)
    chance = ratio_by_game(shares, np.ones(len(shares)), slips.game[known]).share()
    anew = np.array([stronger(values).mean() for values in null[:EAGER_PERMUTATIONS]])
    return Eager(strength_name, int(known.sum()), chance, percentiles(np.append(anew.mean(), anew)))
