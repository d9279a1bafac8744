"""Near misses: errors are rare, but how near a model comes to one is known at every position."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from comparison.scoring.intervals import Estimate
from comparison.scoring.matched import Cells, dealt, rank_correlation, within_ranks
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
    margins: tuple[float, ...]
    first: Estimate
    second: Estimate
    over_some: Estimate
    mass: Estimate

    def as_dict(self) -> dict[str, object]:
        estimates = {
            name: vars(getattr(self, name)) for name in ("first", "second", "over_some", "mass")
        }
        quantiles = {f"{q:g}": margin for q, margin in zip(QUANTILES, self.margins, strict=True)}
        about = {"model": self.model, "stratum": self.stratum, "positions": self.positions}
        return {**about, "margins": quantiles, **estimates}


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
    return NearMisses(
        answers.model,
        stratum,
        int(mask.sum()),
        margins=tuple(np.quantile(said.margin[mask], QUANTILES).tolist()),
        first=at.ratio(mask & (said.rank == 1), mask).rate(),
        second=at.ratio(mask & (said.rank == 2), mask).rate(),
        over_some=at.ratio(mask & (said.over_worst > 0), mask).rate(),
        mass=at.ratio(said.mass * mask, mask).share(),
    )


@dataclass(frozen=True)
class Alike:
    """Do two models come near to errors at the same positions? The rank correlation of their
    margins among matched positions; ``control``: b's margins dealt anew among those."""

    a: str
    b: str
    correlation: Estimate
    control: Estimate

    def as_dict(self) -> dict[str, object]:
        estimates = {"correlation": vars(self.correlation), "control": vars(self.control)}
        return {"a": self.a, "b": self.b, **estimates}


def alike(records: Records, cells: Cells, seed: int) -> list[Alike]:
    """Every two models."""
    generator = np.random.default_rng(seed)
    ranks = {a.model: within_ranks(a.columns.margin, cells.cell) for a in records.answers}
    return [
        Alike(
            a,
            b,
            rank_correlation(ranks[a], ranks[b], cells),
            rank_correlation(ranks[a], dealt(ranks[b], cells.cell, generator), cells),
        )
        for a, b in combinations(ranks, 2)
    ]
