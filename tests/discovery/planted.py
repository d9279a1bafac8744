"""What was compiled into a hand-built model, and whether an extraction found it."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from msgspec.structs import replace
from torch import Tensor

from comparison.reading.probes import STATES, Probes
from comparison.replacing.extraction import Settings, extract
from extracted_rules.catalogue import Catalogue, Games, Header, Neuron, Score, squares_of
from extracted_rules.conditions import Boards, tree_column
from extracted_rules.othello.geometry import Geometry
from handbuilt.network.transformer import OthelloGPT

GOOD = Score(1.0, 1.0, 1.0, 1.0)
GAMES = Games("test", 1, 1, 1)

#: The kind of rule that each named family of neurons was compiled from; caps follow the same rule,
#: but are active only where it is beyond doubt.
FAMILIES = {
    "bracket": "flip",
    "line": "line",
    "clip": "disc",
    "clip-mine": "disc",
    "clip-theirs": "disc",
    "clip-after": "disc",
}


def no_probes(model: OthelloGPT) -> Probes:
    """Probes that read nothing, for what needs none."""
    rows = (model.shape.n_layers, model.shape.d_model + 1, model.geometry.n_squares)
    states = torch.zeros(*rows, len(STATES))
    return Probes(model.fingerprint(), 0, 0, states, torch.zeros(rows))


def catalogue_of(
    model: OthelloGPT, work: Path, games: int, checking: int, layers: range | None = None
) -> Catalogue:
    settings = Settings(games, checking, seed=1)
    return extract(model, "planted", no_probes(model), settings, work, layers=layers)


def about(model: OthelloGPT, *findings: Neuron) -> Catalogue:
    """A catalogue of a model that holds these findings."""
    shape = model.shape
    sizes = (shape.n_layers, shape.n_heads, shape.d_mlp)
    header = Header(
        "planted", model.fingerprint(), sizes, GAMES, GAMES, {}, board=model.geometry.size
    )
    return Catalogue(header, findings)


def rule(layer: int, neuron: int, kind: str, *parts: str) -> Neuron:
    """A finding that a neuron follows a rule."""
    return Neuron(layer, neuron, kind, parts, threshold=0.0, other=GOOD)


def as_compiled(model: OthelloGPT) -> Catalogue:
    """All named neurons of a hand-built model, each with a rule about the squares that its name
    says; one that is about no square is about any."""
    found, geometry = [], model.geometry
    for layer, slots in enumerate(model.layout.neurons):
        for family in slots.families.values():
            for place, member in enumerate(family.members, start=family.start):
                kind, part = "disc", f"{member or geometry.labels[0]} mine"
                if member in geometry.bracket_by_name:
                    kind, part = "line" if family.name.startswith("line") else "flip", member
                elif member in geometry.pattern_by_name:
                    kind, part = "pattern", member
                found.append(rule(layer, place, kind, part))
    return about(model, *found)


@dataclass
class Agreement:
    """How many named neurons of a family there are, and which were found to be something else."""

    neurons: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def share(self) -> float:
        return 1 - len(self.wrong) / max(self.neurons, 1)


def agreement(model: OthelloGPT, neurons: Iterable[Neuron]) -> dict[str, Agreement]:
    """By family, whether kind and squares of the rule are those that were compiled."""
    layout, found = model.layout, {}
    for neuron in neurons:
        name = layout.neurons[neuron.layer].name(neuron.neuron)
        family, _, member = name.partition(".")
        if family == "unused":
            kind, right = "unused", neuron.rule == "silent"
        elif family in FAMILIES:
            kind = family
            squares = squares_of(core(neuron), model.geometry)
            right = neuron.rule in _kinds(family) and squares == _squares(member, model.geometry)
        else:
            continue
        counted = found.setdefault(kind, Agreement())
        counted.neurons += 1
        if not right:
            counted.wrong.append(f"{neuron.layer}.{name} is {neuron.rule} {neuron.parts}")
    return found


def core(neuron: Neuron) -> Neuron:
    """The neuron with nothing but the core of its rule."""
    return replace(neuron, parts=neuron.core_parts, core=None)


def _kinds(family: str) -> tuple[str, ...]:
    """What a neuron may be found to follow. A line is heard by both ends, which hold discs where it
    is none, and a bracket that forgives all is heard wherever it has no gap. Of a bracket with one
    end that is never played there is one sense: a single pattern."""
    kind = FAMILIES[family]
    wider = {"line": ("line", "line-or-full", "pattern"), "flip": ("flip", "closed")}
    return wider.get(kind, (kind,))


def _squares(member: str, geometry: Geometry) -> set[int]:
    bracket = geometry.bracket_by_name.get(member)
    return {*bracket.ends, *bracket.run} if bracket else {geometry.square_of(member)}


def tree_values(boards: Boards, tree: Any) -> Tensor:
    """float32 [N]: what a nested tree says of boards, question by question."""
    if isinstance(tree, int | float):
        return torch.full((len(boards),), float(tree))
    question, without, having = tree
    where = boards.features()[:, tree_column(question, boards.geometry)]
    return torch.where(where, tree_values(boards, having), tree_values(boards, without))
