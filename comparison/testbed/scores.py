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
    """A figure of what was found; ceiling: the key's, where there is one; floor: chance's."""

    group: str
    name: str
    value: float
    ceiling: float | None
    floor: float


def beside(
    group: str, measure: Callable[[T], Figures], found: T, key: T | None, chance: T
) -> list[Score]:
    """What is found, the key if there is one and chance, all measured alike."""
    values, floors = measure(found), measure(chance)
    ceilings = {} if key is None else measure(key)
    return [Score(group, n, value, ceilings.get(n), floors[n]) for n, value in values.items()]


def table(scores: Iterable[Score]) -> Table:
    def shown(figure: float | None) -> str:
        return "" if figure is None else f"{figure:.3f}"

    rows = [(s.group, s.name, *map(shown, (s.value, s.ceiling, s.floor))) for s in scores]
    return Table(
        "scores", ("what", "measure"), ("found", "ceiling", "floor"), rows,
        says="ceiling: the key itself; floor: chance.",
    )  # fmt: skip
