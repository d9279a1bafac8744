"""Names for everything: residual directions, heads and neurons of a hand-built model."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from extracted_rules.errors import UserError
from handbuilt.network.shape import CheckpointError, Shape


class LayoutError(UserError):
    """An overlap, an overrun or an unknown name; the message is one sentence."""


@dataclass(frozen=True)
class Family:
    """A run of neighbouring places with one meaning, such as the 64 directions of "belief".

    ``sentence`` says what they do; ``{}`` in it stands for a member's name. rule: which rule they
    belong to. constants: what a layer's neurons add to families of directions besides. over: the
    family whose directions these are while it is empty, between the halves of layer 0. rules,
    sentences: of every member by itself, where they have their own.
    """

    name: str
    start: int
    members: tuple[str, ...]
    sentence: str
    rule: str = ""
    constants: Mapping[str, float] = field(default_factory=dict)
    over: str = ""
    rules: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()

    @property
    def places(self) -> slice:
        return slice(self.start, self.start + len(self.members))

    def name_of(self, place: int) -> str:
        member = self.members[place - self.start]
        return f"{self.name}.{member}" if member else self.name

    def sentence_of(self, place: int) -> str:
        if self.sentences:
            return self.sentences[place - self.start]
        return self.sentence.replace("{}", self.members[place - self.start])


@dataclass
class Slots:
    """A fixed number of numbered places given out by name; never twice, never past the end."""

    what: str
    size: int
    families: dict[str, Family] = field(default_factory=dict)

    @property
    def used(self) -> int:
        return sum(len(f.members) for f in self.families.values() if not f.over)

    def add(
        self, name: str, members: Sequence[str] = ("",), sentence: str = "", **more: Any
    ) -> slice:
        """Give out places for a family, next to the last one given out, or those of ``over``; what
        else there is to say of it as in :class:`Family`.

        Raises LayoutError for a name that is taken, an overlap or an overrun.
        """
        end = max((f.places.stop for f in self.families.values()), default=0)
        over = more.get("over")
        start = self[over].start if over else end
        return self.place_family(Family(name, start, tuple(members), sentence, **more))

    def place_family(self, family: Family) -> slice:
        """Give out the places that a family names. Raises LayoutError as :meth:`add` does."""
        name = family.name
        if name in self.families:
            raise LayoutError(f"{self.what} {name!r} is laid out twice")
        if len(set(family.members)) != len(family.members):
            raise LayoutError(f"{self.what} {name!r} has members of the same name")
        if family.start < 0 or family.places.stop > self.size:
            raise LayoutError(
                f"{self.what} {name!r} needs places {family.start}..{family.places.stop - 1} "
                f"of {self.size}"
            )
        for other in self.families.values():
            apart = family.over == other.name or (family.over and other.over)
            if not apart and family.start < other.places.stop and other.start < family.places.stop:
                raise LayoutError(f"{self.what} {name!r} overlaps {other.name!r}")
        self.families[name] = family
        return family.places

    def __getitem__(self, name: str) -> slice:
        """The places of a family."""
        if name not in self.families:
            raise LayoutError(f"no {self.what} is called {name!r}")
        return self.families[name].places

    def family_at(self, place: int) -> Family | None:
        """The family that owns a place for good, or None where it is free."""
        return next((family for family in self.families_at(place) if not family.over), None)

    def families_at(self, place: int) -> list[Family]:
        """That one, and those that use its place for a while. Raises LayoutError."""
        if not 0 <= place < self.size:
            raise LayoutError(f"{self.what} {place} does not exist; there are {self.size}")
        return [f for f in self.families.values() if f.start <= place < f.places.stop]

    def name(self, place: int) -> str:
        """The full name of a place, such as ``"belief.D3"``; ``"unused"`` where it is free."""
        family = self.family_at(place)
        return family.name_of(place) if family else "unused"

    def _places(self) -> dict[str, int]:
        return {
            family.name_of(place): place
            for family in self.families.values()
            for place in range(family.places.start, family.places.stop)
        }

    def __contains__(self, name: str) -> bool:
        """Whether a place has this full name."""
        return name in self._places()

    def place(self, name: str) -> int:
        """The place of a full name; the inverse of :meth:`name`."""
        places = self._places()
        if name not in places:
            raise LayoutError(f"no {self.what} is called {name!r}")
        return places[name]


class Layout:
    """Where everything is: residual directions, and the heads and neurons of every layer."""

    def __init__(self, shape: Shape | None = None) -> None:
        shape = shape or Shape()
        layers = range(shape.n_layers)
        self.directions = Slots("direction", shape.d_model)
        self.heads = [Slots(f"layer {layer} head", shape.n_heads) for layer in layers]
        self.neurons = [Slots(f"layer {layer} neuron", shape.d_mlp) for layer in layers]

    def _all_slots(self) -> list[Slots]:
        return [self.directions, *self.heads, *self.neurons]

    def to_json(self) -> str:
        """The layout as text, for a checkpoint's metadata."""
        return json.dumps(
            [
                [list(vars(family).values()) for family in slots.families.values()]
                for slots in self._all_slots()
            ]
        )

    @classmethod
    @lru_cache(maxsize=8)
    def from_json(cls, text: str, shape: Shape) -> "Layout":
        """What :meth:`to_json` wrote; the same object for the same text, not to be added to.
        Raises CheckpointError."""
        layout = cls(shape)
        try:
            for slots, families in zip(layout._all_slots(), json.loads(text), strict=True):
                for name, start, members, *rest in families:
                    slots.place_family(Family(name, start, tuple(members), *rest))
        except (TypeError, ValueError):
            raise CheckpointError("this model's names are damaged") from None
        return layout

    def describe(self, place: str | None = None) -> list[str]:
        """What is where, as lines to read; without ``place``, every family.

        place: a direction's number, a head as ``"3.0"``, a neuron as ``"3.n17"``; or a name, as
        ``"belief.D3"``, alone or in a layer: ``"3.mine"``, ``"3.bracket.C4-F4"``. Raises
        LayoutError.
        """
        if place is None:
            return [line for slots in self._all_slots() for line in _overview(slots)]
        found = self._by_number(place) or self._by_name(place)
        if not found:
            raise LayoutError(f"nothing is called {place!r}")
        lines = []
        for slots, number in found:
            known = [(f.name_of(number), f.sentence_of(number)) for f in slots.families_at(number)]
            for name, sentence in known or [("unused", "free")]:
                lines += [f"{slots.what} {number}: {name}", f"  {sentence}"]
        return lines

    def _by_number(self, place: str) -> list[tuple[Slots, int]]:
        if place.isdecimal():
            return [(self.directions, int(place))]
        layer, _, rest = place.partition(".")
        number = rest.removeprefix("n")
        if not (layer.isdecimal() and number.isdecimal()):
            return []
        return [((self.neurons if rest != number else self.heads)[self._layer(layer)], int(number))]

    def _layer(self, text: str) -> int:
        if int(text) >= len(self.heads):
            raise LayoutError(f"layer {text} does not exist; there are {len(self.heads)}")
        return int(text)

    def _by_name(self, place: str) -> list[tuple[Slots, int]]:
        layer, _, rest = place.partition(".")
        if layer.isdecimal():
            slots, name = [self.heads[self._layer(layer)], self.neurons[self._layer(layer)]], rest
        else:
            slots, name = self._all_slots(), place
        return [(s, s.place(name)) for s in slots if name in s]


def _overview(slots: Slots) -> list[str]:
    lines = [f"{slots.what}s: {slots.used} of {slots.size} used"]
    for f in slots.families.values():
        where = f"{f.start}" if len(f.members) == 1 else f"{f.start}-{f.places.stop - 1}"
        lines.append(f"  {where:>9}  {f.name:<14} {f.sentence.replace('{}', '…')}")
    return lines
