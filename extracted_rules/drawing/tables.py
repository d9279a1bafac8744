"""Tables for people: on the terminal, in Markdown, and on a page."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table as RichTable


@dataclass(frozen=True)
class Table:
    """A table. words, numbers: headings of the columns that hold words, which come first, and of
    those that hold numbers, which are set flush right. says: how to read it. folded: on a page it
    is shown only when it is opened; long ones are."""

    title: str
    words: Sequence[str]
    numbers: Sequence[str]
    rows: Sequence[Sequence[str]]
    says: str = ""
    folded: bool = False

    @property
    def headings(self) -> tuple[str, ...]:
        return (*self.words, *self.numbers)

    def __rich__(self) -> "RichTable":
        """For the terminal."""
        from rich.box import SIMPLE_HEAD  # it moves Python's random numbers on
        from rich.markup import escape
        from rich.table import Table as RichTable

        drawn = RichTable(
            title=escape(self.title),
            title_justify="left",
            box=SIMPLE_HEAD,
            pad_edge=False,
            collapse_padding=True,
            caption=escape(self.says),
            caption_justify="left",
        )
        # Where it is too narrow for a line, cells are folded: nothing of them is cut off.
        for heading in self.words:
            drawn.add_column(escape(heading), overflow="fold")
        for heading in self.numbers:
            drawn.add_column(escape(heading), justify="right", overflow="fold")
        for row in self.rows:
            drawn.add_row(*map(escape, row))
        return drawn

    def markdown(self) -> str:
        """Without the title."""
        rule = ["---"] * len(self.words) + ["---:"] * len(self.numbers)
        lines = [self.headings, rule, *self.rows]
        return "\n".join("| " + " | ".join(line) + " |" for line in lines)
