"""Passes leave no token: a look for sides that had no move, and the turn of sides behind them."""

from torch import Tensor

from handbuilt.interpreter.brackets import (
    bracket_lengths,
    bracket_matrices,
    ends_gate,
    line_evidence,
)
from handbuilt.interpreter.facts import Facts
from handbuilt.interpreter.plies import lateness
from handbuilt.interpreter.state import Layer
from handbuilt.strengths import NEVER, Strengths

#: Slope of the step by which a pass turns sides.
STEP = 8.0


def lines_elsewhere(s: Strengths, heard: Layer, facts: Facts) -> Tensor:
    """[B, T]: lines that the side named by parity had elsewhere, before the move: from a square
    that is still blank over a run of theirs to a disc of mine."""
    lengths = bracket_lengths(facts.board)
    runs, ends = (matrix.to(s.run) for matrix in bracket_matrices(facts.board))
    lines = line_evidence(facts.board, s.other_run, s.other_end, (heard.belief, heard.clipped))
    fires = (lines + s.other_bias[lengths]).clamp(min=0) * s.other_line[lengths]
    elsewhere = (ends_gate(facts.board, facts.occupied) == 0) & (
        facts.placed @ (runs + ends).T == 0
    )
    return (fires * facts.open_lines(None) * elsewhere).sum(-1)


def pass_log_odds(s: Strengths, others: Tensor, now: Layer, facts: Facts) -> Tensor:
    """[B, T]: log-odds that the side which parity names had no move, so that it passed."""
    early = 1 - lateness(facts.board.context)[: len(facts.later)].to(others)
    odds = s.pass_base - s.pass_early * early - s.pass_others * others
    odds = odds - s.pass_claims * now.claims + s.pass_need * now.need
    return odds.masked_fill(facts.later == 0, -NEVER)


def turn(side: Tensor, passed: Tensor) -> Tensor:
    """[B, T]: sides as parity names them, turned where somebody likely passed."""
    return side * (1 - 2 * _step(passed - 0.5))


def _step(x: Tensor) -> Tensor:
    """0 below, 1 above, steep between."""
    return (STEP * x + 0.5).clamp(0, 1)
