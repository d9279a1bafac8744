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
from collections.abc import Mapping, Sequence
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
from extracted_rules.drawing.selecting import Where, column_of, filled_rows, pivot, select, stack
from extracted_rules.drawing.tables import Table
from extracted_rules.errors import UserError
from extracted_rules.files import write_text
from handbuilt.recipes import RECIPES

MODELS = {*RECIPES, *BASELINES, REFERENCE, EXTRACTED}


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
        """A table of a job, or some of it, as :func:`select` has it. says: the heading of a last
        column, and what it says of a row by the row's first cell."""
        found = self._found(job, name)
        if found is None:
            return
        chosen = _named(select(found, where or {}, columns))
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
        tables = []
        for word, job, name in parts:
            found = self._found(job, name)
            if found is None:
                return
            tables.append((word, found))
        print(_named(select(stack(heading, tables), where or {}, columns)).markdown())

    def pivot(
        self, job: str, name: str, rows: str, columns: str, value: str, where: Where | None = None
    ) -> None:
        """A table with a row for each different cell of one column, and a column for each of
        another; in them the values of a third."""
        found = self._found(job, name)
        if found is None:
            return
        found = replace(found, rows=list(filled_rows(found)))
        chosen = _named(select(found, where or {}, (rows, columns, value)))
        print(pivot(chosen, rows).markdown())

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
        at = column_of(found, column)
        cells = [line[at] for line in filled_rows(found) if tuple(line[: len(words)]) == words]
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


def _named(table: Table) -> Table:
    """With models set as code."""
    rows = [[_name(cell) for cell in row] for row in table.rows]
    return replace(table, numbers=[_name(heading) for heading in table.numbers], rows=rows)


def _name(cell: str) -> str:
    return f"`{cell}`" if cell in MODELS else cell


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
        write_text(texts[path], path)
    return changed


def kept(folder: Path = results.FOLDER) -> list[Result]:
    """All results that there are. Raises ResultError."""
    return [found for name in JOBS if (found := results.read(name, folder)) is not None]
