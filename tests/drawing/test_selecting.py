"""Parts of tables: rows and columns, several tables as one, and one turned on its side."""

import pytest

from extracted_rules.drawing.selecting import TableError, filled_rows, pivot, select, stack
from extracted_rules.drawing.tables import Table

COUNTS = Table(
    "counts",
    ("model", "where"),
    ("count",),
    [["a", "all", "9"], ["", "passes", "2"], ["b", "all", "7"], ["", "passes", "1"]],
)


def test_what_is_left_above_decides_whether_a_first_cell_is_filled() -> None:
    assert select(COUNTS, {}, ()).rows == COUNTS.rows
    assert select(COUNTS, {"where": "passes"}, ()).rows == [
        ["a", "passes", "2"],
        ["b", "passes", "1"],
    ]
    chosen = select(COUNTS, {"model": ["b"]}, {"count": "n", "model": "model"})
    assert (chosen.words, chosen.numbers) == (["model"], ["n"])
    assert chosen.rows == [["7", "b"], ["1", ""]]


def test_tables_are_stacked_and_turned() -> None:
    both = stack("games", [("few", COUNTS), ("many", COUNTS)])
    assert both.headings == ("games", "model", "where", "count")
    assert [row[0] for row in both.rows] == ["few", "", "", "", "many", "", "", ""]
    filled = Table("", COUNTS.words, COUNTS.numbers, list(filled_rows(COUNTS)))
    turned = pivot(select(filled, {}, ("where", "model", "count")), "where")
    assert turned.headings == ("where", "a", "b")
    assert turned.rows == [["all", "9", "7"], ["passes", "2", "1"]]


@pytest.mark.parametrize(
    ("where", "columns"), [({"size": "9"}, ()), ({}, ("size",)), ({"model": "c"}, ())]
)
def test_what_a_table_does_not_hold_is_said(where: dict[str, str], columns: tuple[str]) -> None:
    with pytest.raises(TableError):
        select(COUNTS, where, columns)
