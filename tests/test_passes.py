"""The study of passes: what it counts, and that it tells true sides and nothing else."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from comparison.passes import COLUMNS, FOUND, SPANS, TOLD_FROM, Rules, notice, study
from extracted_rules.game import random_games, replay
from handbuilt.interpreter import Interpreter
from handbuilt.strengths import Strengths, load_strengths


@pytest.fixture(scope="module")
def strengths() -> Strengths:
    return load_strengths("calibrated").apply(lambda x: x.float())


@pytest.fixture(scope="module")
def early() -> Tensor:
    """Games with a pass among the first 14 moves."""
    games = torch.cat(list(random_games(4000, 5)))
    return games[replay(games).passes[:, :15].any(-1)][:4]


def test_true_sides_are_told_from_a_layer_on(strengths: Strengths, early: Tensor) -> None:
    moves = early[:, :59].long()
    movers = replay(early).movers[:, 1:59].float()
    found = Interpreter(strengths)(moves)
    told = Rules(strengths, told_from=3).rules(moves)
    for layer, (a, b) in enumerate(zip(found.layers, told.layers, strict=True)):
        if layer < 3:
            assert a.belief.equal(b.belief)
        elif layer != FOUND - 1:  # there the rules turn sides themselves, until the next reading
            assert b.side[:, 1:].equal(movers)
    assert Rules(strengths)(moves).equal(found.logits)


def test_true_sides_change_nothing_where_sides_were_right(strengths: Strengths) -> None:
    games = torch.cat(list(random_games(30, 6)))
    games = games[~replay(games).passes.any(-1)][:8, :59].long()
    assert not bool((Interpreter(strengths)(games).passed > 0.5).any())
    # A side is a step of a sigmoid, which is exactly 0 here.
    torch.testing.assert_close(Rules(strengths)(games), Rules(strengths, FOUND)(games))


def test_first_passes_are_counted_by_when_they_are_noticed(
    strengths: Strengths, early: Tensor
) -> None:
    games = torch.cat([early, next(random_games(60, 7))])
    spans = notice(strengths, games)
    passes = replay(games).passes[:, :59] & (games[:, :59] != 0)
    first = passes.int().argmax(-1)[passes.any(-1)]
    for span, (low, high) in zip(spans, SPANS, strict=True):
        assert span.passes == int(((first >= low) & (first <= high)).sum())
        assert span.at_once + span.later <= span.passes
    assert spans[0].at_once == len(early)
    before = sum(span.positions for span in spans)
    there = (games[:, 1:59] != 0) & (passes.cumsum(-1)[:, 1:] == 0)
    assert before == int(there.sum())
    blind = notice(load_strengths("logic"), games)
    assert [span.passes for span in blind] == [span.passes for span in spans]
    assert all(span.at_once == span.later == span.wrongly == 0 for span in blind)


def test_a_study_goes_on_where_it_was_killed(
    strengths: Strengths, early: Tensor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = study("calibrated", early, tmp_path)
    rows = [line for line in text.splitlines() if line.startswith(("| as found", "| true"))]
    assert len(rows) == len(TOLD_FROM)
    assert all(row.count("|") == len(COLUMNS) + 2 for row in rows)
    monkeypatch.setattr("comparison.passes.illegal_rates", None)
    assert study("calibrated", early, tmp_path) == text
