"""Shared fixtures: recorded tournament games, some of them here and all where they are at hand."""

from pathlib import Path

import pytest

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
