"""Heads, layers and kernels of a catalogue as tables and a picture."""

from pathlib import Path

import pytest

from extracted_rules import catalogue as catalogues
from extracted_rules.catalogue import Catalogue, Games, Head, Header, Kernel, Layer
from extracted_rules.drawing.circuits import draw_kernels, head_table, kernel_table, layer_table
from tests.command_line import run


@pytest.fixture
def known() -> Catalogue:
    games = Games("test", 1, 1, 1)
    figures = {"even less odd": 0.8, "variance across games": 0.002}
    counts = {"r2": 0.25, "promoted": 0.9, "mean slope": 2.5}
    lags = tuple(range(30))
    return Catalogue(
        Header("small", "f", (2, 2, 4), games, games, {}),
        (
            Head(0, 0, "mine", figures),
            Head(0, 1, "first", {**figures, "even less odd": 0.0}),
            Kernel(0, "flipped", "both", "rim", lags, (0.5,) * 30, (0.0,) * 30),
            Kernel(1, "placed", "both", "inner", lags, (0.5,) * 30, (0.0,) * 30),
            Layer(0, "claims", {"r2": 0.5}, {"r2": 0.01}, {"by length": (1.0,) * 6}),
            Layer(1, "counts of mlp", counts, {"r2": 0.0}),
        ),
    )


def test_heads_and_layers_have_a_row_each(known: Catalogue) -> None:
    (row,) = head_table(known).rows
    assert row == ["0", "1", "0", "1", "0", "0", "+0.80 +0.00", "0.0020"]
    assert len(row) == len(head_table(known).headings)
    table = layer_table(known)
    rows = table.rows
    assert all(len(row) == len(table.headings) for row in rows)
    assert rows[0][:4] == ["0", "0.500", "0.010", "+1.00 +1.00 +1.00 +1.00 +1.00 +1.00"]
    assert rows[1][4:8] == ["0.250", "0.000", "90", "2.50"]


def test_kernels_of_inner_squares_have_a_row_each(known: Catalogue) -> None:
    assert kernel_table(known).rows == [["1", "placed", *["0.50"] * 5]]


def test_the_command_prints_tables_and_draws_kernels(
    known: Catalogue,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path, picture = tmp_path / "known.jsonl", tmp_path / "kernels.png"
    catalogues.write(known, path)
    asked = ("circuits", str(path), "--out", str(picture))
    assert run(*asked, monkeypatch=monkeypatch) == 0
    assert "small: heads by what they look at" in capsys.readouterr().out
    assert picture.stat().st_size > 1000
    draw_kernels([known, known], picture)
    assert run("circuits", str(path), "--out", "x.pdf", monkeypatch=monkeypatch) == 2
    assert "the picture is a .png" in capsys.readouterr().err
