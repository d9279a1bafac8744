"""Brackets as matrices: which squares each one hears, how loudly, and what they add up to."""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from extracted_rules.othello.notation import N_SQUARES
from extracted_rules.othello.patterns import BRACKETS, MAX_DISTANCE
from handbuilt.strengths import LENGTHS

#: A line between two blanks is no line: this much is taken from it, and given to lines between two
#: discs, which speak about occupied squares only and are never read.
ENDS_GATE = 2.0


def _depth(distance: int, length: int) -> int:
    """A run's disc by its distance to the nearer end."""
    return min(distance, length - 1 - distance)


@cache
def bracket_matrices() -> tuple[Tensor, Tensor]:
    """float64 [518, 64] twice: 1 where a square lies on the run, 1 where it is an end."""
    runs, ends = torch.zeros(2, len(BRACKETS), N_SQUARES, dtype=torch.float64).unbind()
    for row, bracket in enumerate(BRACKETS):
        runs[row, list(bracket.run)] = 1
        ends[row, list(bracket.ends)] = 1
    return runs, ends


@cache
def bracket_lengths() -> Tensor:
    """int64 [518]: length of each bracket's run, minus 1."""
    return torch.tensor([len(bracket.run) - 1 for bracket in BRACKETS])


@cache
def _bracket_places() -> Tensor:
    """int64 [518, 64]: where ``bracket_weights`` finds the weight of each square."""
    table = torch.zeros(len(BRACKETS), N_SQUARES, dtype=torch.int64)
    for row, bracket in enumerate(BRACKETS):
        length = len(bracket.run)
        for distance, square in enumerate(bracket.run):
            table[row, square] = 1 + 4 * (length - 1) + _depth(distance, length)
        for square in bracket.ends:
            table[row, square] = 1 + 4 * (length - 1) + 3
    return table


def bracket_weights(run: Tensor, end: Tensor) -> Tensor:
    """[518, 64] weights of squares for every bracket from run [6, 3] and end [6]."""
    flat = torch.cat([run.new_zeros(1), torch.cat([run, end[:, None]], 1).flatten()])
    return flat[_bracket_places()]


@cache
def _ray_places() -> Tensor:
    """int64 [6, 7]: where ``ray_weights`` finds the weight at each distance, by length."""
    table = torch.zeros(LENGTHS, MAX_DISTANCE, dtype=torch.int64)
    for length in range(1, LENGTHS + 1):
        for distance in range(length):
            table[length - 1, distance] = 1 + 4 * (length - 1) + _depth(distance, length)
        table[length - 1, length] = 1 + 4 * (length - 1) + 3
    return table


def ray_weights(run: Tensor, end: Tensor) -> Tensor:
    """[..., 6, 7] weights by distance from the move, from run [..., 6, 3] and end [..., 6]."""
    joined = torch.cat([run, end[..., None]], -1).flatten(-2)
    return torch.cat([torch.zeros_like(joined[..., :1]), joined], -1)[..., _ray_places()]


def line_evidence(
    run: Tensor, end: Tensor, sources: Sequence[Tensor], new: Tensor | float = 0.0
) -> Tensor:
    """[B, P, 518]: what sources [B, P, 64] say for a line on each bracket.

    run, end: [6, sources, 3] and [6, sources], as the strengths hold them. ``new`` is what the
    move's own disc says.
    """
    total = torch.as_tensor(new)
    for source, values in enumerate(sources):
        total = total + values @ bracket_weights(run[:, source], end[:, source]).T
    return total


def ends_gate(occupied: Tensor) -> Tensor:
    """[B, P, 518] from occupied [B, P, 64]: 0 for a bracket with one blank end, ENDS_GATE less for
    each further one."""
    return -ENDS_GATE * (1 - occupied @ bracket_matrices()[1].to(occupied).T)
