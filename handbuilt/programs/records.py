"""A program as data: named directions of the residual stream, and the heads and neurons that read
and write them.

As in Tracr and ALTA, rules become records, and one generic compiler makes weights of any of them. A
record knows its name, the sentence that says what it does, and the rule that it belongs to.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from extracted_rules.errors import UserError
from extracted_rules.families import FAMILIES
from extracted_rules.othello.geometry import Geometry

Array = npt.NDArray[np.float64]


class UnknownRuleError(UserError):
    """A rule or part that a program does not have; the message is one sentence."""


@dataclass(frozen=True, eq=False)
class Link:
    """What a part reads of a family of directions, float64 [width, n], or writes to it, [n, width].

    rule: the rule that this link alone carries; empty where it is the part's own.
    """

    name: str
    weights: Array
    rule: str = ""


def links(maps: Mapping[str, Array]) -> tuple[Link, ...]:
    """Links that carry no rule of their own."""
    return tuple(Link(name, weights) for name, weights in maps.items())


@dataclass(frozen=True)
class Directions:
    """A family of directions, such as the one for each square of "belief".

    over: a family whose places it has while that one is empty: written by the heads of layer 0 and
    gone behind its neurons.
    """

    name: str
    members: tuple[str, ...]
    sentence: str
    over: str = ""


@dataclass(frozen=True, eq=False)
class Neurons:
    """A family of neurons: writes += relu(reads + bias), one neuron a member; GELU in place of ReLU
    in a program that feels it.

    bias: float64 [members]. constants: what it adds to families of directions besides, a number for
    all of a family or float64 [width], where its neurons are measured from somewhere else than 0.
    rules, sentences: of every member by itself, where they have their own.
    """

    layer: int
    name: str
    members: tuple[str, ...]
    sentence: str
    reads: tuple[Link, ...]
    bias: Array
    writes: tuple[Link, ...]
    rule: str = ""
    constants: Mapping[str, float | Array] = field(default_factory=dict)
    rules: tuple[str, ...] = ()
    sentences: tuple[str, ...] = ()

    def only(self, rows: Sequence[int] | npt.NDArray[np.intp]) -> "Neurons":
        """Some of the members."""
        return replace(
            self,
            members=tuple(self.members[row] for row in rows),
            rules=tuple(self.rules[row] for row in rows if self.rules),
            sentences=tuple(self.sentences[row] for row in rows if self.sentences),
            reads=tuple(replace(x, weights=x.weights[:, rows]) for x in self.reads),
            bias=self.bias[rows],
            writes=tuple(replace(x, weights=x.weights[rows]) for x in self.writes),
        )


@dataclass(frozen=True, eq=False)
class Term:
    """What adds the product of asks . x_query + bias and tells . x_key to a head's scores, over one
    column or several: links [width, columns], and bias [columns] where it is not the same."""

    asks: tuple[Link, ...]
    bias: float | Array
    tells: tuple[Link, ...]
    columns: int = 1


@dataclass(frozen=True, eq=False)
class Head:
    """A head: attention scores whatever is played, [context, context] or [0, 0] where there are
    none, and terms that depend on it; what it reads, [width, channels], and what it writes of that,
    [channels, width]. constants: what it adds to families besides, float64 [width]."""

    layer: int
    name: str
    sentence: str
    scores: Array
    reads: tuple[Link, ...]
    writes: tuple[Link, ...]
    rule: str = ""
    terms: tuple[Term, ...] = ()
    constants: Mapping[str, Array] = field(default_factory=dict)

    @property
    def asks(self) -> list[str]:
        """What its scores depend on besides positions, by name."""
        said = [link.name for term in self.terms for link in (*term.asks, *term.tells)]
        return [name for name in dict.fromkeys(said) if name != "position"]


@dataclass(frozen=True, eq=False)
class Program:
    """Everything that a network of ``layers`` layers is to hold and to do.

    tokens: what each token writes, [vocabulary, width]; positions: what each position does,
    [context, width]; logits: what the logits read, [width, vocabulary], above ``logit_bias``, one
    or [vocabulary]. Heads and neurons get their numbers in the order in which they stand here.
    norms: what readers multiply the normalised stream by, before each attention and MLP and at the
    end, in a program that feels LayerNorm and GELU as a trained model does; without any, both are
    made to vanish. says: sentences of rules that are this program's own.
    """

    geometry: Geometry
    layers: int
    directions: tuple[Directions, ...]
    tokens: tuple[Link, ...]
    positions: tuple[Link, ...]
    heads: tuple[Head, ...]
    neurons: tuple[Neurons, ...]
    logits: tuple[Link, ...]
    logit_bias: float | Array = 0.0
    norms: tuple[float, ...] = ()
    says: Mapping[str, str] = field(default_factory=dict)

    @property
    def smooth(self) -> bool:
        """Whether it feels LayerNorm and GELU."""
        return bool(self.norms)

    @property
    def parts(self) -> tuple[Head | Neurons, ...]:
        return (*self.heads, *self.neurons)

    def rules(self) -> dict[str, str]:
        """The rules that it carries, and their sentences, in the order of FAMILIES; then those that
        are its own."""
        there = {part.rule for part in self.parts}
        there |= {link.rule for part in self.parts for link in _links(part)}
        known = {family.id: family.sentence for family in FAMILIES} | {**self.says}
        return {rule: sentence for rule, sentence in known.items() if rule in there}

    def ablations(self) -> dict[str, str]:
        """What can be ablated one by one, and what that means: every rule, and of hand-built ones
        every length of a run, every layer's claims. Single parts by name can be, too: see
        :meth:`without`."""
        rules = {rule: f"without: {sentence}" for rule, sentence in self.rules().items()}
        if self.smooth:
            return rules
        lengths, claiming = range(1, self.geometry.max_length + 1), range(self.layers - 1)
        return {
            **rules,
            **{f"length-{n}": f"no runs of {n}" for n in lengths},
            **{f"layer-{n}": f"layer {n} claims nothing" for n in claiming},
        }

    def without(self, name: str) -> "Program":
        """The program without a rule (``need``), a length of runs (``length-2``), a layer's claims
        (``layer-3``), or a family of heads or neurons (``bracket-cap``, in one layer
        ``6.line``). Raises UnknownRuleError."""
        if name in self.rules():
            return self._without_rule(name)
        kind, _, number = name.partition("-")
        if kind == "length" and name in self.ablations():
            return self._changed(lambda part: self._without_length(part, int(number)))
        if kind == "layer" and name in self.ablations():
            claims = ("bracket", "beyond-doubt")
            return self._changed(
                lambda part: (
                    None if (part.layer, part.rule in claims) == (int(number), True) else part
                )
            )
        if name not in {n for part in self.parts for n in (part.name, f"{part.layer}.{part.name}")}:
            known = ", ".join(self.ablations())
            raise UnknownRuleError(f"no rule or part is called {name!r}; there is {known}")
        return self._changed(
            lambda part: None if name in (part.name, f"{part.layer}.{part.name}") else part
        )

    def _without_rule(self, rule: str) -> "Program":
        """Parts of the rule go, and so do links that carry it in other parts."""
        rest = self._changed(lambda part: None if part.rule == rule else _without_links(part, rule))
        return replace(rest, positions=_kept(rest.positions, rule))

    def _without_length(self, part: "Part", length: int) -> "Part":
        board = self.geometry
        length_of = {bracket.name: len(bracket.run) for bracket in board.brackets}
        length_of |= {pattern.name: len(pattern.run) for pattern in board.patterns}
        if isinstance(part, Head) or not any(member in length_of for member in part.members):
            return part
        rows = [i for i, name in enumerate(part.members) if length_of[name] != length]
        return part.only(rows)

    def _changed(self, change: "Callable[[Part], Part | None]") -> "Program":
        heads = [changed for head in self.heads if (changed := change(head)) is not None]
        neurons = [changed for some in self.neurons if (changed := change(some)) is not None]
        return replace(
            self,
            heads=tuple(head for head in heads if isinstance(head, Head)),
            neurons=tuple(some for some in neurons if isinstance(some, Neurons)),
        )


Part = Head | Neurons


def _links(part: Part) -> Iterable[Link]:
    yield from (*part.reads, *part.writes)
    for term in part.terms if isinstance(part, Head) else ():
        yield from (*term.asks, *term.tells)


def _kept(found: tuple[Link, ...], rule: str) -> tuple[Link, ...]:
    return tuple(link for link in found if link.rule != rule)


def _without_links(part: Part, rule: str) -> Part:
    reads, writes = _kept(part.reads, rule), _kept(part.writes, rule)
    if isinstance(part, Neurons):
        return replace(part, reads=reads, writes=writes)
    terms = [replace(t, asks=_kept(t.asks, rule), tells=_kept(t.tells, rule)) for t in part.terms]
    return replace(part, reads=reads, writes=writes, terms=tuple(terms))


def capped(neurons: Neurons) -> tuple[Neurons, Neurons]:
    """Two families: writes += clip(reads + bias, 0, 1). The second takes back the excess."""
    back = replace(
        neurons,
        name=f"{neurons.name}-cap",
        sentence=f"caps {neurons.name}.{{}} at 1",
        bias=neurons.bias - 1.0,
        writes=tuple(replace(link, weights=-link.weights) for link in neurons.writes),
        constants={},
    )
    return neurons, back
