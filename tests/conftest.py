"""Shared fixtures: recorded tournament games where they are at hand."""

from pathlib import Path

import pytest

TOURNAMENT = Path(__file__).parents[2] / "shared" / "data" / "wthor-2009.txt"


@pytest.fixture(scope="session")
def tournament_games() -> Path:
    """4,348 tournament games of 2009, one transcript a line; skips where the file is absent."""
    if not TOURNAMENT.is_file():
        pytest.skip("no tournament games on this machine")
    return TOURNAMENT
