"""What is known by heart: the start, the board after the first move, and the replies to it."""

import torch
from torch import Tensor

from extracted_rules.othello.game import Replay, replay
from extracted_rules.othello.geometry import Geometry, made_once
from handbuilt.interpreter.facts import Facts
from handbuilt.interpreter.plies import parity
from handbuilt.strengths import Strengths


@made_once
def start_board(board: Geometry) -> Tensor:
    """float64 [squares]: the start position in black's frame."""
    squares = torch.zeros(board.n_squares, dtype=torch.float64)
    squares[list(board.start_black)] = 1
    squares[list(board.start_white)] = -1
    return squares


@made_once
def _first_moves(board: Geometry) -> Replay:
    tokens = torch.tensor([[board.token_of(square)] for square in board.first_moves])
    return replay(tokens, board=board.size)


def boards_after_first_move(board: Geometry) -> Tensor:
    """float64 [4, squares]: the board after each of its first moves, in black's frame."""
    return _first_moves(board).boards[:, 1].to(torch.float64)


def book(board: Geometry) -> Tensor:
    """float64 [4, squares]: 1 on the legal replies to each of the first moves."""
    return _first_moves(board).legal[:, 1].to(torch.float64)


def faded_opening(s: Strengths, facts: Facts) -> Tensor:
    """[B, T, squares]: the board after the first move, in each position's frame, faded by age."""
    positions = len(facts.later)
    sides, age = parity(positions).to(s.run), torch.arange(positions).to(s.run)
    after = boards_after_first_move(facts.board).to(s.run)[facts.first][:, None]
    return (sides * torch.exp(s.opening_fade * (age - 1)))[:, None] * after
