"""What shows itself in a notebook: models, error sets, and the tour that shows them."""

import json
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import comparison
from comparison.scoring.bench import MissingDeviceError, evaluate
from extracted_rules.othello.game import random_games
from extracted_rules.othello.geometry import BoardError
from handbuilt.network.shape import Shape
from handbuilt.network.transformer import OthelloGPT

TOUR = Path(__file__).parents[2] / "docs" / "tour.ipynb"


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
    assert np.array_equal(found["uniform-empty"].at.offered, found["bigram"].at.offered)
    assert len(found["uniform-empty"].of_kind("top-1"))


def test_error_sets_are_of_the_board_that_is_asked_for() -> None:
    found = comparison.error_sets(["uniform-empty"], games=4, board=4)
    assert len(found["uniform-empty"].of_kind("top-1"))
    with pytest.raises(BoardError, match="a board has 4, 6 or 8 squares a side, not 5"):
        comparison.error_sets(["uniform-empty"], games=4, board=5)


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
