"""What is known by heart: the start, the board after the first move, and the replies to it."""

from functools import cache

import torch
from torch import Tensor

from extracted_rules.othello.game import replay, start, unpack
from extracted_rules.othello.notation import CENTRE, N_SQUARES, token_of
from handbuilt.interpreter.facts import FIRST_MOVES, Facts
from handbuilt.interpreter.plies import parity
from handbuilt.strengths import Strengths


@cache
def start_board() -> Tensor:
    """float64 [64]: the start position in black's frame."""
    black = unpack(start(1)[0])[0].to(torch.float64)
    centre = torch.zeros(N_SQUARES, dtype=torch.float64)
    centre[list(CENTRE)] = 1
    return 2 * black - centre


@cache
def boards_after_first_move() -> Tensor:
    """float64 [4, 64]: the board after each of FIRST_MOVES, in black's frame."""
    tokens = torch.tensor([[token_of(square)] for square in FIRST_MOVES])
    return replay(tokens).boards[:, 1].to(torch.float64)


@cache
def book() -> Tensor:
    """float64 [4, 64]: 1 on the legal replies to each of FIRST_MOVES."""
    tokens = torch.tensor([[token_of(square)] for square in FIRST_MOVES])
    return replay(tokens).legal[:, 1].to(torch.float64)


def faded_opening(s: Strengths, facts: Facts) -> Tensor:
    """[B, T, 64]: the board after the first move, in each position's frame, faded by age."""
    positions = len(facts.later)
    sides, age = parity(positions).to(s.run), torch.arange(positions).to(s.run)
    board = boards_after_first_move().to(s.run)[facts.first][:, None]
    return (sides * torch.exp(s.opening_fade * (age - 1)))[:, None] * board
