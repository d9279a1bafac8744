"""A section of the page as data, and its folder on disk: made once, read ever after."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from comparison.showing.report import measured_once

#: In a section's folder; the pictures lie beside it.
SECTION_FILE = "section.json"


class PageError(ValueError):
    """A page that cannot be made as asked; the message is one sentence."""


@dataclass(frozen=True)
class Table:
    """A table under its caption. folded: shown only when it is opened; long ones are. says: how to
    read it."""

    caption: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    folded: bool = False
    says: str = ""


@dataclass(frozen=True)
class Figure:
    """A picture. file: the name of a PNG in the section's folder; alt: what it shows, in words for
    those who do not see it. says: sentences beside it; folded: text as it stands, shown only when
    it is opened. game: of the explorer, from 1, where it shows this at ``ply``; 0 for none."""

    file: str
    caption: str
    alt: str
    says: Sequence[str] = ()
    folded: str = ""
    game: int = 0
    ply: int = 0


@dataclass(frozen=True)
class Section:
    """What the page says of one subject. Text between backticks is code, between stars stressed.

    highlights: (figure, what it is) to be shown large, a few at most.
    """

    id: str
    title: str
    paragraphs: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    highlights: Sequence[tuple[str, str]] = field(default=())

    @classmethod
    def of_dict(cls, data: dict[str, Any]) -> "Section":
        """The inverse of ``dataclasses.asdict``."""
        tables = [Table(**table) for table in data.pop("tables")]
        figures = [
            Figure(**{**figure, "says": tuple(figure["says"])}) for figure in data.pop("figures")
        ]
        return cls(tables=tables, figures=figures, **data)


def made_once(folder: Path, make: Callable[[Path], Section | None]) -> Section | None:
    """What ``make`` gives, which draws its pictures in the folder; read where it was made before.

    A process that is killed leaves no section behind, and pictures that are drawn again. Raises
    OSError.
    """

    def measure() -> dict[str, Any] | None:
        section = make(folder)
        return asdict(section) if section else None

    folder.mkdir(parents=True, exist_ok=True)
    data = measured_once(folder / SECTION_FILE, measure)
    return Section.of_dict(data) if data else None
