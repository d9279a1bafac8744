"""Layer 0, which nobody has told anything: a guess by who put discs down and by moves near them."""

import torch
from torch import Tensor

from extracted_rules.othello.geometry import Geometry
from handbuilt.interpreter.facts import Facts
from handbuilt.interpreter.openings import start_board
from handbuilt.interpreter.plies import lag_kernel, parity
from handbuilt.interpreter.state import Layer
from handbuilt.strengths import Strengths


def neighbours(board: Geometry, near: Tensor) -> Tensor:
    """[squares, squares] from near [pairs]: what a move on one square says about another's disc."""
    return torch.cat([near.new_zeros(1), near])[board.pair_class]


def guess(s: Strengths, facts: Facts) -> Layer:
    """What layer 0's claims hear: its belief and, as clipped, what moves have likely turned."""
    games, positions, _ = facts.placed.shape
    later, sides = facts.later, parity(positions).to(s.run)
    # It believes that every disc still belongs to whoever put it there.
    kernel = lag_kernel(s.owner.exp())[:positions, :positions] * sides[:, None] * sides
    fade = sides * torch.exp(s.start * torch.arange(positions).to(s.run))
    belief = kernel @ facts.placed + fade[:, None] * start_board(facts.board).to(s.run)
    # Moves near a disc have likely turned it. What is left of these heads' attention rests on
    # the move itself, and something may be added to that.
    turned = torch.zeros_like(belief)
    for log_weights, itself, table in zip(s.near_kernel, s.near_now, s.near, strict=True):
        by_lag = lag_kernel(log_weights.exp())[:positions, :positions]
        by_lag = by_lag * sides[:, None] * sides
        by_lag = by_lag + torch.diag(itself - by_lag.sum(-1))
        turned = turned + by_lag @ (facts.placed @ neighbours(facts.board, table))
    zero = s.run.new_zeros(games, positions)
    return Layer(
        belief=belief * later[:, None],
        need=(zero + s.need_start) * later,
        side=zero + sides * later,
        claims=zero,
        flips=facts.placed * 0,
        clipped=turned * later[:, None],
        message=facts.placed * 0,
    )
