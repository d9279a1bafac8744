"""Parts of tables: some rows and columns, several as one, and one turned on its side.

Where the first cell of a row is empty, it is the one above.
"""

from collections.abc import Collection, Iterator, Mapping, Sequence

from extracted_rules.drawing.tables import Table
from extracted_rules.errors import UserError

#: Which rows of a table are meant: by heading, the cell or the cells that may stand there.
Where = Mapping[str, str | Collection[str]]


class TableError(UserError):
    """What a table does not hold; the message is one sentence."""


def column_of(table: Table, heading: str) -> int:
    """Raises TableError."""
    if heading not in table.headings:
        raise TableError(f"no column is called {heading!r}; there is {table.headings}")
    return table.headings.index(heading)


def filled_rows(table: Table) -> Iterator[list[str]]:
    """The rows, none with an empty first cell."""
    first = ""
    for row in table.rows:
        first = row[0] or first
        yield [first, *row[1:]]


def select(table: Table, where: Where, columns: Sequence[str] | Mapping[str, str]) -> Table:
    """The rows ``where`` columns hold one of the given values, and some of the columns, by new
    headings where those are given. Raises TableError."""
    shown = dict(columns) if isinstance(columns, Mapping) else {c: c for c in columns}
    shown = shown or {c: c for c in table.headings}
    wanted = {
        column_of(table, heading): {value} if isinstance(value, str) else set(value)
        for heading, value in where.items()
    }
    at = [column_of(table, heading) for heading in shown]
    rows: list[list[str]] = []
    above = ""
    for row, filled in zip(table.rows, filled_rows(table), strict=True):
        if all(filled[column] in values for column, values in wanted.items()):
            # The first cell is empty where it was, unless what it repeats is no longer above.
            whole = row if filled[0] == above else filled
            rows.append([whole[column] for column in at])
            above = filled[0]
    if not rows:
        raise TableError(f"no row of {table.title!r} is where {dict(where)}")
    words = [new for old, new in shown.items() if old in table.words]
    numbers = [new for old, new in shown.items() if old in table.numbers]
    return Table(table.title, words, numbers, rows)


def stack(heading: str, parts: Sequence[tuple[str, Table]]) -> Table:
    """Tables with the same columns as one, the word of each before its rows, under ``heading``."""
    whole = Table("", (), (), [])
    for word, table in parts:
        before = [word, *[""] * (len(table.rows) - 1)]
        rows = [[first, *row] for first, row in zip(before, filled_rows(table), strict=True)]
        whole = Table("", (heading, *table.words), table.numbers, [*whole.rows, *rows])
    return whole


def pivot(table: Table, heading: str) -> Table:
    """Of a table of three columns: a row for each different cell of the first, under ``heading``, a
    column for each of the second; in them the values of the third."""
    cells = {(row, column): cell for row, column, cell in table.rows}
    down, across = (list(dict.fromkeys(pair[i] for pair in cells)) for i in (0, 1))
    lines = [[row, *(cells.get((row, column), "") for column in across)] for row in down]
    return Table("", (heading,), across, lines)
