"""Neurons that tell that a move is legal: the patterns that they are active for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from math import inf

import numpy as np
import torch
from torch import Tensor

from extracted_rules.benches.intervals import GROUPS, Estimate, jackknife
from extracted_rules.conditions import Boards, parse_part
from extracted_rules.discovery.candidates import Candidates, Family
from extracted_rules.discovery.neurons import (
    FEWEST,
    Array,
    Found,
    Levels,
    Search,
    means,
    rows_of,
)
from extracted_rules.othello.geometry import Geometry, Pattern

#: Families of rules by which a neuron stands for the legality of a square: a pattern or several of
#: one start; either sense of a bracket; either sense, or no square of it is empty.
LEGALITY = ("pattern", "line", "line-or-full")


@dataclass(frozen=True)
class Agreeing:
    """Positions by group, float64 [GROUPS] each: in which a neuron is active and its rule holds, in
    which it is active, in which the rule holds."""

    hits: Tensor
    active: Tensor
    holds: Tensor

    def summed(self) -> tuple[Tensor, Tensor, Tensor]:
        """The same of all groups."""
        return self.hits.sum(), self.active.sum(), self.holds.sum()


@dataclass(frozen=True)
class Detector:
    """A neuron that is active above a threshold where any of some patterns makes a square legal.

    family: of LEGALITY. columns: the rows of the board's patterns that the rule names. off: mean
    activation where the rule does not hold, on the games that it was found on. fit, seen: how well
    both agree on those games and on the games seen; positions in which no square of a bracket is
    empty do not count for "line-or-full": it may do there what it likes.
    """

    layer: int
    neuron: int
    family: str
    columns: tuple[int, ...]
    off: float
    fit: Agreeing
    seen: Agreeing


@dataclass(frozen=True)
class Questions:
    """What rules of LEGALITY may be about in N positions. group: int64 [N], of each one's game."""

    candidates: Candidates
    group: Tensor

    @classmethod
    def of(cls, boards: Boards, group: Tensor) -> "Questions":
        """The candidates of LEGALITY; of other families there are none."""
        none = Family(boards.geometry, "", (), ())
        families = {
            name: family if name in LEGALITY else none
            for name, family in Candidates.over(boards).families.items()
        }
        return cls(Candidates(boards, families), group)


def detectors(
    layer: int, fit: Tensor, seen: Tensor, found: Questions, other: Questions
) -> Iterator[Detector]:
    """The best rule of each family of LEGALITY for every neuron of a layer, as the extraction of
    catalogues searches for it. fit, seen: float32 [N, neurons], activations in the positions that
    rules are ``found`` on, and in ``other`` ones."""
    levels = Levels.of(fit.T.contiguous())
    rules, _ = Search(found.candidates).best(fit, levels)
    checked = seen.T.contiguous().numpy()
    for rule in (rule for of_neuron in rules for rule in of_neuron):
        family = found.candidates.families[rule.family]
        parts = [family.parts[part] for part in rule.parts]
        patterns = [
            p for part in parts for p in parse_part(family.rule, part, family.geometry).patterns
        ]
        off, _ = means(rule, levels, family)
        yield Detector(
            layer,
            rule.neuron,
            rule.family,
            tuple(family.geometry.row_of_pattern[p.name] for p in patterns),
            off,
            _agreeing(rule, patterns, found, levels.activations[rule.neuron]),
            _agreeing(rule, patterns, other, checked[rule.neuron]),
        )


def _agreeing(
    rule: Found, patterns: list[Pattern], asked: Questions, activation: Array
) -> Agreeing:
    """activation: float32 [N], of the rule's neuron."""
    families = asked.candidates.families
    single = families["pattern"]
    columns = tuple(single.geometry.row_of_pattern[p.name] for p in patterns)
    assert all(single.parts[c] == p.name for c, p in zip(columns, patterns, strict=True))
    holds = rows_of(single, columns)
    active = activation > np.float32(rule.threshold)
    if rule.family == "line-or-full":
        either = rows_of(families[rule.family], rule.parts)
        active[np.setdiff1d(either, holds)] = False
    groups = asked.group.numpy()
    counts = (groups[holds[active[holds]]], groups[active], groups[holds])
    return Agreeing(
        *(torch.from_numpy(np.bincount(c, minlength=GROUPS).astype(np.float64)) for c in counts)
    )


def f1_of(hits: Tensor, active: Tensor, holds: Tensor) -> Tensor:
    """F1 from counts; 0 where a rule holds too seldom to tell."""
    return (2 * hits / (active + holds).clamp(min=1)) * (holds >= FEWEST)


class Agreement:
    """How many neurons detect legality, and what of it, over the games seen."""

    def __init__(self, found: Sequence[Detector], geometry: Geometry) -> None:
        self.sums = [
            torch.stack([getattr(d.seen, name) for d in found], 1)
            if found
            else torch.zeros(GROUPS, 0, dtype=torch.float64)
            for name in ("hits", "active", "holds")
        ]
        places = [(d.layer, d.neuron) for d in found]
        self.names = torch.tensor([list(dict.fromkeys(places)).index(p) for p in places]).long()
        self.covers = torch.zeros(len(found), len(geometry.patterns), dtype=torch.bool)
        for row, detector in enumerate(found):
            self.covers[row, list(detector.columns)] = True

    def _neurons(self, mark: float, *sums: Tensor) -> float:
        return float(len(torch.unique(self.names[f1_of(*sums) > mark])))

    def neurons(self, mark: float) -> Estimate:
        """How many neurons agree with a rule at more than this F1."""
        return jackknife(partial(self._neurons, mark), *self.sums, within=(0.0, inf))

    def patterns(self, mark: float) -> Estimate:
        """The share of all patterns that such neurons name."""
        return jackknife(
            lambda *sums: float(self.covers[f1_of(*sums) > mark].any(0).double().mean()),
            *self.sums,
            within=(0.0, 1.0),
        )

    def above(self, marks: Sequence[float]) -> tuple[float, ...]:
        """Neurons above each F1."""
        return tuple(self._neurons(mark, *(s.sum(0) for s in self.sums)) for mark in marks)
