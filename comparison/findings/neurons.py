"""Findings about MLP neurons: flips, the clock, and trees of board features."""

from functools import partial
from math import inf

import torch
from torch import Tensor

from comparison.findings.definition import (
    JYLIN,
    MAAR,
    SINGH,
    Found,
    Line,
    Lines,
    Measure,
    Value,
    finding,
)
from comparison.findings.studied import SHUFFLED, Studied
from extracted_rules.benches.intervals import Estimate, jackknife
from extracted_rules.discovery.explained import (
    by_ply,
    errors_by_group,
    following,
    r2_of,
    scaled,
)
from extracted_rules.discovery.neuron_rules import R2_AT_LEAST, TREE_POSITIONS
from extracted_rules.discovery.trees import fit_trees

#: What the ply is to explain of a neuron that it is said to explain nearly wholly.
R2_HIGH = 0.9
#: The layer whose neurons trees describe, how well they must, and of how many neurons one gets
#: trees of other games' boards.
TREE_LAYER, TREE_R2, CONTROL_EVERY = 5, 0.7, 8


def _counts(values: list[Estimate], name: str, *, control: bool = False) -> Line:
    """A curve of counts by layer."""
    return Line.of(name, range(len(values)), values, control=control)


def _sum(values: list[Estimate]) -> Estimate:
    """Of counts of different neurons. Errors may go together, as games are the same, so they add
    up."""
    return Estimate(*(sum(getattr(e, k) for e in values) for k in ("value", "low", "high")))


# --------------------------------------------------------------------------- flips


@finding(
    "flip-rules",
    "Neurons follow rules about flips (tile, direction, number): their mean activation differs "
    "by more than .17.",
    MAAR,
    Measure("neurons", "a histogram by layer", SHUFFLED, digits=0),
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
        [following(seen.neurons(n), boards, seen.group) for n in range(studied.layers)]
        for boards in (seen.boards, seen.others)
    )
    lines = (_counts(found, "true boards"), _counts(control, SHUFFLED, control=True))
    return Found(
        {"neurons": Value(_sum(found), _sum(control))},
        f"of {studied.layers * studied.model.shape.d_mlp:,} neurons",
        Lines("layer", "neurons that differ by > .17", lines),
    )


# --------------------------------------------------------------------------- the clock


@finding(
    "clock",
    "Some neurons fire by the ply, whatever was played.",
    JYLIN,
    *(
        Measure(f"neurons with R² > {mark:g}", "some", "plies mixed", digits=0)
        for mark in (R2_AT_LEAST, R2_HIGH)
    ),
)
def clock_neurons(studied: Studied) -> Found:
    """How many neurons the ply alone explains: their mean activation at each ply, in some games,
    explains this share of their variance in others.

    The control takes the means over positions whose plies are permuted.
    """
    fit, seen = studied.fit, studied.seen
    generator = torch.Generator().manual_seed(studied.seed)
    mixed = fit.boards.ply[torch.randperm(len(fit.boards), generator=generator)]
    marks = (R2_AT_LEAST, R2_HIGH)
    counts: dict[tuple[float, bool], list[Estimate]] = {
        (m, c): [] for m in marks for c in (False, True)
    }

    def above(mark: float, *sums: Tensor) -> float:
        return float((r2_of(*sums) > mark).sum())

    for layer in range(studied.layers):
        for control, ply in ((False, fit.boards.ply), (True, mixed)):
            before, after = fit.neurons(layer), seen.neurons(layer)
            sums = by_ply(before, ply, after, seen.boards, seen.group)
            for mark in marks:
                count = jackknife(partial(above, mark), *sums, within=(0.0, inf))
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


def _by_trees(studied: Studied, layer: int, every: int, *, shuffled: bool) -> list[Tensor]:
    """:func:`errors_by_group` where trees predict, of every so-manieth neuron."""
    fit, seen = studied.fit, studied.seen
    grown, asked = ((s.others if shuffled else s.boards).features() for s in (fit, seen))
    before, after = scaled(*(s.neurons(layer)[:, ::every] for s in (fit, seen)))
    step = -(-len(before) // TREE_POSITIONS)
    trees = fit_trees(grown[::step], before[::step].contiguous())
    return errors_by_group(after, trees.predict(asked), seen.group)


@finding(
    "trees",
    "Decision trees of depth 5 on board features describe neurons of layer 5 (or the last one) "
    "with R² > .7.",
    SINGH,
    Measure(f"neurons with R² > {TREE_R2}", "44.6 (913 of 2,048)", SHUFFLED, True, 1),
)
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
        return float((r2_of(*sums) > mark).double().mean())

    true = _by_trees(studied, layer, 1, shuffled=False)
    null = _by_trees(studied, layer, CONTROL_EVERY, shuffled=True)
    value, control = (
        jackknife(partial(share, TREE_R2), *sums, within=(0.0, 1.0)) for sums in (true, null)
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
