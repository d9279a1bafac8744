"""Findings about MLP neurons: flips, patterns, the clock, and trees of board features."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from weakref import WeakKeyDictionary

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor

from comparison.findings.definition import (
    JYLIN,
    MAAR,
    SINGH,
    Finding,
    Found,
    Line,
    Lines,
    Measure,
    Value,
)
from comparison.findings.studied import Sample, Studied
from extracted_rules.benches.intervals import GROUPS, Estimate, by_group, jackknife
from extracted_rules.conditions import Boards, parse_part
from extracted_rules.discovery.candidates import Candidates, Family
from extracted_rules.discovery.neuron_rules import DIFFERENCE_SUPPORT, R2_AT_LEAST, TREE_POSITIONS
from extracted_rules.discovery.neurons import FEWEST, Array, Levels, Search, means, rows_of
from extracted_rules.discovery.neurons import Found as Rule
from extracted_rules.discovery.patterns import flipped_patterns, legal_patterns
from extracted_rules.discovery.trees import fit_trees
from extracted_rules.othello.geometry import Geometry, Pattern

#: A neuron follows a flip if its mean activation differs by more than this: GELU's minimum.
DIFFERENCE = 0.17
#: Families of rules by which a neuron stands for the legality of a square: a pattern or several of
#: one start; either sense of a bracket; either sense, or no square of it is empty.
LEGALITY = ("pattern", "line", "line-or-full")
#: Marks of F1 that count as good.
GOOD, FAIR = 0.99, 0.9
#: The layer whose neurons trees describe, how well they must, and of how many neurons one gets
#: trees of other games' boards.
TREE_LAYER, TREE_R2, CONTROL_EVERY = 5, 0.7, 8
SHUFFLED = "boards of other games"
WHERE = (0.0, 1.0)


def _counts(values: list[Estimate], name: str, *, control: bool = False) -> Line:
    """A curve of counts by layer."""
    y, low, high = (tuple(getattr(e, k) for e in values) for k in ("value", "low", "high"))
    return Line(name, tuple(map(float, range(len(values)))), y, low, high, control)


def _sum(values: list[Estimate]) -> Estimate:
    """Of counts of different neurons. Errors may go together, as games are the same, so they add
    up."""
    return Estimate(*(sum(getattr(e, k) for e in values) for k in ("value", "low", "high")))


# --------------------------------------------------------------------------- flips


def _following(activations: Tensor, boards: Boards, group: Tensor) -> Estimate:
    """How many neurons have a mean activation that is more than DIFFERENCE higher where some flip
    holds than elsewhere."""
    flips = flipped_patterns(boards)
    flips = flips[:, flips.sum(0) >= DIFFERENCE_SUPPORT]
    held = csr_array(flips.float().numpy())
    rows = [(group == number).nonzero().squeeze(-1) for number in range(GROUPS)]
    sums = [torch.from_numpy(held[r.numpy()].T @ activations[r].numpy()) for r in rows]
    n = by_group(torch.ones(len(group)), group)

    def count(n: Tensor, total: Tensor, inside: Tensor, held: Tensor) -> float:
        often = held >= DIFFERENCE_SUPPORT
        inside, times = inside[often], held[often, None].float()
        difference = inside / times - (total.float() - inside) / (n.float() - times)
        return float((difference > DIFFERENCE).any(0).sum())

    return jackknife(
        count,
        n,
        by_group(activations, group),
        torch.stack(sums),
        by_group(flips, group),
        within=(0.0, np.inf),
    )


def flip_rules(studied: Studied) -> Found:
    """How many neurons differ in mean activation by more than .17 between positions in which the
    move just played turned discs along a pattern (tile, direction, number) and all others.

    A neuron counts if it does so for any of the patterns that hold in 20 positions at least. The
    control has the boards of other games at the same ply: what counts there has nothing to do with
    flips, so where it comes near the count itself, the mark says nothing. In a hand-built model,
    whose neurons speak in units of 2^18, any difference is above the mark. That ablating all other
    neurons does not do better than chance is not asked here: ``handbuilt replace`` asks more.
    """
    seen = studied.seen
    found, control = (
        [_following(seen.neurons(n), boards, seen.group) for n in range(studied.layers)]
        for boards in (seen.boards, seen.others)
    )
    lines = (_counts(found, "true boards"), _counts(control, SHUFFLED, control=True))
    return Found(
        {"neurons": Value(_sum(found), _sum(control))},
        f"of {studied.layers * studied.model.shape.d_mlp:,} neurons",
        Lines("layer", "neurons that differ by > .17", lines),
    )


# --------------------------------------------------------------------------- patterns


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
            within=WHERE,
        )

    def above(self, name: str, *, control: bool = False) -> Line:
        """Neurons by F1."""
        marks = [number / 50 for number in range(10, 50)] + [GOOD, 0.995]
        f1 = f1_of(*(s.sum(0) for s in self.sums))
        counts = [float(len(torch.unique(self.names[f1 > mark]))) for mark in marks]
        return Line(name, tuple(marks), tuple(counts), control=control)


def pattern_neurons(studied: Studied) -> Found:
    """How many neurons of layers 4 to 6 of 8 tell that a single move is legal, and by how many of
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


# --------------------------------------------------------------------------- the clock


def _by_ply(fit: Sample, seen: Sample, layer: int, ply: Tensor) -> list[Tensor]:
    """Sums by group, float64 [GROUPS, neurons] each: squared errors of the mean activation that the
    other games have at that ply, activations, and their squares; and [GROUPS, 1], positions. ply:
    of the other games' positions."""
    before, after = fit.neurons(layer), seen.neurons(layer)
    # In units of each neuron's own deviation, so that large numbers do not drown small ones.
    centre, scale = before.mean(0), before.std(0).clamp(min=1e-12)
    before, after = (before - centre) / scale, (after - centre) / scale
    context = seen.boards.geometry.context
    count = torch.bincount(ply, minlength=context).clamp(min=1)[:, None]
    mean = torch.zeros(context, before.shape[1]).index_add_(0, ply, before) / count
    error = (after - mean[seen.boards.ply]).square()
    sums = [by_group(x, seen.group) for x in (error, after, after.square())]
    return [*sums, by_group(torch.ones(len(after), 1), seen.group)]


def _r2(error: Tensor, total: Tensor, squares: Tensor, n: Tensor) -> Tensor:
    """[neurons]: the share of the variance that is explained; 0 where nothing varies."""
    spread = squares - total.square() / n
    return torch.where(spread > 1e-6 * n, 1 - error / spread, 0.0)


def clock_neurons(studied: Studied) -> Found:
    """How many neurons the ply alone explains: their mean activation at each ply, in some games,
    explains this share of their variance in others.

    The control takes the means over positions whose plies are permuted.
    """
    fit, seen = studied.fit, studied.seen
    generator = torch.Generator().manual_seed(studied.seed)
    mixed = fit.boards.ply[torch.randperm(len(fit.boards), generator=generator)]
    marks = (R2_AT_LEAST, FAIR)
    counts: dict[tuple[float, bool], list[Estimate]] = {
        (m, c): [] for m in marks for c in (False, True)
    }

    def above(mark: float, *sums: Tensor) -> float:
        return float((_r2(*sums) > mark).sum())

    for layer in range(studied.layers):
        for control, ply in ((False, fit.boards.ply), (True, mixed)):
            sums = _by_ply(fit, seen, layer, ply)
            for mark in marks:
                count = jackknife(partial(above, mark), *sums, within=(0.0, np.inf))
                counts[mark, control].append(count)
    lines = [_counts(counts[mark, False], f"R² > {mark:g}") for mark in marks]
    lines.append(_counts(counts[marks[0], True], f"R² > {marks[0]:g}, plies mixed", control=True))
    return Found(
        {
            f"neurons with R² > {mark:g}": Value(
                _sum(counts[mark, False]), _sum(counts[mark, True])
            )
            for mark in marks
        },
        f"of {studied.layers * studied.model.shape.d_mlp:,} neurons",
        Lines("layer", "neurons", tuple(lines)),
    )


# --------------------------------------------------------------------------- trees


def _tree_sums(studied: Studied, layer: int, every: int, *, shuffled: bool) -> list[Tensor]:
    """As :func:`_by_ply`, of trees instead of plies, of every so-manieth neuron."""
    fit, seen = studied.fit, studied.seen
    grown, asked = ((s.others if shuffled else s.boards).features() for s in (fit, seen))
    before, after = fit.neurons(layer)[:, ::every], seen.neurons(layer)[:, ::every]
    centre, scale = before.mean(0), before.std(0).clamp(min=1e-12)
    before, after = (before - centre) / scale, (after - centre) / scale
    step = -(-len(before) // TREE_POSITIONS)
    trees = fit_trees(grown[::step], before[::step].contiguous())
    error = (after - trees.predict(asked)).square()
    sums = [by_group(x, seen.group) for x in (error, after, after.square())]
    return [*sums, by_group(torch.ones(len(after), 1), seen.group)]


def tree_neurons(studied: Studied) -> Found:
    """What share of the neurons of layer 5 (of the last layer in a model that has fewer) a
    regression tree of depth 5 describes with R² > .7.

    Its questions are whether a square is mine, theirs, empty, was just played or just turned. Trees
    are grown on some games and checked on others. For the control, trees of every eighth neuron are
    grown and checked on boards of other games at the same ply. A neuron that a hand-built model
    does not use has no variance and counts as not described.
    """
    layer = min(TREE_LAYER, studied.layers - 1)

    def share(mark: float, *sums: Tensor) -> float:
        return float((_r2(*sums) > mark).double().mean())

    true = _tree_sums(studied, layer, 1, shuffled=False)
    null = _tree_sums(studied, layer, CONTROL_EVERY, shuffled=True)
    value, control = (
        jackknife(partial(share, TREE_R2), *sums, within=WHERE) for sums in (true, null)
    )
    marks = tuple(number / 50 for number in range(50))
    lines = tuple(
        Line(
            name,
            marks,
            tuple(share(mark, *(s.sum(0) for s in sums)) for mark in marks),
            control=sums is null,
        )
        for name, sums in (("trees", true), (SHUFFLED, null))
    )
    note = f"layer {layer}, {studied.model.shape.d_mlp:,} neurons"
    if studied.layout:
        note += f", {studied.layout.neurons[layer].used:,} of them used"
    return Found(
        {f"neurons with R² > {TREE_R2}": Value(value, control)},
        note,
        Lines("R² on other games", "share of neurons above", lines),
    )


FINDINGS = (
    Finding(
        "flip-rules",
        "Neurons follow rules about flips (tile, direction, number): their mean activation differs "
        "by more than .17.",
        MAAR,
        (Measure("neurons", "a histogram by layer", SHUFFLED, digits=0),),
        flip_rules,
    ),
    Finding(
        "pattern-neurons",
        "Neurons of layers 4 to 6 tell that a single move is legal, with F1 > .99.",
        JYLIN,
        (
            Measure(f"neurons with F1 > {GOOD}", "610", SHUFFLED, digits=0),
            Measure(f"patterns at F1 > {GOOD}", "75.2", SHUFFLED, True, 1),
            Measure(f"patterns at F1 > {FAIR}", "90.6", SHUFFLED, True, 1),
            Measure(f"either sense: neurons with F1 > {GOOD}", "", SHUFFLED, digits=0),
            Measure(f"either sense: patterns at F1 > {GOOD}", "", SHUFFLED, True, 1),
            Measure(f"either sense: patterns at F1 > {FAIR}", "", SHUFFLED, True, 1),
        ),
        pattern_neurons,
    ),
    Finding(
        "clock",
        "Some neurons fire by the ply, whatever was played.",
        JYLIN,
        tuple(
            Measure(f"neurons with R² > {mark:g}", "some", "plies mixed", digits=0)
            for mark in (R2_AT_LEAST, FAIR)
        ),
        clock_neurons,
    ),
    Finding(
        "trees",
        "Decision trees of depth 5 on board features describe neurons of layer 5 with R² > .7.",
        SINGH,
        (Measure(f"neurons with R² > {TREE_R2}", "44.6 (913 of 2,048)", SHUFFLED, True, 1),),
        tree_neurons,
    ),
)
