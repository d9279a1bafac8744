"""What models answer at every position, errors or not: how near to one they come, and how alike."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from comparison.scoring.records import Answers, Records
from extracted_rules.benches.intervals import Estimate
from extracted_rules.benches.matched import Matching, rank_correlation
from extracted_rules.benches.positions import Mask, Positions, bits, how_many
from extracted_rules.benches.ranks import permuted, within_ranks

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


@dataclass(frozen=True)
class Agreement:
    """Two models on one bench; shares with 95 % intervals over games.

    top: positions with the same likeliest move. by_chance: what that share would be if both drew
    theirs uniformly from the moves they predict. sets: positions where those are the same
    moves. jaccard: of these moves, the mean over positions. wrong: of all squares that either model
    has wrong (false negatives and false positives), those that both have wrong.
    """

    a: str
    b: str
    top: Estimate
    by_chance: Estimate
    sets: Estimate
    jaccard: Estimate
    wrong: Estimate


def agreements(records: Records) -> list[Agreement]:
    """Every two models."""
    return [agreement(records.positions, a, b) for a, b in combinations(records.answers, 2)]


def agreement(at: Positions, a: Answers, b: Answers) -> Agreement:
    """Two models' answers to the same positions."""
    # The moves that a model predicts: at least its likeliest one.
    some = [x.columns.predicted | bits(at.geometry)[x.columns.top] for x in (a, b)]
    shared, either = (
        how_many(x).astype(np.float64) for x in (some[0] & some[1], some[0] | some[1])
    )
    sizes = [how_many(moves).astype(np.float64) for moves in some]
    wrong = [x.columns.predicted ^ at.legal for x in (a, b)]
    every = np.ones(len(at))
    return Agreement(
        a.model,
        b.model,
        top=at.ratio(a.columns.top == b.columns.top, every).rate(),
        by_chance=at.ratio(shared / (sizes[0] * sizes[1]), every).share(),
        sets=at.ratio(a.columns.predicted == b.columns.predicted, every).rate(),
        jaccard=at.ratio(shared / either, every).share(),
        wrong=at.ratio(*map(how_many, (wrong[0] & wrong[1], wrong[0] | wrong[1]))).share(),
    )
