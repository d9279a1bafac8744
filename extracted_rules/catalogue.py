"""The catalogue: what was found in one model, as a file that people and programs read.

A text file of JSON Lines. The first line says which model it is about, on which games rules were
found and on which others they were checked, and with which thresholds. Every further line is one
finding; its first key is its kind, and under that key stands the part of the model:

- ``{"neuron": "3.n17", "rule": "flip", "parts": ["C4-F4"], ...}`` a neuron and the rule it follows,
- ``{"head": "3.2", "role": "mine", ...}`` an attention head,
- ``{"kernel": "3", "event": "flipped", ...}`` what an event n plies ago adds to a square,
- ``{"layer": "3", "what": "claims", ...}`` how well rules account for what a whole layer writes.

What is absent was not measured or has no value. Numbers have three significant digits.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, field, fields, replace
from functools import cache
from math import isfinite
from pathlib import Path
from typing import Any, ClassVar

from extracted_rules.conditions import ConditionError, in_words, parse_part, tree_features
from extracted_rules.errors import UserError
from extracted_rules.files import whole_file
from extracted_rules.othello.notation import square_of
from extracted_rules.othello.patterns import Pattern

FORMAT, VERSION = "othello rules", 1
#: The share of a catalogue's neurons is told by how well their rule agrees with them.
F1_STEPS = (0.5, 0.9, 0.99)
#: The catalogue of the project's trained model.
REFERENCE = Path(__file__).parent / "catalogues" / "reference.jsonl"


class CatalogueError(UserError):
    """A file that holds no usable catalogue, or a question it cannot answer; one sentence."""


def rounded(number: float) -> float:
    """Three significant digits, which is what a catalogue keeps of every number."""
    return float(f"{number:.3g}") + 0.0  # no negative zero


def _kept(value: Any) -> Any:
    """A field's value as a catalogue keeps it: numbers rounded, sequences as tuples."""
    if isinstance(value, float):
        return rounded(value)
    if isinstance(value, Mapping):
        return {key: _kept(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_kept(item) for item in value)
    return value


class _Record:
    """What all findings share: numbers are rounded from the start, so that a file loses nothing."""

    kind: ClassVar[str]

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if isinstance(value, float | list | tuple | dict):
                object.__setattr__(self, name, _kept(value))

    @property
    def place(self) -> str:
        raise NotImplementedError

    def check(self) -> None:
        """Raises CatalogueError or ConditionError for values that mean nothing."""


@dataclass(frozen=True)
class Score:
    """How well a yes-or-no condition and a neuron's activity agree. ``phi`` is their correlation:
    0 for what agrees by chance, however often it holds, where F1 may be high."""

    precision: float
    recall: float
    f1: float
    phi: float

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            object.__setattr__(self, name, rounded(value))


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


@dataclass(frozen=True)
class Neuron(_Record):
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

    layer: int
    neuron: int
    rule: str
    parts: tuple[str, ...] = ()
    core: int | None = None
    threshold: float | None = None
    found: Score | None = None
    other: Score | None = None
    control: Score | None = None
    support: int | None = None
    off: float | None = None
    strength: float | None = None
    r2: float | None = None
    r2_control: float | None = None
    figures: dict[str, float] = field(default_factory=dict)
    logits: dict[str, float] = field(default_factory=dict)
    squares: dict[str, float] = field(default_factory=dict)
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

    def check(self) -> None:
        if self.rule not in RULES:
            raise CatalogueError(f"there is no rule {self.rule!r}")
        for part in self.parts:
            parse_part(self.rule, part)
        if bool(self.parts) != (self.rule in YES_OR_NO):
            raise CatalogueError(f"a rule {self.rule!r} {'has' if self.parts else 'without'} parts")
        if self.core is not None and not 0 < self.core < len(self.parts):
            raise CatalogueError(f"a core of {self.core} of {len(self.parts)} parts")
        if self.rule in YES_OR_NO and (self.threshold is None or self.other is None):
            raise CatalogueError(f"a rule {self.rule!r} without threshold or scores")
        if self.rule == "tree" and self.tree is None:
            raise CatalogueError("a rule 'tree' without one")
        if self.tree is not None:
            tree_features(self.tree)


@dataclass(frozen=True)
class Head(_Record):
    """An attention head and what it looks at.

    ``role``: one of ROLES. ``figures``: whatever was measured, by name, such as "even less odd" and
    "variance across games"; ``control`` the same on the control. ``tables``: rows of numbers by
    name, such as "by lag".
    """

    kind: ClassVar[str] = "head"

    layer: int
    head: int
    role: str
    figures: dict[str, float] = field(default_factory=dict)
    control: dict[str, float] = field(default_factory=dict)
    tables: dict[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def place(self) -> str:
        return f"{self.layer}.{self.head}"

    def check(self) -> None:
        if self.role not in ROLES:
            raise CatalogueError(f"there is no role {self.role!r}")


@dataclass(frozen=True)
class Kernel(_Record):
    """How much an event n plies ago adds to a square's "mine less theirs" in a layer's attention.

    ``event``: such as "placed" or "flipped". ``side``: "mine" where the reader's side made it (even
    lags), "theirs", or "both". ``where``: "rim", "inner" or "all" squares. ``lags``: the lag n of
    each number in ``by_lag`` and ``control``. ``figures``: whatever else was measured, by name.
    """

    kind: ClassVar[str] = "kernel"

    layer: int
    event: str
    side: str
    where: str
    lags: tuple[int, ...]
    by_lag: tuple[float, ...]
    control: tuple[float, ...] = ()
    figures: dict[str, float] = field(default_factory=dict)

    @property
    def place(self) -> str:
        return f"{self.layer}"

    def check(self) -> None:
        if len(self.lags) != len(self.by_lag) or len(self.control) not in (0, len(self.lags)):
            raise CatalogueError("a kernel with another number of lags than of numbers")


@dataclass(frozen=True)
class Layer(_Record):
    """How well rules account for what a whole layer writes.

    ``what``: what was explained, such as "claims" (the MLP's write along the mine-theirs directions
    by brackets) or "counts" (the write to the logits by patterns). ``figures``, ``control``: by
    name, such as "r2". ``tables``: rows of numbers by name, such as "by length".
    """

    kind: ClassVar[str] = "layer"

    layer: int
    what: str
    figures: dict[str, float] = field(default_factory=dict)
    control: dict[str, float] = field(default_factory=dict)
    tables: dict[str, tuple[float, ...]] = field(default_factory=dict)

    @property
    def place(self) -> str:
        return f"{self.layer}"


Finding = Neuron | Head | Kernel | Layer
KINDS: dict[str, type[Neuron] | type[Head] | type[Kernel] | type[Layer]] = {
    record.kind: record for record in (Neuron, Head, Kernel, Layer)
}


@dataclass(frozen=True)
class Games:
    """Random games by purpose, seed and number; positions of them that were used."""

    purpose: str
    seed: int
    games: int
    positions: int


@dataclass(frozen=True)
class Header:
    """What a catalogue is about. ``sizes``: layers, heads and neurons a layer. ``fingerprint``:
    SHA-256 of the weights. ``thresholds``: by name, as used in finding. ``counts``: findings of
    each kind and rule."""

    model: str
    fingerprint: str
    sizes: tuple[int, int, int]
    found_on: Games
    checked_on: Games
    thresholds: dict[str, float]
    counts: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Catalogue:
    """A header and the findings, in the order of layers."""

    header: Header
    findings: tuple[Finding, ...]

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


# --------------------------------------------------------------------------- files


def _plain(value: Any) -> Any:
    if isinstance(value, Score):
        return [value.precision, value.recall, value.f1, value.phi]
    return vars(value) if isinstance(value, Games) else value


def _dump(data: dict[str, Any], what: str) -> str:
    try:
        return json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise CatalogueError(f"{what} holds a number that is none") from None


def to_line(finding: Finding) -> str:
    """A finding as one line of JSON, without what it does not say. Raises CatalogueError for a
    number that is none."""
    written: dict[str, Any] = {finding.kind: finding.place}
    for f in fields(finding):
        value = getattr(finding, f.name)
        default = f.default_factory() if f.default_factory is not MISSING else f.default
        if f.name not in ("layer", finding.kind) and value != default:
            written[f.name] = _plain(value)
    return _dump(written, f"{finding.kind} {finding.place}")


def of_line(line: str) -> Finding:
    """The inverse of :func:`to_line`. Raises CatalogueError, naming the finding that is broken."""
    try:
        data = json.loads(line)
        kind = next(iter(data))
        record, place = KINDS[kind], str(data.pop(kind))
    except (ValueError, TypeError, AttributeError, StopIteration, KeyError, RecursionError):
        raise CatalogueError(f"a line is no finding: {line.strip()[:60]!r}") from None
    shown = f"{kind} {place[:20]}"
    try:
        layer, _, rest = place.partition(".")
        data["layer"] = int(layer)
        if kind in ("neuron", "head"):
            data[kind] = int(rest.removeprefix("n"))
        for name, value in data.items():
            data[name] = _read(record, name, value)
        finding = record(**data)
        finding.check()
    except (CatalogueError, ConditionError) as error:
        raise CatalogueError(f"{shown} is broken: {error}") from None
    except (ValueError, TypeError, RecursionError, OverflowError):
        raise CatalogueError(f"{shown} is broken: {line.strip()[:60]!r}") from None
    return finding


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and isfinite(value)


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _all(check: Callable[[Any], bool], values: Any, kind: Any) -> bool:
    return type(values) is kind and all(map(check, values))


def _named(check: Callable[[Any], bool], values: Any) -> bool:
    return isinstance(values, dict) and all(check(value) for value in values.values())


#: What a field of a finding must be in JSON, by the field's type as it is written above.
_TYPES: dict[str, Callable[[Any], bool]] = {
    "int": _whole,
    "int | None": _whole,
    "float | None": _number,
    "str": lambda value: isinstance(value, str),
    "tuple[str, ...]": lambda value: _all(lambda v: isinstance(v, str), value, list),
    "tuple[int, ...]": lambda value: _all(_whole, value, list),
    "tuple[int, int, int]": lambda value: _all(_whole, value, list) and len(value) == 3,
    "tuple[float, ...]": lambda value: _all(_number, value, list),
    "dict[str, float]": lambda value: _named(_number, value),
    "dict[str, int]": lambda value: _named(_whole, value),
    "dict[str, tuple[float, ...]]": lambda value: _named(lambda v: _all(_number, v, list), value),
    "Score | None": lambda value: _all(_number, value, list) and len(value) == 4,
    "Games": lambda value: isinstance(value, dict),
    "Any": lambda value: True,
}


@cache
def _types(record: Any) -> dict[str, str]:
    def name_of(kind: Any) -> str:
        return (
            kind.__name__
            if type(kind) is type
            else str(kind).replace(f"{__name__}.", "").replace("typing.", "")
        )

    return {f.name: name_of(f.type) for f in fields(record)}


def _read(record: Any, name: str, value: Any) -> Any:
    """A field's value from JSON. Raises ValueError for one of another type."""
    kind = _types(record).get(name)
    if kind is None or not _TYPES[kind](value):
        raise CatalogueError(f"{name!r} is no field of it or has no such value")
    if kind == "Score | None":
        return Score(*value)
    if kind == "Games":
        return Games(**{key: _read(Games, key, item) for key, item in value.items()})
    if kind == "float | None":
        return float(value)
    if kind.startswith("tuple"):
        return tuple(value)
    if kind == "dict[str, float]":
        return {key: float(number) for key, number in value.items()}
    return value


def write(catalogue: Catalogue, path: Path) -> None:
    """A text file, whole or not at all; its header counts the findings. Raises OSError, and
    CatalogueError for a number that is none."""
    header = replace(catalogue.header, counts=counts(catalogue.findings))
    first = {"format": FORMAT, "version": VERSION}
    first |= {name: _plain(value) for name, value in vars(header).items()}
    lines = [_dump(first, "the header"), *map(to_line, catalogue.findings)]
    with whole_file(path) as partial:
        partial.write_text("\n".join(lines) + "\n", encoding="utf-8")


def read(path: Path) -> Catalogue:
    """What :func:`write` wrote. Raises CatalogueError for what cannot be read, for another kind of
    file, for a catalogue of another version and for a finding that is broken, which it names."""
    try:
        # Not splitlines, which also splits at characters that a name may hold.
        first, *lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        data = json.loads(first)
        if data.pop("format") != FORMAT:
            raise ValueError
    except OSError as error:
        raise CatalogueError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise CatalogueError(f"{path} is no catalogue of rules") from None
    version = data.pop("version", None)
    if version != VERSION:
        raise CatalogueError(f"{path} is a catalogue of version {version}; this reads {VERSION}")
    try:
        header = Header(**{name: _read(Header, name, value) for name, value in data.items()})
    except (CatalogueError, TypeError):
        raise CatalogueError(f"{path} is a catalogue whose header is broken") from None
    findings = []
    for number, line in enumerate(lines, start=2):
        try:
            findings.append(of_line(line))
        except CatalogueError as error:
            raise CatalogueError(f"{path}, line {number}: {error}") from None
    if counts(findings) != header.counts:
        raise CatalogueError(f"{path} is not whole: its header counts other findings than it holds")
    return Catalogue(header, tuple(findings))


# --------------------------------------------------------------------------- questions


def census(neurons: Iterable[Neuron]) -> tuple[list[int], dict[str, list[int]]]:
    """(the layers there are; how many neurons of each follow which of RULES, and how many agree
    with theirs on other games by more than each of F1_STEPS, as "F1 > 0.5")."""
    known = list(neurons)
    layers = sorted({neuron.layer for neuron in known})
    groups = {rule: [n.layer for n in known if n.rule == rule] for rule in RULES}
    groups |= {f"F1 > {least}": [n.layer for n in known if n.f1 > least] for least in F1_STEPS}
    return layers, {name: [found.count(at) for at in layers] for name, found in groups.items()}


def select(
    neurons: Iterable[Neuron],
    layer: int | None = None,
    square: int | None = None,
    rule: str | None = None,
    min_f1: float = 0.0,
) -> list[Neuron]:
    """The neurons that meet all that is asked, best first. ``square``: one of the rule's squares.
    Raises CatalogueError for a rule that there is not."""
    if rule is not None and rule not in RULES:
        raise CatalogueError(f"there is no rule {rule!r}; there are {', '.join(RULES)}")
    chosen = [
        n
        for n in neurons
        if (layer is None or n.layer == layer)
        and (rule is None or n.rule == rule)
        and n.f1 >= min_f1
        and (square is None or square in squares_of(n))
    ]
    return sorted(chosen, key=lambda n: (-n.f1, -(n.r2 or 0.0), n.layer, n.neuron))


def squares_of(neuron: Neuron) -> set[int]:
    """The squares that a neuron's rule names: those of its parts, else those of its tree."""
    named: set[int] = set()
    for part in neuron.parts:
        for item in parse_part(neuron.rule, part):
            if isinstance(item, Pattern):
                named |= {item.start, *item.run, item.end}
            elif isinstance(item, int):
                named.add(item)
    if neuron.tree is not None and not neuron.parts:
        named |= {square_of(feature.split()[0]) for feature in tree_features(neuron.tree)}
    return named


def says(neuron: Neuron) -> str:
    """A neuron's rule in a line: where it holds, of a union its core and how many parts more."""
    if not neuron.parts:
        return RULES[neuron.rule]
    core = in_words(neuron.rule, neuron.core_parts)
    if neuron.core is None:
        return core
    others = len(neuron.parts) - neuron.core
    return f"{core}; less where {'another' if others == 1 else f'one of {others} others'} holds"


def words(neuron: Neuron) -> list[str]:
    """A neuron's finding as sentences to read, one a line."""
    n = neuron
    lines = [f"{n.place}: {RULES[n.rule]}"]
    if n.parts:
        lines.append(f"  active where {in_words(n.rule, n.parts)}")
    if n.core:
        lines.append(f"  most of all where {in_words(n.rule, n.core_parts)}")
    if n.tree is not None:
        lines += [f"  {line}" for line in _tree_in_words(n.tree)]
    for name, score in (
        ("games it was found on", n.found),
        ("other games", n.other),
        ("boards of other games", n.control),
    ):
        if score:
            lines.append(
                f"  {name}: precision {score.precision:.3f}, recall {score.recall:.3f}, "
                f"F1 {score.f1:.3f}, phi {score.phi:.3f}"
            )
    if n.support is not None:
        lines.append(f"  it holds at {n.support:,} positions of the other games")
    if n.strength is not None and n.off is not None:
        lines.append(f"  activation {n.off + n.strength:.3g} where it holds, else {n.off:.3g}")
    if n.r2 is not None:
        control = f", {n.r2_control:.3f} on boards of other games" if n.r2_control else ""
        lines.append(f"  it explains {n.r2:.3f} of the variance{control}")
    if n.logits:
        shown = ", ".join(f"{label} {value:+.3g}" for label, value in n.logits.items())
        lines.append(f"  adds to logits: {shown}")
    if n.squares:
        shown = ", ".join(f"{label} {value:+.3g}" for label, value in n.squares.items())
        lines.append(f"  adds to mine less theirs: {shown}")
    if n.figures:
        shown = ", ".join(f"{name} {value:.3g}" for name, value in n.figures.items())
        lines.append(f"  best of each kind tried: {shown}")
    return lines


def _tree_in_words(tree: Any, indent: str = "") -> list[str]:
    if not isinstance(tree, list | tuple):
        return [f"{indent}{tree:.3g}"]
    feature, without, having = tree
    label, _, state = feature.partition(" ")
    asks = f"{label} was just {state}" if state in ("played", "turned") else f"{label} is {state}"
    return [
        f"{indent}if {asks}:",
        *_tree_in_words(having, indent + "  "),
        f"{indent}else:",
        *_tree_in_words(without, indent + "  "),
    ]
