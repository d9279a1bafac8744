"""What the heads and neurons of a model are called, and what each does in a sentence."""

from dataclasses import dataclass

from extracted_rules.catalogue import ROLES, Catalogue, Neuron, says
from extracted_rules.conditions import target_squares
from extracted_rules.othello.geometry import Geometry
from handbuilt.network.layout import Layout, Slots
from handbuilt.network.transformer import OthelloGPT


@dataclass(frozen=True)
class PartName:
    """place: a neuron as ``"3.n17"``, a head as ``"3.2"``; name: the same where it has no other;
    sentence: what it does, or "" where nothing is known."""

    place: str
    name: str
    sentence: str

    def __str__(self) -> str:
        return f"{self.name}: {self.sentence}" if self.sentence else self.name


class GivenNames:
    """Those that a model was compiled with."""

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    def families(self, layer: int, square: int) -> dict[str, list[int]]:
        """The neurons of a layer by the families that they were built in, or by the rules that
        they follow where each has its own."""
        found: dict[str, list[int]] = {}
        for family in self.layout.neurons[layer].families.values():
            for number in range(family.places.start, family.places.stop):
                rule = family.rules[number - family.start] if family.rules else family.name
                found.setdefault(rule, []).append(number)
        return found

    def neuron(self, layer: int, neuron: int) -> PartName:
        return _given(self.layout.neurons[layer], neuron, f"{layer}.n{neuron}")

    def head(self, layer: int, head: int) -> PartName:
        return _given(self.layout.heads[layer], head, f"{layer}.{head}")


def _given(slots: Slots, number: int, place: str) -> PartName:
    family = slots.family_at(number)
    sentence = family.sentence_of(number) if family else "free"
    return PartName(place, slots.name(number), sentence)


class FoundNames:
    """Those that a catalogue of a trained model gives: a neuron's rule in words, with its F1 or the
    variance it explains on other games; a head's role. Without a catalogue, places alone."""

    def __init__(self, geometry: Geometry, catalogue: Catalogue | None) -> None:
        self.geometry = geometry
        self.neurons: dict[int, dict[int, Neuron]] = {}
        for neuron in catalogue.neurons if catalogue else ():
            self.neurons.setdefault(neuron.layer, {})[neuron.neuron] = neuron
        self.heads = {(h.layer, h.head): h for h in catalogue.heads} if catalogue else {}

    def families(self, layer: int, square: int) -> dict[str, list[int]]:
        """The neurons of a layer by the kind of rule; those that name a square as a move, or ask
        about it, apart; none twice."""
        found: dict[str, list[int]] = {}
        for neuron in self.neurons.get(layer, {}).values():
            found.setdefault(self._family(neuron, square), []).append(neuron.neuron)
        return found

    def _family(self, neuron: Neuron, square: int) -> str:
        label = self.geometry.labels[square]
        discs = {part.partition(" ")[0] for part in neuron.parts}
        about = label in discs or square in target_squares(neuron.rule, neuron.parts, self.geometry)
        return f"{neuron.rule} of {label}" if about else neuron.rule

    def neuron(self, layer: int, neuron: int) -> PartName:
        place, found = f"{layer}.n{neuron}", self.neurons.get(layer, {}).get(neuron)
        if found is None:
            return PartName(place, place, "")
        sentence = says(found, self.geometry)
        if found.parts:
            sentence = f"active where {sentence} (F1 {found.f1:.2f})"
        elif found.rule in ("clock", "tree") and found.r2 is not None:
            sentence = f"{sentence} (R² {found.r2:.2f})"
        return PartName(place, f"{place} {found.rule}", sentence)

    def head(self, layer: int, head: int) -> PartName:
        place, found = f"{layer}.{head}", self.heads.get((layer, head))
        if found is None:
            return PartName(place, place, "")
        return PartName(place, f"{place} {found.role}", ROLES[found.role])


#: Names of one model's parts.
PartNames = GivenNames | FoundNames


def part_names(model: OthelloGPT, catalogue: Catalogue | None = None) -> PartNames:
    """A model's own names, else those of a catalogue. Raises CheckpointError."""
    return GivenNames(model.layout) if model.has_names else FoundNames(model.geometry, catalogue)
