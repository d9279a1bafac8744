"""What shows itself in a notebook: boards, models, error sets, and the tour that shows them."""

import json
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

import comparison
from comparison.drawing.svg import Board, side_by_side
from comparison.scoring.bench import MissingDeviceError, evaluate
from extracted_rules.othello.game import IllegalGameError, random_games
from extracted_rules.othello.notation import square_of
from handbuilt.network.shape import Shape
from handbuilt.network.transformer import OthelloGPT

TOUR = Path(__file__).parents[2] / "docs" / "tour.ipynb"
SVG = "{http://www.w3.org/2000/svg}"


class Tags(HTMLParser):
    """Every tag that is opened is closed again, in order."""

    VOID = ("br", "meta", "link", "input")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_a_board_draws_itself() -> None:
    board = Board.after("f5d6")
    picture = ElementTree.fromstring(board._repr_svg_())
    discs = [c.get("fill") for c in picture.iter(f"{SVG}circle") if c.get("r") == "12.5"]
    assert len(discs) == 6
    # Black played F5 and turned E5; white's D6 turned D5 back.
    assert sorted(discs) == ["#1a1a1a"] * 3 + ["#ffffff"] * 3
    dots = [c for c in picture.iter(f"{SVG}circle") if c.get("fill") == "#ffd700"]
    assert len(dots) == int(board.legal.sum())
    assert "black to move" in board.title
    assert board.title.startswith("after 2 moves: ")
    assert Board.after("f5").title == "after 1 move: white to move"
    with pytest.raises(IllegalGameError):
        Board.after("f5f5")


def test_marks_and_tints() -> None:
    tint = torch.zeros(64)
    tint[square_of("A1")], tint[square_of("H8")] = 6.0, -3.0
    wrong = torch.zeros(64, dtype=torch.bool)
    wrong[square_of("E4")] = True
    plain = Board.after()
    board = Board(
        plain.discs, plain.legal, "<&>", tint, wrong=wrong, likeliest=square_of("A1"), frame=63
    )
    text = board.svg()
    picture = ElementTree.fromstring(text)
    fills = [r.get("fill") for r in picture.iter(f"{SVG}rect")]
    assert "#2166ac" in fills  # at the limit
    assert "#d88c95" in fills  # half way to red
    assert "#ffffff" in fills  # zero is white
    assert len(list(picture.iter(f"{SVG}path"))) == 1  # the likeliest move is illegal
    assert "#d55e00" in text
    assert not Tags(side_by_side(board, plain)).open


def test_models_and_error_sets_show_themselves() -> None:
    model = OthelloGPT(Shape(n_layers=1, d_model=8, n_heads=1, d_head=8, d_mlp=8))
    model.metadata["description"] = "<b>bold</b>"
    shown = model._repr_html_()
    assert "&lt;b&gt;" in shown
    assert not Tags(shown).open
    found = evaluate("zero", model, list(random_games(3, 1, purpose="test")), 0.01, "<test>")
    shown = found.errors._repr_html_()
    assert not Tags(shown).open
    assert "&lt;test&gt;" in shown
    assert f"{len(found.errors.of_kind('set')):,}" in shown


def test_error_sets_of_several_models_are_of_one_bench() -> None:
    found = comparison.error_sets(["uniform-empty", "bigram"], games=4)
    assert found["uniform-empty"].positions.equal(found["bigram"].positions)
    assert len(found["uniform-empty"].of_kind("top-1"))


def test_a_device_that_is_not_there_is_a_sentence() -> None:
    with pytest.raises(MissingDeviceError, match="'foo' is no device"):
        comparison.explainer("logic", device="foo")
    with pytest.raises(MissingDeviceError, match="'foo' is no device"):
        comparison.error_sets(["bigram"], games=4, device="foo")


def test_the_tour_was_run_and_ran_through() -> None:
    cells = json.loads(TOUR.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert code
    for number, cell in enumerate(code, start=1):
        assert cell["execution_count"] == number
        assert not [out for out in cell["outputs"] if out["output_type"] == "error"]
