"""Scores beside what they can be: the key's own, and what chance reaches."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from extracted_rules.drawing.tables import Table

T = TypeVar("T")
#: Figures by name.
Figures = Mapping[str, float]


@dataclass(frozen=True)
class Score:
    """A figure of what was found; ceiling: the key's; floor: chance's."""

    group: str
    name: str
    value: float
    ceiling: float
    floor: float


def beside(group: str, measure: Callable[[T], Figures], found: T, key: T, chance: T) -> list[Score]:
    """What is found, the key and chance, all measured alike."""
    values, ceilings, floors = (measure(of) for of in (found, key, chance))
    return [Score(group, n, value, ceilings[n], floors[n]) for n, value in values.items()]


def table(scores: Iterable[Score]) -> Table:
    rows = [(s.group, s.name, *(f"{x:.3f}" for x in (s.value, s.ceiling, s.floor))) for s in scores]
    return Table(
        "scores", ("what", "measure"), ("found", "ceiling", "floor"), rows,
        says="ceiling: the key itself; floor: chance.",
    )  # fmt: skip
