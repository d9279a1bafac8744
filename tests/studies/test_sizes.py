"""The study of sizes: one point a size, what it says of flips, and that it goes on."""

from pathlib import Path

import pytest

from comparison.scoring.bench import no_bars
from comparison.studies.sizes import Asked, Rules, flips_right, measure, report
from extracted_rules import random_games
from handbuilt import load_strengths
from handbuilt.interpreter import Interpreter

ASKED = Asked(games=6, seed=2, part=2000)


def test_a_study_has_a_row_a_size_and_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = report([4, 6], [4, 5], ASKED, tmp_path, no_bars)
    assert [row[:3] for row in tables["sizes"].rows[:4]] == [
        ["logic", f"{board} x {board}", str(layers)] for board in (4, 6) for layers in (4, 5)
    ]
    assert len(tables["sizes"].rows) == 8
    assert len(tables["flips"].rows) == 4
    assert len(tables["census"].rows) == 4 * 5
    assert tables["numbers"].rows[0] == ["logic", "12", "12", "12"]
    assert tables["numbers"].rows[1][-1] == "2,848"
    assert (tmp_path / "depth.png").read_bytes().startswith(b"\x89PNG")
    monkeypatch.setattr("comparison.studies.sizes.measure", pytest.fail)
    assert report([4, 6], [4, 5], ASKED, tmp_path, no_bars) == tables


def test_flips_come_right_with_layers() -> None:
    games = next(random_games(20, 3, board=6, purpose="test"))
    right = flips_right(Rules(Interpreter(load_strengths("logic", 6, 12))), games)
    assert len(right) == 11
    assert right[0] < 0.6 < 0.95 < right[-1]


def test_only_the_small_board_has_a_census() -> None:
    for board in (4, 6):
        point = measure("logic", load_strengths("logic", board, 4), ASKED, no_bars)
        assert (point.census is not None) == (board == 4)
        assert point.rates[0].low <= point.rates[0].value <= point.rates[0].high
