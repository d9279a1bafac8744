"""Brackets as matrices: which squares each one hears, how loudly, and what they add up to."""

from collections.abc import Sequence

import torch
from torch import Tensor

from extracted_rules.othello.geometry import Geometry, made_once

#: A line between two blanks is no line: this much is taken from it, and given to lines between two
#: discs, which speak about occupied squares only and are never read.
ENDS_GATE = 2.0


def _depth(distance: int, length: int) -> int:
    """A run's disc by its distance to the nearer end."""
    return min(distance, length - 1 - distance)


@made_once
def bracket_matrices(board: Geometry) -> tuple[Tensor, Tensor]:
    """float64 [brackets, squares] twice: 1 where a square lies on the run, 1 where it is an end."""
    sizes = (2, len(board.brackets), board.n_squares)
    runs, ends = torch.zeros(*sizes, dtype=torch.float64).unbind()
    for row, bracket in enumerate(board.brackets):
        runs[row, list(bracket.run)] = 1
        ends[row, list(bracket.ends)] = 1
    return runs, ends


@made_once
def bracket_lengths(board: Geometry) -> Tensor:
    """int64 [brackets]: length of each bracket's run, minus 1."""
    return torch.tensor([len(bracket.run) - 1 for bracket in board.brackets])


@made_once
def _bracket_places(board: Geometry, depths: int) -> Tensor:
    """int64 [brackets, squares]: where ``bracket_weights`` finds the weight of each square."""
    table = torch.zeros(len(board.brackets), board.n_squares, dtype=torch.int64)
    for row, bracket in enumerate(board.brackets):
        length = len(bracket.run)
        start = 1 + (depths + 1) * (length - 1)
        for distance, square in enumerate(bracket.run):
            table[row, square] = start + _depth(distance, length)
        table[row, list(bracket.ends)] = start + depths
    return table


def bracket_weights(board: Geometry, run: Tensor, end: Tensor) -> Tensor:
    """[brackets, squares] weights of squares for every bracket, from run [lengths, depths] and end
    [lengths]."""
    flat = torch.cat([run.new_zeros(1), torch.cat([run, end[:, None]], 1).flatten()])
    return flat[_bracket_places(board, run.shape[1])]


@made_once
def _ray_places(lengths: int, depths: int) -> Tensor:
    """int64 [lengths, distances]: where ``ray_weights`` finds the weight at each distance."""
    table = torch.zeros(lengths, lengths + 1, dtype=torch.int64)
    for length in range(1, lengths + 1):
        start = 1 + (depths + 1) * (length - 1)
        for distance in range(length):
            table[length - 1, distance] = start + _depth(distance, length)
        table[length - 1, length] = start + depths
    return table


def ray_weights(run: Tensor, end: Tensor) -> Tensor:
    """[..., lengths, distances] weights by distance from the move, from run [..., lengths, depths]
    and end [..., lengths]."""
    joined = torch.cat([run, end[..., None]], -1).flatten(-2)
    places = _ray_places(run.shape[-2], run.shape[-1])
    return torch.cat([torch.zeros_like(joined[..., :1]), joined], -1)[..., places]


def line_evidence(
    board: Geometry, run: Tensor, end: Tensor, sources: Sequence[Tensor], new: Tensor | float = 0.0
) -> Tensor:
    """[B, P, brackets]: what sources [B, P, squares] say for a line on each bracket.

    run, end: [lengths, sources, depths] and [lengths, sources], as the strengths hold them. ``new``
    is what the move's own disc says.
    """
    total = torch.as_tensor(new)
    for source, values in enumerate(sources):
        total = total + values @ bracket_weights(board, run[:, source], end[:, source]).T
    return total


def ends_gate(board: Geometry, occupied: Tensor) -> Tensor:
    """[B, P, brackets] from occupied [B, P, squares]: 0 for a bracket with one blank end, ENDS_GATE
    less for each further one."""
    return -ENDS_GATE * (1 - occupied @ bracket_matrices(board)[1].to(occupied).T)
