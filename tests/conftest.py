"""Shared fixtures: a small model; recorded tournament games, some of them here, all if at hand."""

from pathlib import Path

import pytest
import torch

from handbuilt import OthelloGPT, Shape

TOURNAMENT = Path(__file__).parents[2] / "shared" / "data" / "wthor-2009.txt"


@pytest.fixture(scope="session")
def tournament_games() -> Path:
    """40 tournament games of 2009 (of the WTHOR collection), one transcript a line."""
    return Path(__file__).parent / "data" / "tournament-2009.txt"


@pytest.fixture(scope="session")
def all_tournament_games() -> Path:
    """4,348 such games; skips where the file is absent."""
    if not TOURNAMENT.is_file():
        pytest.skip("no collection of tournament games on this machine")
    return TOURNAMENT


@pytest.fixture(scope="session")
def soft() -> OthelloGPT:
    """Random weights on the 4 x 4 board: nothing in it is sharp, and its streams know what was
    played."""
    torch.manual_seed(1)
    made = OthelloGPT(Shape(n_layers=2, d_model=128, n_heads=4, d_head=16, d_mlp=96).on(4))
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if not name.endswith((".w", ".b")):
                parameter.normal_(std=0.2)
    return made.eval()
