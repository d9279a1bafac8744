"""What a published finding is, and what comes of asking a model for it."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from msgspec import Struct

from comparison.findings.studied import Studied
from extracted_rules.benches.intervals import Estimate

LI = "Li et al. 2022, arXiv 2210.13382"
NANDA = "Nanda et al. 2023, arXiv 2309.00941"
JYLIN = "jylin et al. 2024, OthelloGPT learned a bag of heuristics, LessWrong"
MAAR = "Maar 2025, Exploring how OthelloGPT computes its world model, LessWrong"
SINGH = "Singh et al. 2025, arXiv 2511.00059"


@dataclass(frozen=True)
class Measure:
    """A figure that a finding consists of.

    published: the figure as it was published, or "". control: what stands in parentheses beside a
    model's figure, or "". percent: values are shares, shown as percent.
    """

    name: str
    published: str = ""
    control: str = ""
    percent: bool = False
    digits: int = 2


@dataclass(frozen=True)
class Value:
    """A model's figure with its 95 % interval, the game being the unit, and that of the control."""

    estimate: Estimate
    control: Estimate | None = None


@dataclass(frozen=True)
class Line:
    """A curve of a picture; ``low`` and ``high`` may be empty."""

    name: str
    x: tuple[float, ...]
    y: tuple[float, ...]
    low: tuple[float, ...] = ()
    high: tuple[float, ...] = ()
    control: bool = False

    @classmethod
    def of(
        cls, name: str, x: Iterable[float], y: Sequence[Estimate], *, control: bool = False
    ) -> "Line":
        """With the intervals that values have."""
        value, low, high = (tuple(getattr(e, end) for e in y) for end in ("value", "low", "high"))
        return cls(name, tuple(map(float, x)), value, low, high, control)


class Lines(Struct, frozen=True, tag_field="kind", tag=True):
    """Curves to be drawn in one panel. across, up: what the axes are."""

    across: str
    up: str
    lines: tuple[Line, ...]
    logarithmic: bool = False


class Grid(Struct, frozen=True, tag_field="kind", tag=True):
    """A map of values [rows][columns], the first row at the bottom, NaN where there is none.

    across, up: what columns and rows are, which count from ``first_column`` and 0. label: what the
    values are. low, high: ends of the scale; diverging: whether its middle is white.
    """

    rows: tuple[tuple[float, ...], ...]
    across: str
    up: str
    label: str
    low: float
    high: float
    diverging: bool
    first_column: int = 0


@dataclass(frozen=True)
class Found:
    """What a finding came to in one model. values: by the measures' names; a measure that does not
    apply is absent. note: what is implied by how the model was made, or why something is absent."""

    values: Mapping[str, Value] = field(default_factory=dict)
    note: str = ""
    picture: Lines | Grid | None = None


@dataclass(frozen=True)
class Finding:
    """A published finding. sentence: what was published; find: says in its docstring how exactly it
    is asked for here, and computes all of its measures."""

    name: str
    sentence: str
    source: str
    measures: tuple[Measure, ...]
    find: Callable[[Studied], Found]


def finding(
    name: str, sentence: str, source: str, *measures: Measure
) -> Callable[[Callable[[Studied], Found]], Finding]:
    """Makes a finding of the function that asks for it."""
    return lambda find: Finding(name, sentence, source, measures, find)
