"""README and docs hold tables and numbers between markers of cog, written from results.

In a document, in Python between the markers, :class:`Figures` is at hand::

    <!-- [[[cog table("compare", "models", where={"positions": "all"}) ]]] -->
    <!-- [[[end]]] -->

    It errs at <!-- [[[cog number("compare", "models", ("logic", "all"), "top-1 illegal %") ]]] -->
    0.442
    % of the positions <!-- [[[end]]] -->, and ...

What stands between them is replaced. A result that is not there yet is said to be missing.
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from io import StringIO
from pathlib import Path

from cogapp import Cog
from cogapp.cogapp import CogError

from comparison.reproducing import results
from comparison.reproducing.jobs import JOBS, named
from comparison.reproducing.results import Result
from comparison.reproducing.sources import ROOT
from comparison.scoring.baselines import BASELINES
from comparison.training.models import EXTRACTED, REFERENCE
from extracted_rules.drawing.tables import Table
from extracted_rules.errors import UserError
from extracted_rules.files import whole_file
from handbuilt.recipes import RECIPES

MODELS = {*RECIPES, *BASELINES, REFERENCE, EXTRACTED}
#: Which rows of a table are meant: by heading, the cell or the cells that may stand there.
Where = Mapping[str, str | Collection[str]]


class DocumentError(UserError):
    """A document that cannot be made from results; the message is one sentence."""


@dataclass(frozen=True)
class Figures:
    """What documents ask of the results in a folder. Every method prints."""

    folder: Path = results.FOLDER

    def table(
        self,
        job: str,
        name: str,
        where: Where | None = None,
        columns: Sequence[str] | Mapping[str, str] = (),
        says: tuple[str, Mapping[str, str]] | None = None,
    ) -> None:
        """A table of a job: the rows ``where`` columns hold one of the given values, and some of
        the columns, by new headings where those are given. says: the heading of a last column, and
        what it says of a row by the row's first cell."""
        found = self._found(job, name)
        if found is None:
            return
        chosen = _select(found, where or {}, columns)
        if says is not None:
            rows = [[*row, says[1][row[0].strip("`")]] for row in chosen.rows]
            chosen = replace(chosen, numbers=[*chosen.numbers, says[0]], rows=rows)
        print(chosen.markdown())

    def stacked(
        self,
        heading: str,
        parts: Sequence[tuple[str, str, str]],
        where: Where | None = None,
        columns: Sequence[str] | Mapping[str, str] = (),
    ) -> None:
        """Tables with the same columns as one: (word, job, name) of each; the word stands before
        its rows, under ``heading``. where, columns: as in :meth:`table`."""
        whole = Table("", (), (), [])
        for word, job, name in parts:
            found = self._found(job, name)
            if found is None:
                return
            before = [word, *[""] * (len(found.rows) - 1)]
            rows = [[first, *row] for first, row in zip(before, _filled(found), strict=True)]
            whole = Table("", (heading, *found.words), found.numbers, [*whole.rows, *rows])
        print(_select(whole, where or {}, columns).markdown())

    def pivot(
        self, job: str, name: str, rows: str, columns: str, value: str, where: Where | None = None
    ) -> None:
        """A table with a row for each different cell of one column, and a column for each of
        another; in them the values of a third."""
        found = self._found(job, name)
        if found is None:
            return
        found = replace(found, rows=list(_filled(found)))
        chosen = _select(found, where or {}, (rows, columns, value))
        cells = {(row, column): cell for row, column, cell in chosen.rows}
        down, across = (list(dict.fromkeys(pair[i] for pair in cells)) for i in (0, 1))
        lines = [[row, *(cells.get((row, column), "") for column in across)] for row in down]
        print(Table("", (rows,), across, lines).markdown())

    def number(
        self,
        job: str,
        name: str,
        row: str | tuple[str, ...],
        column: str,
        digits: int | None = None,
        interval: bool = False,
    ) -> None:
        """A number of a table, as it stands there or rounded; row: its first words; with its
        interval if asked for."""
        found = self._found(job, name)
        if found is None:
            return
        words = (row,) if isinstance(row, str) else row
        at = _column(found, column)
        cells = [line[at] for line in _filled(found) if tuple(line[: len(words)]) == words]
        if len(cells) != 1:
            raise DocumentError(f"{len(cells)} rows of {name!r} of {job} begin with {words}")
        parts = re.fullmatch(r"([-+]?[\d,.]+)(.*)", cells[0])
        if parts is None:
            raise DocumentError(f"{cells[0]!r} ({name!r} of {job}, {words}) is no number")
        value, rest = parts.groups()
        shown = value if digits is None else f"{float(value.replace(',', '')):,.{digits}f}"
        print(shown + rest if interval else shown)

    def command(self, job: str) -> None:
        """The commands of a job, as they are typed, as a block of code."""
        found = self._result(job)
        if found is not None:
            print("\n".join(("```", *found.made_of.commands, "```")))

    def _result(self, job: str) -> Result | None:
        named([job])
        found = results.read(job, self.folder)
        if found is None:
            print(f"(not measured yet: `handbuilt reproduce {job}`)")
        return found

    def _found(self, job: str, name: str) -> Table | None:
        found = self._result(job)
        if found is None:
            return None
        if name not in found.tables:
            raise DocumentError(f"{job} has no table {name!r}; there is {', '.join(found.tables)}")
        return found.tables[name]


def _column(table: Table, heading: str) -> int:
    if heading not in table.headings:
        raise DocumentError(f"no column is called {heading!r}; there is {table.headings}")
    return table.headings.index(heading)


def _filled(table: Table) -> Iterator[list[str]]:
    """The rows; where the first cell is empty it is the one above."""
    first = ""
    for row in table.rows:
        first = row[0] or first
        yield [first, *row[1:]]


def _name(cell: str) -> str:
    return f"`{cell}`" if cell in MODELS else cell


def _select(table: Table, where: Where, columns: Sequence[str] | Mapping[str, str]) -> Table:
    """Some rows and columns of a table. Models are set as code."""
    shown = dict(columns) if isinstance(columns, Mapping) else {c: c for c in columns}
    shown = shown or {c: c for c in table.headings}
    wanted = {
        _column(table, heading): {value} if isinstance(value, str) else set(value)
        for heading, value in where.items()
    }
    at = [_column(table, heading) for heading in shown]
    rows: list[list[str]] = []
    above = ""
    for row, filled in zip(table.rows, _filled(table), strict=True):
        if all(filled[column] in values for column, values in wanted.items()):
            # The first cell is empty where it was, unless what it repeats is no longer above.
            whole = row if filled[0] == above else filled
            rows.append([_name(whole[column]) for column in at])
            above = filled[0]
    if not rows:
        raise DocumentError(f"no row of {table.title!r} is where {dict(where)}")
    words = [new for old, new in shown.items() if old in table.words]
    numbers = [_name(new) for old, new in shown.items() if old in table.numbers]
    return Table(table.title, words, numbers, rows)


# ------------------------------------------------------------------ documents


def documents(root: Path = ROOT) -> list[Path]:
    return [root / "README.md", *sorted((root / "docs").glob("*.md"))]


def filled(document: Path, figures: Figures) -> str:
    """A document's text with everything that is made of results. Raises DocumentError and
    OSError."""
    cog, written = Cog(), StringIO()
    cog.options.print_output = True
    at_hand = {
        name: getattr(figures, name) for name in ("table", "stacked", "pivot", "number", "command")
    }
    text = document.read_text(encoding="utf-8")
    try:
        cog.process_file(StringIO(text), written, str(document), at_hand)
    except CogError as error:
        said = str(error).strip().splitlines()[-1]
        raise DocumentError(f"{document.name}: {said}") from None
    except SyntaxError as error:
        raise DocumentError(f"{document.name}: {error}") from None
    return written.getvalue()


def rewrite(figures: Figures, root: Path = ROOT) -> list[Path]:
    """Write what results say into all documents; those that changed. None changes where one is
    broken, or where results contradict one another. Raises DocumentError, ResultError, OSError."""
    results.check_agree(kept(figures.folder))
    texts = {document: filled(document, figures) for document in documents(root)}
    changed = [path for path, text in texts.items() if path.read_text(encoding="utf-8") != text]
    for path in changed:
        with whole_file(path) as partial:
            partial.write_text(texts[path], encoding="utf-8")
    return changed


def kept(folder: Path = results.FOLDER) -> list[Result]:
    """All results that there are. Raises ResultError."""
    return [found for name in JOBS if (found := results.read(name, folder)) is not None]
