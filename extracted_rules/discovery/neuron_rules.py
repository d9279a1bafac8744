"""From a layer's activations to one finding a neuron: the rule that describes it, and its control.

A yes-or-no rule counts if it correlates with the neuron being active clearly better, on games it
was not found on, than the best rule that the same search finds for boards of other games at the
same ply. Where none does, or explains little of what they do, the ply alone or a tree may explain
the neuron.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from msgspec.structs import replace
from torch import Tensor

from extracted_rules.catalogue import Finding, Neuron
from extracted_rules.conditions import Boards, target_squares, there
from extracted_rules.discovery.candidates import Candidates, shuffled
from extracted_rules.discovery.collecting import Batch, Surroundings
from extracted_rules.discovery.neurons import (
    CLEARLY,
    Array,
    Checked,
    Found,
    Levels,
    Search,
    check,
    core_of,
    is_core,
    means,
)
from extracted_rules.discovery.regression import means_by
from extracted_rules.discovery.trees import Trees, fit_trees
from extracted_rules.othello.geometry import Geometry

#: How much better than its control a yes-or-no rule must correlate with a neuron.
PHI_ABOVE_CONTROL = 0.15
#: What share of the variance a clock or a tree must explain, how much more than a yes-or-no rule a
#: tree beside it, and how many times as much a tree in its place.
R2_AT_LEAST, TREE_BESIDE, TREE_INSTEAD = 0.3, 0.2, 2.0
#: Positions that trees are grown from and checked on.
TREE_POSITIONS = 20_000
#: Positions in which a flip must hold for its mean difference of activation to count.
DIFFERENCE_SUPPORT = 20
#: Smaller F1 of rules that fit less well a catalogue leaves out; so many effects it keeps.
FIGURE_KEPT, KEPT_EFFECTS = 0.5, 1
#: Smaller shares of variance and differences of activation a catalogue leaves out.
LEAST_KEPT = 0.05
#: Fewer games than this leave rare patterns without a single position.
FEWEST_GAMES = 100

THRESHOLDS = {
    "phi above control": PHI_ABOVE_CONTROL,
    "r2 of a clock or tree": R2_AT_LEAST,
    "r2 of a tree beside a rule, more": TREE_BESIDE,
    "r2 of a tree instead of a rule, times": TREE_INSTEAD,
    "a core above the rest, standard errors": CLEARLY,
}


@dataclass(frozen=True)
class Labels:
    """What could hold at every position, for the games rules are found on and for the others; and
    the same of boards of other games at the same ply."""

    found: Candidates
    other: Candidates
    found_control: Candidates
    other_control: Candidates

    @classmethod
    def of(cls, found: Boards, other: Boards, seed: int) -> "Labels":
        return cls(
            Candidates.over(found),
            Candidates.over(other),
            Candidates.over(shuffled(found, seed)),
            Candidates.over(shuffled(other, seed + 1)),
        )


class NeuronRules:
    """The collector of MLP neurons."""

    needs = frozenset({"mlp.hook_post"})

    def __init__(self, where: Surroundings, labels: Labels) -> None:
        self.where, self.labels = where, labels
        self._found: list[Tensor] = []
        self._other: list[Tensor] = []

    def add(self, batch: Batch) -> None:
        activations = batch.activations["mlp.hook_post"]
        seen = there(batch.played, activations.shape[1])
        (self._other if batch.checking else self._found).append(activations[seen].float().cpu())

    def findings(self, progress: Callable[[int], None] = lambda _: None) -> list[Finding]:
        found, other = torch.cat(self._found), torch.cat(self._other)
        self._found, self._other = [], []
        return describe_neurons(self.where, self.labels, found, other, progress)


def describe_neurons(
    where: Surroundings,
    labels: Labels,
    found: Tensor,
    other: Tensor,
    progress: Callable[[int], None] = lambda _: None,
) -> list[Finding]:
    """One finding a neuron. found, other: float32 [N, neurons], activations at the positions of the
    labels."""
    neurons = found.shape[1]
    share = _hundredths(progress, 3 * neurons)
    levels = Levels.of(found.T.contiguous())
    rules, excited = Search(labels.found).best(found, levels, share)
    null_rules, _ = Search(labels.found_control).best(found, levels, share)
    shifts = _shifts(excited["flip"], labels.found)
    clock = _clock(labels, found, other)
    trees = _trees(labels, found, other, share)
    checked = other.T.contiguous().numpy()
    return [
        _Description(where, labels, levels, checked[neuron], neuron).finding(
            rules[neuron],
            null_rules[neuron],
            clock[neuron],
            trees,
            shifts[neuron],
        )
        for neuron in range(neurons)
    ]


def _hundredths(progress: Callable[[int], None], total: int) -> Callable[[int], None]:
    """Counts single steps and tells of every hundredth of them."""
    done = 0

    def step(n: int) -> None:
        nonlocal done
        before, done = done * 100 // total, done + n
        if done * 100 // total > before:
            progress(done * 100 // total - before)

    return step


@dataclass(frozen=True)
class _LayerTrees:
    """Whole trees' r2 on other games, and pruned trees with theirs, there and on the control's
    boards; float32 [neurons]."""

    r2: Array
    pruned: Trees
    pruned_r2: Array
    control_r2: Array


def _trees(
    labels: Labels, found: Tensor, other: Tensor, progress: Callable[[int], None]
) -> _LayerTrees:
    every = max(1, -(-len(found) // TREE_POSITIONS))
    trees = fit_trees(labels.found.boards.features()[::every], found[::every], progress=progress)
    pruned = trees.pruned()
    every = max(1, -(-len(other) // TREE_POSITIONS))
    truth = other[::every]
    features = labels.other.boards.features()[::every]
    control = labels.other_control.boards.features()[::every]

    def r2(kind: Trees, asked: Tensor) -> Array:
        error = (truth - kind.predict(asked)).square().sum(0, dtype=torch.float64)
        spread = truth.var(0, correction=0).double() * len(truth)
        values: Array = torch.where(spread > 0, 1 - error / spread, 0.0).float().numpy()
        return values

    return _LayerTrees(r2(trees, features), pruned, r2(pruned, features), r2(pruned, control))


def _clock(labels: Labels, found: Tensor, other: Tensor) -> Array:
    """[neurons]: variance on other games that the mean activation at each ply explains."""
    ply, other_ply = labels.found.boards.ply, labels.other.boards.ply
    plies = int(torch.cat([ply, other_ply]).max()) + 1
    mean = means_by(found, ply, plies)
    # In parts, as whole predictions would take as much memory as the activations.
    error = torch.zeros(found.shape[1], dtype=torch.float64)
    for some, at in zip(torch.split(other, 8192), torch.split(other_ply, 8192), strict=True):
        error += (some - mean[at]).square().sum(0, dtype=torch.float64)
    spread = other.var(0, correction=0).double() * len(other)
    values: Array = torch.where(spread > 0, 1 - error / spread, 0.0).float().numpy()
    return values


def _shifts(excited: Array, candidates: Candidates) -> Array:
    """[neurons]: the largest mean difference of activation by one pattern of a flip."""
    often = candidates.families["flip"].support >= DIFFERENCE_SUPPORT
    if not often.any():
        return np.zeros(excited.shape[1], dtype=np.float32)
    largest: Array = excited[often].max(0)
    return largest


@dataclass(frozen=True)
class _Description:
    """What is needed to describe one neuron. activation: float32 [N], on the other games."""

    where: Surroundings
    labels: Labels
    levels: Levels
    activation: Array
    neuron: int

    @property
    def geometry(self) -> Geometry:
        return self.where.geometry

    def finding(
        self,
        rules: list[Found],
        null_rules: list[Found],
        clock: float,
        trees: _LayerTrees,
        shift: float,
    ) -> Neuron:
        neuron, plain = self.neuron, Neuron(self.where.layer, self.neuron, "silent")
        if not self.levels.squares[neuron] > 0:
            return plain
        labels = self.labels
        checks = {rule.family: self._check(rule, labels.found, labels.other) for rule in rules}
        null = None
        if null_rules:
            null = self._check(null_rules[0], labels.found_control, labels.other_control)
        measured = {
            "tree": float(trees.r2[neuron]),
            "clock": float(clock),
            "shift": float(shift),
        }
        figures = self._figures(rules, checks) | {
            name: value for name, value in measured.items() if value >= LEAST_KEPT
        }
        described = replace(plain, rule="none", figures=figures)
        null_phi = max(0.0, null.score.phi) if null else 0.0
        tree_r2 = float(trees.pruned_r2[neuron])
        if rules and checks[rules[0].family].score.phi >= null_phi + PHI_ABOVE_CONTROL:
            best, checked = rules[0], checks[rules[0].family]
            if clock < max(R2_AT_LEAST, checked.r2) and tree_r2 < max(
                R2_AT_LEAST, TREE_INSTEAD * checked.r2
            ):
                if null:
                    described = replace(described, control=null.score, r2_control=null.r2)
                return self._yes_or_no(described, best, checked, trees)
        if clock >= R2_AT_LEAST and tree_r2 < clock + TREE_BESIDE:
            described = replace(described, rule="clock", r2=float(clock))
        elif tree_r2 >= R2_AT_LEAST:
            described = replace(
                described,
                rule="tree",
                r2=tree_r2,
                r2_control=float(trees.control_r2[neuron]),
                tree=trees.pruned.nested(neuron, self.geometry),
            )
        else:
            return described
        strength = float(self.activation.std())
        described = replace(described, off=float(self.activation.mean()), strength=strength)
        return self._with_effects(described, strength, [])

    def _check(self, rule: Found, found: Candidates, other: Candidates) -> Checked:
        off, on = means(rule, self.levels, found.families[rule.family])
        return check(rule, off, on, other.families[rule.family], self.activation)

    def _core(self, union: Found) -> int | None:
        """How many parts of a union are its core, found here and checked there; None if unsure."""
        found, other = (c.families[union.family] for c in (self.labels.found, self.labels.other))
        core = core_of(union, found, self.levels.activations[self.neuron])
        games = self.labels.other.boards.game.numpy()
        return core if is_core(union, core, other, self.activation, games) else None

    def _figures(self, rules: list[Found], checks: dict[str, Checked]) -> dict[str, float]:
        """The F1 of the best rule of each kind but the one that fits best, where that is much."""
        figures: dict[str, float] = {}
        kinds = [self.labels.found.families[rule.family].rule for rule in rules]
        for kind, rule in zip(kinds, rules, strict=True):
            f1 = checks[rule.family].score.f1
            if kind != kinds[0] and f1 >= FIGURE_KEPT:
                figures[kind] = max(figures.get(kind, 0.0), f1)
        return figures

    def _yes_or_no(
        self, described: Neuron, rule: Found, checked: Checked, trees: _LayerTrees
    ) -> Neuron:
        family = self.labels.found.families[rule.family]
        parts = tuple(family.parts[part] for part in rule.parts)
        off, on = means(rule, self.levels, family)
        tree_r2 = float(trees.pruned_r2[self.neuron])
        beside = tree_r2 >= max(R2_AT_LEAST, checked.r2 + TREE_BESIDE)
        described = replace(
            described,
            rule=family.rule,
            parts=parts,
            core=self._core(rule) if len(parts) > 1 else None,
            threshold=rule.threshold,
            found=rule.score,
            other=checked.score,
            support=checked.support,
            off=off,
            strength=on - off,
            r2=checked.r2,
            tree=trees.pruned.nested(self.neuron, self.geometry) if beside else None,
        )
        targets = target_squares(family.rule, parts, self.geometry)
        return self._with_effects(described, on - off, targets)

    def _with_effects(self, described: Neuron, strength: float, targets: list[int]) -> Neuron:
        """With what the neuron adds to logits and squares: the rule's own and those it moves
        most."""
        written = self.where.weights["mlp.W_out"][self.neuron].float().cpu() * strength
        logits, squares = written @ self.where.logits.cpu(), written @ self.where.squares.cpu()
        labels, playable = self.geometry.labels, self.geometry.playable
        named = [playable.index(square) for square in targets]
        most = logits.abs().topk(KEPT_EFFECTS).indices.tolist()
        moved = squares.abs().topk(KEPT_EFFECTS).indices.tolist()
        shown = dict.fromkeys([*named, *most])
        return replace(
            described,
            logits={labels[playable[i]]: float(logits[i]) for i in shown},
            squares={labels[i]: float(squares[i]) for i in moved},
        )
