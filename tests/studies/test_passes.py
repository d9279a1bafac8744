"""The study of passes: what it counts, and that it tells true sides and nothing else."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from comparison.studies.passes import COLUMNS, FOUND, TOLD_FROM, study
from extracted_rules.othello.game import random_games, replay
from extracted_rules.othello.geometry import Geometry
from handbuilt.interpreter import Interpreter
from handbuilt.interpreter.noticing import TrueSides, notice, spans
from handbuilt.strengths import Strengths, load_strengths


class Told(Interpreter):
    """Rules that hold somebody to have passed where they are told so."""

    def __init__(self, passed: Callable[[Tensor], Tensor]) -> None:
        self.strengths = load_strengths("logic")
        self.passed = passed

    def __call__(self, tokens: Tensor, at: Tensor | None = None) -> Any:
        return SimpleNamespace(passed=self.passed(tokens))


@pytest.fixture(scope="module")
def strengths() -> Strengths:
    return load_strengths("calibrated").apply(lambda x: x.float())


@pytest.fixture(scope="module")
def games() -> Tensor:
    """Four games with a pass among the first 14 moves, four in which no position sees a pass."""
    games = torch.cat(list(random_games(1200, 5, purpose="test")))
    passes = replay(games).passes[:, :60]
    first = torch.where(passes, torch.arange(60), 60).amin(-1)
    return torch.cat([games[(first > a) & (first < b)][:4] for a, b in ((0, 15), (58, 61))])


def test_true_sides_are_told_from_a_layer_on(strengths: Strengths, games: Tensor) -> None:
    moves = games[:4, :59].long()
    movers = replay(moves).movers[:, 1:59].float()
    found = Interpreter(strengths)(moves)
    for since in (2, 3, 7):
        told = TrueSides(strengths, since)(moves)
        for layer, (a, b) in enumerate(zip(found.layers, told.layers, strict=True)):
            # The reading itself hears by the sides that it is told.
            assert a.belief.equal(b.belief) == (layer < since)
            # In the layer before FOUND the rules turn sides themselves, until the next reading.
            if layer >= since and layer != FOUND - 1:
                assert b.side[:, 1:].equal(movers)
        assert not found.last_belief.equal(told.last_belief)


def test_true_sides_change_nothing_where_sides_were_right(
    strengths: Strengths, games: Tensor
) -> None:
    moves = games[4:, :59].long()
    found = Interpreter(strengths)(moves)
    assert found.layers[-1].side.equal(found.layers[0].side)
    # A side is a step of a sigmoid, which is exactly 0 here.
    torch.testing.assert_close(TrueSides(strengths, FOUND)(moves).logits, found.logits)


@pytest.mark.parametrize(
    ("lag", "expected"),
    [
        (None, (4, 0, 0, 0)),  # nobody is believed to have passed: four false negatives
        (0, (4, 4, 0, 0)),
        (3, (4, 0, 4, 0)),
        (-1, (0, 0, 0, 4)),  # noticed one move early: no longer counted as a pass
    ],
)
def test_first_passes_are_counted_by_when_they_are_noticed(
    games: Tensor, lag: int | None, expected: tuple[int, int, int, int]
) -> None:
    """Rules that hold somebody to have passed so many moves behind the true first pass."""
    early = games[:4]
    first = replay(early).passes.int().argmax(-1, keepdim=True)
    believed = torch.zeros(4, 59)
    if lag is not None:
        believed = (torch.arange(59) >= first + lag).float()
    found = notice(Told(lambda _: believed), [early])
    low, high = spans(Geometry(8))[0]
    assert all(low <= int(t) <= high for t in first)
    assert (found[0].passes, found[0].at_once, found[0].later, found[0].false_positives) == expected
    assert sum(part.passes + part.false_positives for part in found[1:]) == 0
    assert sum(part.positions for part in found) == int((first - 1).sum())


def test_passes_that_no_position_sees_are_not_counted(games: Tensor) -> None:
    """Before the last move of all, or none at all; short games have nothing behind their end."""
    short = torch.cat([games[4:], games[4:].masked_fill(torch.arange(60) >= 30, 0)])
    found = notice(Told(lambda moves: (moves == 0).float()), [short])
    assert sum(part.passes + part.false_positives for part in found) == 0
    assert sum(part.positions for part in found) == 4 * 58 + 4 * 29


def test_a_study_goes_on_where_it_was_killed(
    games: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tables = study(games[4:], tmp_path)
    _, *rows = tables["illegal"].rows
    assert len(rows) == len(TOLD_FROM)
    assert all(len(row) == len(COLUMNS) + 1 for row in rows)
    assert "nan" not in tables["illegal"].markdown()  # some columns hold no position
    for measured in ("illegal_rates", "notice"):
        monkeypatch.setattr(f"comparison.studies.passes.{measured}", pytest.fail)
    assert study(games[4:], tmp_path) == tables
