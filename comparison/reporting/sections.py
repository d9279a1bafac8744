"""A subject as a section, with its tables and pictures: of a page, or of a report in Markdown."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from extracted_rules.drawing.tables import Table
from extracted_rules.files import write_text


@dataclass(frozen=True)
class Figure:
    """A picture. file: the name of a PNG in the section's folder; alt: what it shows, in words for
    those who do not see it. says: sentences beside it; folded: text as it stands, shown only when
    it is opened. game: of the explorer, from 1, where it shows this at ``ply``; 0 for none."""

    file: str
    caption: str
    alt: str = ""
    says: Sequence[str] = ()
    folded: str = ""
    game: int = 0
    ply: int = 0


@dataclass(frozen=True)
class Section:
    """What is said of one subject. Text between backticks is code, between stars stressed.

    highlights: (figure, what it is) to be shown large, a few at most.
    """

    id: str
    title: str
    paragraphs: Sequence[str] = ()
    tables: Sequence[Table] = ()
    figures: Sequence[Figure] = ()
    highlights: Sequence[tuple[str, str]] = ()

    def markdown(self) -> str:
        """Under a heading; so are tables that are not named as the section is."""
        parts = [f"## {self.title}", *self.paragraphs]
        for table in self.tables:
            parts += [f"### {table.title}"] if table.title not in ("", self.title) else []
            parts += [text for text in (table.says, table.markdown()) if text]
        parts += [f"![{f.caption}]({f.file})\n\n*{f.caption}*" for f in self.figures]
        return "\n\n".join(parts)


def write_report(
    title: str, paragraphs: Iterable[str], sections: Iterable[Section], path: Path
) -> None:
    """A report in Markdown. Raises OSError."""
    parts = [f"# {title}", *paragraphs, *(section.markdown() for section in sections)]
    write_text("\n\n".join(parts) + "\n", path)
