"""Boards on axes, of every size; and importing changes nothing of the caller's."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from comparison.reproducing.sources import modules
from extracted_rules.drawing.answers import answer
from extracted_rules.drawing.boards import draw_board
from extracted_rules.drawing.pictures import panel, save
from extracted_rules.othello.game import random_games, replay
from extracted_rules.othello.geometry import Geometry

IMPORTS_ALL = """
import importlib, sys
import matplotlib, torch

def settings():
    return dict(matplotlib.rcParams.copy()), [
        torch.get_num_threads(), torch.get_default_dtype(), torch.is_grad_enabled(),
        torch.get_float32_matmul_precision(), torch.are_deterministic_algorithms_enabled(),
        torch.initial_seed(), torch.get_default_device(),
    ]

before = settings()
for name in sys.argv[1:]:
    importlib.import_module(name)
assert settings() == before
assert "matplotlib.pyplot" not in sys.modules
"""


def test_importing_changes_nothing_of_the_callers() -> None:
    names = [name for name in modules() if not name.endswith("__main__")]
    subprocess.run([sys.executable, "-c", IMPORTS_ALL, *names], check=True)


@pytest.mark.parametrize("board", [4, 6, 8])
def test_a_board_of_any_size_is_drawn(board: int, tmp_path: Path) -> None:
    geometry = Geometry(board)
    played = replay(next(random_games(1, 1, board=board)), board=board)
    log_odds = torch.linspace(-9, 9, geometry.max_plies)
    picture = answer("a$b", played.boards[0, 3], played.legal[0, 3], log_odds, frame=0)
    assert picture.likeliest == geometry.playable[-1]
    figure, axes = panel((3, 3))
    draw_board(axes, picture)
    assert [label.get_text() for label in axes.get_xticklabels()] == list("ABCDEFGH"[:board])
    discs = [patch for patch in axes.patches if getattr(patch, "radius", 0) == 0.36]
    assert len(discs) == 7
    save(figure, tmp_path / "board.png")
    assert [path.name for path in tmp_path.iterdir()] == ["board.png"]
