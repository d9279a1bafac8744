"""What tables and pictures say: who errs less, where models differ, rates of zero."""

from pathlib import Path

import numpy as np
import pytest
import torch
from rich.console import Console

from comparison.reporting.examples import _where_they_differ
from comparison.reporting.figures import error_by_ply, training_curve
from comparison.reporting.report import factors_table
from comparison.reporting.sections import Figure, Section
from comparison.scoring.bench import Result
from comparison.scoring.error_sets import ErrorSet
from comparison.scoring.measures import Measures
from comparison.scoring.records import Choices
from extracted_rules.benches.positions import Positions
from extracted_rules.drawing.curves import Curve
from extracted_rules.drawing.tables import Table
from extracted_rules.othello.geometry import Geometry

PNG = b"\x89PNG"
GAMES = 200


def result(name: str, top: list[tuple[int, int]], legal: list[tuple[int, int]] = ()) -> Result:
    """A model with errors at (game, ply), of the likeliest move and of the legal set."""

    where = sorted({*top, *legal})
    game, ply = np.array(where, dtype=np.int64).reshape(-1, 2).T
    # The legal moves are B1 and, where that is the likeliest move, A1.
    errs = np.array([spot in top for spot in where], dtype=np.bool_)
    set_errs = np.array([spot in legal for spot in where], dtype=np.bool_)
    moves = np.where(errs, 0b10, 0b11)
    at = Positions(
        Geometry(),
        np.full(GAMES, 59),
        game.astype(np.int32),
        ply.astype(np.uint8),
        moves,
        np.bitwise_count(moves),
        np.zeros(len(where), dtype=np.uint8),
    )
    choices = Choices(np.zeros(len(where), dtype=np.uint8), np.where(set_errs, 0, moves))
    return Result(name, 0.01, games=GAMES, kept=ErrorSet("made up", at, choices))


def test_the_table_says_who_errs_less_and_by_what_factor() -> None:
    often = result("often", [(game, 30) for game in range(100)])
    seldom = result("seldom", [(game, 30) for game in range(0, 100, 20)])
    never, alike = result("never", []), result("alike", [(g, 30) for g in range(4, 103)])
    assert factors_table([often, seldom]).headings == ("positions that are", "seldom")
    rows = {row[0]: row[1:] for row in factors_table([often, seldom, never, alike]).rows}
    assert list(rows) == ["all", "pass-free", "plies 21-40"]
    assert rows["all"][0].startswith("20 × less [8.")
    assert rows["all"][1].startswith("none, ≥ 2")
    assert rows["all"][2].startswith("undecided [0.")
    (more,) = {row[0]: row[1:] for row in factors_table([seldom, often]).rows}["all"]
    assert more.startswith("20 × more [8.")
    assert factors_table([never, often]).rows[0][1].endswith("× more, the other none")


def test_the_example_is_where_the_first_two_models_differ() -> None:
    both, only_b = (3, 20), (7, 41)
    a, b = result("a", [both]), result("b", [both, only_b])
    third = result("c", [(0, 5)])
    where, rule = _where_they_differ([a, b, third])
    assert where == (7, 40)
    assert rule == (
        "The first position of the bench where exactly one of a and b errs: the likeliest move "
        "is illegal"
    )
    where, rule = _where_they_differ([a, result("b", [both], [(9, 12)])])
    assert where == (9, 11)
    assert rule.endswith("the legal set is wrong")
    assert _where_they_differ([b])[0] == (3, 19)
    assert _where_they_differ([result("x", []), result("y", [])])[1].endswith("x and y do not err")
    same = [result(name, [both], [both]) for name in "xy"]
    assert _where_they_differ(same)[1].endswith("x and y err at the same positions")


def test_a_table_shows_names_that_look_like_markup() -> None:
    name = "a[/b]"
    console = Console(width=80)
    with console.capture() as shown:
        console.print(Table(name, [name], [name], [[name, name]]))
    assert shown.get().count(name) == 5


def test_a_section_is_markdown() -> None:
    table = Table("t", ["a"], ["b"], [["x", "1"]], says="How to read it.")
    found = Section("s", "S", ["P."], [table], [Figure("f.png", "c")]).markdown()
    assert found.split("\n\n") == [
        "## S", "P.", "### t", "How to read it.", "| a | b |\n| --- | ---: |\n| x | 1 |",
        "![c](f.png)", "*c*",
    ]  # fmt: skip
    assert "###" not in Section("t", "t", tables=[table]).markdown()


@pytest.mark.parametrize("illegal", [0, 3])
def test_rates_of_zero_are_drawn(illegal: int, tmp_path: Path) -> None:
    found = Result("model", 0.01, games=GAMES)
    for ply in range(2, 61):
        measures = found.strata.setdefault("ply", {}).setdefault(str(ply), Measures())
        errors = torch.zeros(GAMES, dtype=torch.int64)
        errors[: illegal * (ply % 2)] = 1
        measures.illegal.add(errors, torch.ones(GAMES, dtype=torch.int64))
    error_by_ply([found], tmp_path / "zeros.png")
    assert (tmp_path / "zeros.png").read_bytes().startswith(PNG)


def test_curves_are_drawn_whatever_validation_found(tmp_path: Path) -> None:
    curve = Curve("run", [10, 100], [0.1, 0.0], [0.5, 0.2], 0)
    perfect = Curve("_a$b$", [10], [0.0], [float("nan")], 99)
    before = Curve("before", [5], [0.2], [0.9])
    for number, curves in enumerate(([], [curve], [perfect], [curve, before])):
        training_curve(curves, tmp_path / f"{number}.png")
        assert (tmp_path / f"{number}.png").read_bytes().startswith(PNG)
