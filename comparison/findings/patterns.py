"""Neurons that tell that a move is legal: the patterns that they are active for."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor

from comparison.findings.definition import JYLIN, Found, Line, Lines, Measure, Value, finding
from comparison.findings.studied import SHUFFLED, Studied
from extracted_rules.benches.intervals import GROUPS, Estimate, jackknife
from extracted_rules.conditions import Boards, parse_part
from extracted_rules.discovery.candidates import Candidates, Family
from extracted_rules.discovery.neurons import FEWEST, Array, Levels, Search, means, rows_of
from extracted_rules.discovery.neurons import Found as Rule
from extracted_rules.discovery.patterns import legal_patterns
from extracted_rules.othello.geometry import Geometry, Pattern

#: Families of rules by which a neuron stands for the legality of a square: a pattern or several of
#: one start; either sense of a bracket; either sense, or no square of it is empty.
LEGALITY = ("pattern", "line", "line-or-full")
#: Marks of F1 that count as good.
GOOD, FAIR = 0.99, 0.9


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


def only(boards: Boards, kinds: tuple[str, ...]) -> Candidates:
    """The candidates of some families; of the others there are none."""
    every = Candidates.over(boards)
    none = Family(boards.geometry, "", (), ())
    families = {name: f if name in kinds else none for name, f in every.families.items()}
    return Candidates(boards, families)


def middle_layers(layers: int) -> range:
    """Layers 4 to 6 of 8: the second half but for the last one."""
    return range(layers // 2, layers - 1)


#: What was found of a model, as more than one finding asks for it.
_FOUND: WeakKeyDictionary[Studied, dict[bool, list[Detector]]] = WeakKeyDictionary()


def detectors(studied: Studied, *, shuffled: bool = False) -> list[Detector]:
    """The best rule of each family of LEGALITY for every neuron of the middle layers and the last
    one, as the extraction of catalogues searches for it; shuffled: for the boards of other games.
    """
    kept = _FOUND.setdefault(studied, {})
    if shuffled not in kept:
        samples = (studied.fit, studied.seen)
        candidates = [only(s.others if shuffled else s.boards, LEGALITY) for s in samples]
        layers = (*middle_layers(studied.layers), studied.layers - 1)
        kept[shuffled] = [d for layer in layers for d in _search(studied, layer, *candidates)]
    return kept[shuffled]


def _search(
    studied: Studied, layer: int, found: Candidates, other: Candidates
) -> Iterator[Detector]:
    fit, seen = studied.fit, studied.seen
    levels = Levels.of(fit.neurons(layer).T.contiguous())
    rules, _ = Search(found).best(fit.neurons(layer), levels)
    checked = seen.neurons(layer).T.contiguous().numpy()
    for rule in (rule for of_neuron in rules for rule in of_neuron):
        family = found.families[rule.family]
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
            _agreeing(rule, patterns, found, levels.activations[rule.neuron], fit.group),
            _agreeing(rule, patterns, other, checked[rule.neuron], seen.group),
        )


def _agreeing(
    rule: Rule, patterns: list[Pattern], candidates: Candidates, activation: Array, group: Tensor
) -> Agreeing:
    """activation: float32 [rows], of the rule's neuron."""
    single = candidates.families["pattern"]
    columns = tuple(single.geometry.row_of_pattern[p.name] for p in patterns)
    assert all(single.parts[c] == p.name for c, p in zip(columns, patterns, strict=True))
    holds = rows_of(single, columns)
    active = activation > np.float32(rule.threshold)
    if rule.family == "line-or-full":
        either = rows_of(candidates.families[rule.family], rule.parts)
        active[np.setdiff1d(either, holds)] = False
    groups = group.numpy()
    counts = (groups[holds[active[holds]]], groups[active], groups[holds])
    return Agreeing(
        *(torch.from_numpy(np.bincount(c, minlength=GROUPS).astype(np.float64)) for c in counts)
    )


def f1_of(hits: Tensor, active: Tensor, holds: Tensor) -> Tensor:
    """F1 from counts; 0 where a rule holds too seldom to tell."""
    return (2 * hits / (active + holds).clamp(min=1)) * (holds >= FEWEST)


class _Agreement:
    """Detectors of some families against one another."""

    def __init__(
        self, found: list[Detector], families: tuple[str, ...], geometry: Geometry
    ) -> None:
        self.found = [d for d in found if d.family in families]
        self.sums = [
            torch.stack([getattr(d.seen, name) for d in self.found], 1)
            if self.found
            else torch.zeros(GROUPS, 0, dtype=torch.float64)
            for name in ("hits", "active", "holds")
        ]
        places = [(d.layer, d.neuron) for d in self.found]
        self.names = torch.tensor([list(dict.fromkeys(places)).index(p) for p in places]).long()
        self.covers = torch.zeros(len(self.found), len(geometry.patterns), dtype=torch.bool)
        for row, detector in enumerate(self.found):
            self.covers[row, list(detector.columns)] = True

    def neurons(self, mark: float) -> Estimate:
        """How many neurons agree with a rule of these families at more than this F1."""
        return jackknife(
            lambda *sums: float(len(torch.unique(self.names[f1_of(*sums) > mark]))),
            *self.sums,
            within=(0.0, np.inf),
        )

    def patterns(self, mark: float) -> Estimate:
        """The share of all patterns that such neurons name."""
        return jackknife(
            lambda *sums: float(self.covers[f1_of(*sums) > mark].any(0).double().mean()),
            *self.sums,
            within=(0.0, 1.0),
        )

    def above(self, name: str, *, control: bool = False) -> Line:
        """Neurons by F1."""
        marks = [number / 50 for number in range(10, 50)] + [GOOD, 0.995]
        f1 = f1_of(*(s.sum(0) for s in self.sums))
        counts = [float(len(torch.unique(self.names[f1 > mark]))) for mark in marks]
        return Line(name, tuple(marks), tuple(counts), control=control)


@finding(
    "pattern-neurons",
    "Neurons of the middle layers (4 to 6 of 8) tell that a single move is legal, with F1 > .99.",
    JYLIN,
    Measure(f"neurons with F1 > {GOOD}", "610", SHUFFLED, digits=0),
    Measure(f"patterns at F1 > {GOOD}", "75.2", SHUFFLED, True, 1),
    Measure(f"patterns at F1 > {FAIR}", "90.6", SHUFFLED, True, 1),
    Measure(f"either sense: neurons with F1 > {GOOD}", "", SHUFFLED, digits=0),
    Measure(f"either sense: patterns at F1 > {GOOD}", "", SHUFFLED, True, 1),
    Measure(f"either sense: patterns at F1 > {FAIR}", "", SHUFFLED, True, 1),
)
def pattern_neurons(studied: Studied) -> Found:
    """How many neurons of the middle layers tell that a single move is legal, and by how many of
    the patterns.

    A neuron's rule is a pattern, or several patterns of one start, that it is active for, found as
    `extract` finds them, on some games; F1 of "active above a threshold" is counted on others. A
    pattern counts if the rule of some neuron of that F1 names it. Beside it, *either sense*: a
    bracket's two patterns, in positions in which one of its squares is empty; hand-built lines are
    such. The control is the same search for boards of other games.
    """
    layers = middle_layers(studied.layers)
    if not layers:
        return Found(note=f"a model of {studied.layers} layers has none between middle and last")
    found, control = (
        [d for d in detectors(studied, shuffled=shuffled) if d.layer in layers]
        for shuffled in (False, True)
    )
    geometry = studied.seen.boards.geometry
    values: dict[str, Value] = {}
    lines = []
    for name, families in (("", LEGALITY[:1]), ("either sense: ", LEGALITY)):
        true, null = (_Agreement(some, families, geometry) for some in (found, control))
        measured: dict[str, Callable[[_Agreement], Estimate]] = {
            f"neurons with F1 > {GOOD}": lambda a: a.neurons(GOOD),
            f"patterns at F1 > {GOOD}": lambda a: a.patterns(GOOD),
            f"patterns at F1 > {FAIR}": lambda a: a.patterns(FAIR),
        }
        values |= {f"{name}{k}": Value(of(true), of(null)) for k, of in measured.items()}
        lines.append(true.above(f"{name}single move" if not name else "either sense"))
        lines.append(null.above(f"{SHUFFLED}, {'either' if name else 'single'}", control=True))
    often = int((legal_patterns(studied.seen.boards).sum(0) >= FEWEST).sum())
    known = f"{often} of {len(geometry.patterns)} patterns hold in {FEWEST} positions"
    note = f"layers {layers[0]}-{layers[-1]}; {known}"
    if studied.layout:
        note += "; its lines are brackets in either sense, in the last two layers"
    return Found(values, note, Lines("F1 on other games", "neurons above", tuple(lines)))
