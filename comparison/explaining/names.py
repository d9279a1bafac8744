"""What the heads and neurons of a model are called, and what each does in a sentence."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

from extracted_rules.catalogue import Catalogue, Neuron, says
from extracted_rules.conditions import target_squares
from extracted_rules.othello.notation import LABELS
from handbuilt.network.layout import Layout, Slots
from handbuilt.network.transformer import OthelloGPT


@dataclass(frozen=True)
class PartName:
    """place: a neuron as ``"3.n17"``, a head as ``"3.2"``; name: the same where it has no other;
    sentence: what it does, or "" where nothing is known."""

    place: str
    name: str
    sentence: str


class PartNames(ABC):
    """Names of one model's parts."""

    @abstractmethod
    def families(self, layer: int, square: int) -> dict[str, list[int]]:
        """The neurons of a layer by what they are about, seen from a square; none twice."""

    @abstractmethod
    def neuron(self, layer: int, neuron: int) -> PartName: ...

    @abstractmethod
    def head(self, layer: int, head: int) -> PartName: ...


class GivenNames(PartNames):
    """Those that a hand-built model was built with."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def families(self, layer: int, square: int) -> dict[str, list[int]]:
        """By the families that they were built in."""
        families = self.layout.neurons[layer].families.values()
        return {f.name: list(range(f.places.start, f.places.stop)) for f in families}

    def neuron(self, layer: int, neuron: int) -> PartName:
        return _given(self.layout.neurons[layer], neuron, f"{layer}.n{neuron}")

    def head(self, layer: int, head: int) -> PartName:
        return _given(self.layout.heads[layer], head, f"{layer}.{head}")


def _given(slots: Slots, number: int, place: str) -> PartName:
    family = slots.family_at(number)
    sentence = family.sentence_of(number) if family else "free"
    return PartName(place, slots.name(number), sentence)


class FoundNames(PartNames):
    """Those that a catalogue of a trained model gives: a neuron's rule in words, with its F1 or the
    variance it explains on other games; a head's role. Without a catalogue, places alone."""

    def __init__(self, catalogue: Catalogue | None) -> None:
        neurons = catalogue.neurons if catalogue else []
        heads = catalogue.heads if catalogue else []
        self.neurons = {(n.layer, n.neuron): n for n in neurons}
        self.by_layer: dict[int, list[Neuron]] = {}
        for neuron in neurons:
            self.by_layer.setdefault(neuron.layer, []).append(neuron)
        self.heads = {(h.layer, h.head): h for h in heads}

    def families(self, layer: int, square: int) -> dict[str, list[int]]:
        """By the kind of rule; those that name the square as a move, or ask about it, apart."""
        found: dict[str, list[int]] = {}
        for neuron in self.by_layer.get(layer, ()):
            found.setdefault(_family(neuron, square), []).append(neuron.neuron)
        return found

    def neuron(self, layer: int, neuron: int) -> PartName:
        place, found = f"{layer}.n{neuron}", self.neurons.get((layer, neuron))
        if found is None:
            return PartName(place, place, "")
        if found.parts:
            sentence = f"active where {says(found)} (F1 {found.f1:.2f})"
        elif found.rule in ("clock", "tree") and found.r2 is not None:
            sentence = f"{says(found)} (R² {found.r2:.2f})"
        else:
            sentence = says(found)
        return PartName(place, f"{place} {found.rule}", sentence)

    def head(self, layer: int, head: int) -> PartName:
        place, found = f"{layer}.{head}", self.heads.get((layer, head))
        if found is None:
            return PartName(place, place, "")
        looks = {
            "mine": "looks where the side that moves next now was next, too (even lags)",
            "theirs": "looks where the other side was next (odd lags)",
            "first": "rests on the first move",
            "last": "looks at the last move",
            "other": "looks nowhere in particular",
        }
        return PartName(place, f"{place} {found.role}", looks[found.role])


def _family(neuron: Neuron, square: int) -> str:
    moves = target_squares(neuron.rule, neuron.parts)
    discs = {part.partition(" ")[0] for part in neuron.parts}
    about = square in moves or LABELS[square] in discs
    return f"{neuron.rule} of {LABELS[square]}" if about else neuron.rule


def part_names(model: OthelloGPT, catalogue: Catalogue | None = None) -> PartNames:
    """A hand-built model's own names, else those of a catalogue. Raises CheckpointError."""
    if model.is_handbuilt:
        return GivenNames(model.layout)
    return FoundNames(catalogue)
