"""Planted causes of errors are found: an unseen pass, a rule that is missing, a wrong answer."""

import numpy as np
import pytest
import torch

from comparison.errors.causes import ASKED, CAUSES, _drawn, cause_shares
from comparison.reading.board_reader import board_reader
from comparison.scoring.records import Answers, Columns, Records
from extracted_rules.benches.causes import BOARD, COUNTING, SIDE
from extracted_rules.benches.positions import Bench
from extracted_rules.othello.game import random_games, replay
from extracted_rules.othello.geometry import Geometry
from handbuilt import build
from handbuilt.network.transformer import OthelloGPT

#: Small, so that these tests are quick.
BOARD6 = Geometry(6)


def logic() -> OthelloGPT:
    return build("logic", board=BOARD6.size)


def with_brackets_of_one_disc_dumb() -> OthelloGPT:
    """Discs that are turned one at a time are decoded wrongly."""
    model = logic()
    with torch.no_grad():
        for layer, slots in enumerate(model.layout.neurons[:-1]):
            for name in ("bracket", "bracket-cap"):
                if family := slots.families.get(name):
                    single = [
                        family.start + n
                        for n, ends in enumerate(family.members)
                        if max(abs(ord(ends[0]) - ord(ends[3])), abs(int(ends[1]) - int(ends[4])))
                        == 2
                    ]
                    model.blocks[layer].mlp.W_out[single] = 0
    return model


def loving(square: str) -> OthelloGPT:
    """Whatever the board is, one empty square is likely."""
    model = logic()
    count = model.layout.directions.place(f"count.{square}")
    with torch.no_grad():
        model.blocks[-1].mlp.b_out[count] += 4
    return model


@pytest.mark.parametrize("planted", [SIDE, BOARD, COUNTING])
def test_a_planted_cause_is_found(planted: str) -> None:
    games = torch.cat(list(random_games(1500, 3, board=6, purpose="test")))
    passes = replay(games, board=6).passes
    # With an early pass most errors lie behind it.
    early, some = passes[:, 1:24].any(-1), passes[:, 1:31].any(-1)
    tokens = games[early][:80] if planted == SIDE else games[~some][:24]
    model = {
        SIDE: logic,
        BOARD: with_brackets_of_one_disc_dumb,
        COUNTING: lambda: loving("F6"),
    }[planted]()
    if planted == COUNTING:
        # F6 itself is often legal in the end.
        tokens = tokens.clone()
        tokens[:, 20:] = 0
        tokens = tokens[(tokens != BOARD6.token_of(BOARD6.square_of("F6"))).all(-1)]
    played = replay(tokens, board=6)
    with torch.inference_mode():
        columns = Columns.of(model(tokens[:, : BOARD6.context].long()), played, 0.001)
    records = Records(Bench.of(tokens, "test", 6), (Answers("planted", 0.001, False, columns),))
    reader = board_reader(model)
    assert reader is not None
    (found,) = cause_shares(records, {"planted": reader}, seed=1)
    assert found.errors > 8
    assert found.shares[planted].value > 0.75
    assert sum(found.shares[cause].value for cause in CAUSES) == pytest.approx(1)
    if planted == BOARD:
        assert found.elsewhere[planted].value < found.shares[planted].value


def test_matched_positions_are_drawn_as_they_weigh() -> None:
    """One position of a rare kind weighs as much as a hundred others together."""
    weights = np.array([0.0, *([0.01] * 100), 1.0])
    drawn = _drawn(weights, np.random.default_rng(1), again=True)
    assert len(drawn) == ASKED
    assert 0.4 < float((drawn == 101).mean()) < 0.6
    assert not (drawn == 0).any()
    once = _drawn((weights > 0).astype(np.float64), np.random.default_rng(1), again=False)
    assert once.tolist() == list(range(1, 102))
    for again in (True, False):
        assert not len(_drawn(np.zeros(9), np.random.default_rng(1), again))


def test_a_model_without_errors_has_no_causes() -> None:
    tokens = next(random_games(3, 3, board=6, purpose="test"))
    tokens[:, 3:] = 0
    model = logic()
    with torch.inference_mode():
        logits = model(tokens[:, : BOARD6.context].long())
        columns = Columns.of(logits, replay(tokens, board=6), 0.001)
    records = Records(Bench.of(tokens, "test", 6), (Answers("right", 0.001, False, columns),))
    reader = board_reader(model)
    assert reader is not None
    (found,) = cause_shares(records, {"right": reader}, seed=1)
    assert (found.errors, found.matched) == (0, 0)
