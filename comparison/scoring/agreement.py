"""Do two models answer alike, rightly or wrongly: likeliest moves, and legal sets."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from comparison.scoring.intervals import Estimate
from comparison.scoring.records import Answers, Positions, Records, bits, how_many


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
