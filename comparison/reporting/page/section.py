"""A section of the page as data, and its folder on disk: made once, read ever after."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from comparison.reporting.report import without_nan
from extracted_rules.errors import UserError
from extracted_rules.files import whole_file

T = TypeVar("T")

#: In a section's folder; the pictures lie beside it.
SECTION_FILE = "section.json"


class PageError(UserError):
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


def kept(path: Path, make: Callable[[], Any], read: Callable[[Any], T]) -> T:
    """What ``read`` makes of the plain data that ``make`` gives; from the file where it was made
    before. Raises PageError for a file that holds something else, or OSError."""
    if not path.exists():
        # Compact, as the explorer's numbers are many and nobody reads them.
        text = json.dumps(without_nan(make()), separators=(",", ":"), allow_nan=False)
        with whole_file(path) as partial:
            partial.write_text(text, encoding="utf-8")
    try:
        return read(json.loads(path.read_text(encoding="utf-8")))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise PageError(
            f"{path} is not what a report wrote; delete it, and it is made anew"
        ) from None


def made_once(folder: Path, make: Callable[[Path], Section | None]) -> Section | None:
    """What ``make`` gives, which draws its pictures in the folder; read where it was made before.

    A process that is killed leaves no section behind, and pictures that are drawn again. Raises
    PageError or OSError.
    """

    def measure() -> dict[str, Any] | None:
        section = make(folder)
        return asdict(section) if section else None

    def read(data: Any) -> Section | None:
        return None if data is None else Section.of_dict(data)

    folder.mkdir(parents=True, exist_ok=True)
    return kept(folder / SECTION_FILE, measure, read)
