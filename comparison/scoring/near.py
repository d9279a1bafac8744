"""Near misses: errors are rare, but how near a model comes to one is known at every position."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from comparison.scoring.intervals import Estimate
from comparison.scoring.matched import Matching, permuted, rank_correlation, within_ranks
from comparison.scoring.records import Answers, Mask, Positions, Records

#: Of margins; an error has one above 0.
QUANTILES = (0.5, 0.9, 0.99, 0.999)


@dataclass(frozen=True)
class NearMisses:
    """How near to an illegal choice a model is, over some positions.

    margins: by QUANTILES, nats. first, second: share of positions where the likeliest illegal move
    is the likeliest of all, or the second. over_some: where it ranks above some legal move. mass:
    mean probability on illegal moves.
    """

    model: str
    stratum: str
    positions: int
    margins: dict[str, float]
    first: Estimate
    second: Estimate
    over_some: Estimate
    mass: Estimate


def near_misses(records: Records) -> list[NearMisses]:
    """Of every model, over all positions, by pass state and stage of the game."""
    at = records.positions
    return [
        _near_misses(at, answers, stratum, mask)
        for answers in records.answers
        for stratum, mask in at.strata()
        if mask.any()
    ]


def _near_misses(at: Positions, answers: Answers, stratum: str, mask: Mask) -> NearMisses:
    said = answers.columns
    quantiles = np.quantile(said.margin[mask], QUANTILES)
    return NearMisses(
        answers.model,
        stratum,
        int(mask.sum()),
        margins=dict(zip(map(str, QUANTILES), quantiles.tolist(), strict=True)),
        first=at.ratio(mask & (said.rank == 1), mask).rate(),
        second=at.ratio(mask & (said.rank == 2), mask).rate(),
        over_some=at.ratio(mask & (said.over_worst > 0), mask).rate(),
        mass=at.ratio(said.mass * mask, mask).share(),
    )


@dataclass(frozen=True)
class Alike:
    """Do two models come near to errors at the same positions? The rank correlation of their
    margins among matched positions; ``control``: the permutation null."""

    a: str
    b: str
    correlation: Estimate
    control: Estimate


def alike(records: Records, matching: Matching, seed: int) -> list[Alike]:
    """Every two models."""
    generator = np.random.default_rng(seed)
    ranks = {a.model: within_ranks(a.columns.margin, matching.stratum) for a in records.answers}
    return [
        Alike(
            a,
            b,
            rank_correlation(ranks[a], ranks[b], matching),
            rank_correlation(ranks[a], permuted(ranks[b], matching.stratum, generator), matching),
        )
        for a, b in combinations(ranks, 2)
    ]
