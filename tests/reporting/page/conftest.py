"""A small page: one game, one hand-built model, one section of every kind of thing."""

from functools import cached_property
from pathlib import Path

import pytest
import torch
from torch import Tensor

from comparison.reporting.page.exhibits import Exhibit, Order
from comparison.reporting.page.explorer import Shown, explore
from comparison.reporting.page.rendering import render, write_page
from comparison.reporting.sections import Figure, Section
from extracted_rules.drawing.pictures import panel, save
from extracted_rules.drawing.tables import Table
from extracted_rules.othello.game import random_games
from handbuilt import build

TAU = 0.0011


class SmallPage:
    """A page of `logic` and one game, and what it is made of."""

    def __init__(self, folder: Path) -> None:
        self.exhibit = Exhibit("logic", build("logic"), TAU)
        self.order = Order((self.exhibit,), 2, 1, folder / "work", lambda name, total: _unheard)
        self.folder = folder

    @cached_property
    def tokens(self) -> Tensor:
        """uint8 [60]; `logic` errs three times in this game."""
        return next(random_games(1, 20, purpose="page tests"))[0]

    @cached_property
    def explored(self) -> dict:
        shown = Shown("Games", "a <game> & its title", "Why it is here.", self.tokens, 30, 2)
        return explore(self.order, [shown])

    @cached_property
    def path(self) -> Path:
        figure, axes = panel((6, 4))
        axes.plot([1, 2])
        save(figure, self.folder / "line.png")
        section = Section(
            "small",
            "A small section",
            ["Text with `code <b>` in it."],
            [
                Table("A table", ("model",), ("figure",), [("logic", "1.0 [0.9, 1.1]"), ("", "2")]),
                Table(
                    "A folded one", ("rule", "says"), (), [("cap", "claims & caps")], folded=True
                ),
            ],
            [Figure("line.png", "A `line`.", "A line that rises.", game=1, ply=30)],
            [("1 %", "of something")],
        )
        text = render(
            [(section, self.folder)], self.explored, [("logic", "Rules.")], "handbuilt report"
        )
        write_page(text, self.folder / "report.html")
        return self.folder / "report.html"


def _unheard(_: int) -> None:
    pass


@pytest.fixture(scope="session")
def page(tmp_path_factory: pytest.TempPathFactory) -> SmallPage:
    torch.set_num_threads(1)
    return SmallPage(tmp_path_factory.mktemp("page"))
