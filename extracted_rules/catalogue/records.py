"""What a catalogue holds: findings about neurons, heads and layers, and what they are about."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec.structs import force_setattr

from extracted_rules.conditions import parse_part, tree_features
from extracted_rules.errors import UserError
from extracted_rules.othello.geometry import STANDARD, Geometry

Count = Annotated[int, msgspec.Meta(ge=0)]


class CatalogueError(UserError):
    """A file that holds no usable catalogue, or a question it cannot answer; one sentence."""


def rounded(number: float) -> float:
    """Three significant digits, which is what a catalogue keeps of every number."""
    return float(f"{number:.3g}") + 0.0  # no negative zero


def _kept(value: Any) -> Any:
    """A field's value as a catalogue keeps it: numbers rounded, sequences as tuples."""
    if isinstance(value, float):
        return rounded(value)
    if isinstance(value, dict):
        return {key: _kept(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_kept(item) for item in value)
    return value


class _Record(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What all findings share: numbers are rounded from the start, so that a file loses nothing."""

    kind: ClassVar[str]

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            force_setattr(self, name, _kept(getattr(self, name)))

    @property
    def place(self) -> str:
        raise NotImplementedError

    def check(self, geometry: Geometry) -> None:
        """Raises CatalogueError or ConditionError for values that mean nothing on a board."""


class Score(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """How well a yes-or-no condition and a neuron's activity agree. ``phi`` is their correlation:
    0 for what agrees by chance, however often it holds, where F1 may be high."""

    precision: float
    recall: float
    f1: float
    phi: float

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            force_setattr(self, name, rounded(getattr(self, name)))


#: What rule a neuron follows; :mod:`extracted_rules.conditions` says what the parts of each mean.
RULES = {
    "pattern": "squares become legal by one of these patterns, all with one start",
    "line": "a bracket is a line for the next mover, in either sense",
    "line-or-full": "the same, or all of the bracket's squares hold discs",
    "flip": "the move just played turned these discs",
    "closed": "the move just played is an end of a line of discs, whoever owns them",
    "disc": "one square is mine or theirs",
    "blank": "one square is empty",
    "occupied": "one square holds a disc",
    "played": "one square was just played",
    "clock": "the number of moves played, and little else",
    "tree": "a decision tree over the board",
    "none": "none of the rules that were tried",
    "silent": "never active",
}
#: What a head may look at, in words.
ROLES = {
    "mine": "looks where the side that moves next now was next, too (even lags)",
    "theirs": "looks where the other side was next (odd lags)",
    "first": "rests on the first move",
    "last": "looks at the last move",
    "other": "looks nowhere in particular",
}
#: Rules that are met or not; the others have no parts.
YES_OR_NO = (
    "pattern", "line", "line-or-full", "flip", "closed", "disc", "blank", "occupied", "played",
)  # fmt: skip


class Neuron(_Record, frozen=True):
    """A neuron and the rule that describes its activity best.

    The rule holds where any of its ``parts`` does. ``core``: so many of them, the first ones,
    excite the neuron more than the rest, on other games, too; absent where that is not sure. A
    neuron that forgives a wrong disc follows a union, and its core is what it asks for.
    ``threshold``: the neuron counts as active above it. ``found``, ``other``: scores on the games
    the rule was found on and on other ones; ``control``: the score of the best rule that is found,
    in the same way, for boards of other games at the same ply. ``support``: positions of the other
    games where the rule holds. ``off``, ``strength``: mean activation where the rule does not hold,
    and how much more it is where it does; for rules without parts, mean and standard deviation.
    ``r2``: variance of the activation that the rule explains on other games, by two means, by ply
    or as the tree says; ``r2_control``: the control's rule, or the tree on boards of other games.
    ``figures``: what else was measured, whichever rule won: by kind of rule, a high F1 on other
    games of the best rule of that kind; "tree" (of depth 5) and "clock", the variance explained;
    "shift", the largest mean difference of activation by one pattern of a flip (`findings` has its
    control). ``logits``, ``squares``: what the neuron adds, by its strength, to the logits and to
    "mine less theirs" of the squares it moves most. ``tree``: ``[question, where it is not, where
    it is]``, nested; leaves are mean activations. A tree may stand beside a rule that is met or not
    where it explains much more.
    """

    kind: ClassVar[str] = "neuron"

    layer: Count
    neuron: Count
    rule: str
    parts: tuple[str, ...] = ()
    core: Count | None = None
    threshold: float | None = None
    found: Score | None = None
    other: Score | None = None
    control: Score | None = None
    support: Count | None = None
    off: float | None = None
    strength: float | None = None
    r2: float | None = None
    r2_control: float | None = None
    figures: dict[str, float] = {}
    logits: dict[str, float] = {}
    squares: dict[str, float] = {}
    tree: Any = None

    @property
    def place(self) -> str:
        return f"{self.layer}.n{self.neuron}"

    @property
    def core_parts(self) -> tuple[str, ...]:
        """The parts that excite it most, or all."""
        return self.parts[: self.core]

    @property
    def f1(self) -> float:
        """On other games; 0 for rules that are not met or not."""
        return self.other.f1 if self.other else 0.0

    def check(self, geometry: Geometry) -> None:
        if self.rule not in RULES:
            raise CatalogueError(f"there is no rule {self.rule!r}")
        for part in self.parts:
            parse_part(self.rule, part, geometry)
        if bool(self.parts) != (self.rule in YES_OR_NO):
            raise CatalogueError(f"a rule {self.rule!r} {'has' if self.parts else 'without'} parts")
        if self.core is not None and not 0 < self.core < len(self.parts):
            raise CatalogueError(f"a core of {self.core} of {len(self.parts)} parts")
        if self.rule in YES_OR_NO and (self.threshold is None or self.other is None):
            raise CatalogueError(f"a rule {self.rule!r} without threshold or scores")
        if self.rule == "tree" and self.tree is None:
            raise CatalogueError("a rule 'tree' without one")
        if self.tree is not None:
            tree_features(self.tree, geometry)


class Head(_Record, frozen=True):
    """An attention head and what it looks at.

    ``role``: one of ROLES. ``figures``: whatever was measured, by name, such as "even less odd" and
    "variance across games"; ``control`` the same on the control. ``tables``: rows of numbers by
    name, such as "by lag".
    """

    kind: ClassVar[str] = "head"

    layer: Count
    head: Count
    role: str
    figures: dict[str, float] = {}
    control: dict[str, float] = {}
    tables: dict[str, tuple[float, ...]] = {}

    @property
    def place(self) -> str:
        return f"{self.layer}.{self.head}"

    def check(self, geometry: Geometry) -> None:
        if self.role not in ROLES:
            raise CatalogueError(f"there is no role {self.role!r}")


class Kernel(_Record, frozen=True):
    """How much an event n plies ago adds to a square's "mine less theirs" in a layer's attention.

    ``event``: such as "placed" or "flipped". ``side``: "mine" where the reader's side made it (even
    lags), "theirs", or "both". ``where``: "rim", "inner" or "all" squares. ``lags``: the lag n of
    each number in ``by_lag`` and ``control``. ``figures``: whatever else was measured, by name.
    """

    kind: ClassVar[str] = "kernel"

    layer: Count
    event: str
    side: str
    where: str
    lags: tuple[Count, ...]
    by_lag: tuple[float, ...]
    control: tuple[float, ...] = ()
    figures: dict[str, float] = {}

    @property
    def place(self) -> str:
        return f"{self.layer}"

    def check(self, geometry: Geometry) -> None:
        if len(self.lags) != len(self.by_lag) or len(self.control) not in (0, len(self.lags)):
            raise CatalogueError("a kernel with another number of lags than of numbers")


class Layer(_Record, frozen=True):
    """How well rules account for what a whole layer writes.

    ``what``: what was explained, such as "claims" (the MLP's write along the mine-theirs directions
    by brackets) or "counts" (the write to the logits by patterns). ``figures``, ``control``: by
    name, such as "r2". ``tables``: rows of numbers by name, such as "by length".
    """

    kind: ClassVar[str] = "layer"

    layer: Count
    what: str
    figures: dict[str, float] = {}
    control: dict[str, float] = {}
    tables: dict[str, tuple[float, ...]] = {}

    @property
    def place(self) -> str:
        return f"{self.layer}"


Finding = Neuron | Head | Kernel | Layer
KINDS: dict[str, type[Neuron] | type[Head] | type[Kernel] | type[Layer]] = {
    record.kind: record for record in (Neuron, Head, Kernel, Layer)
}


class Games(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Random games by purpose, seed and number; positions of them that were used."""

    purpose: str
    seed: Count
    games: Count
    positions: Count


class Header(msgspec.Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What a catalogue is about. ``sizes``: layers, heads and neurons a layer. ``fingerprint``:
    SHA-256 of the weights. ``thresholds``: by name, as used in finding. ``counts``: findings of
    each kind and rule. ``board``: squares a side. Raises BoardError."""

    model: str
    fingerprint: str
    sizes: tuple[Count, Count, Count]
    found_on: Games
    checked_on: Games
    thresholds: dict[str, float]
    counts: dict[str, Count] = {}
    board: int = STANDARD

    def __post_init__(self) -> None:
        Geometry(self.board)


@dataclass(frozen=True)
class Catalogue:
    """A header and the findings, in the order of layers."""

    header: Header
    findings: tuple[Finding, ...]

    @property
    def geometry(self) -> Geometry:
        return Geometry(self.header.board)

    @property
    def neurons(self) -> list[Neuron]:
        return [f for f in self.findings if isinstance(f, Neuron)]

    @property
    def heads(self) -> list[Head]:
        return [f for f in self.findings if isinstance(f, Head)]

    @property
    def kernels(self) -> list[Kernel]:
        return [f for f in self.findings if isinstance(f, Kernel)]

    @property
    def layers(self) -> list[Layer]:
        return [f for f in self.findings if isinstance(f, Layer)]

    def neuron(self, place: str) -> Neuron:
        """The finding about a neuron such as ``"3.n17"``. Raises CatalogueError."""
        for finding in self.neurons:
            if finding.place == place:
                return finding
        raise CatalogueError(f"the catalogue says nothing of a neuron {place!r} (such as 3.n17)")


def counts(findings: Iterable[Finding]) -> dict[str, int]:
    """How many findings there are of each kind; neurons by rule, as ``"neuron pattern"``."""
    found: dict[str, int] = {}
    for finding in findings:
        rule = f" {finding.rule}" if isinstance(finding, Neuron) else ""
        found[finding.kind + rule] = found.get(finding.kind + rule, 0) + 1
    return dict(sorted(found.items()))
