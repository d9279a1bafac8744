"""Intervals of what is no ratio of sums: counts of neurons, say.

A delete-a-group jackknife: games are divided into groups of whole games, the statistic is computed
without each, and its spread over these gives a normal interval. Counts above a mark jump: for them
leaving out groups is sound, where leaving out single games is not.
"""

from collections.abc import Callable
from math import sqrt

import torch
from torch import Tensor

from comparison.scoring.measures import Z95, Estimate, Ratio

#: Groups of games.
GROUPS = 20


def group_of_games(games: int) -> Tensor:
    """int64 [games]: the group of each game; neighbours share one."""
    sizes = torch.tensor([len(part) for part in torch.arange(games).tensor_split(GROUPS)])
    return torch.arange(GROUPS).repeat_interleave(sizes)


def by_group(values: Tensor, group: Tensor) -> Tensor:
    """float64 [GROUPS, ...]: sums over rows. values: [rows, ...]; group: int64 [rows]."""
    sums = torch.zeros(GROUPS, *values.shape[1:], dtype=torch.float64)
    return sums.index_add_(0, group, values.double())


def jackknife(
    statistic: Callable[..., float],
    *sums: Tensor,
    within: tuple[float, float] = (-float("inf"), float("inf")),
) -> Estimate:
    """The statistic of all games' sums with its 95 % interval, cut to what is possible.

    sums: each [GROUPS, ...]; the statistic gets each of them summed over groups.
    """
    totals = [s.sum(0) for s in sums]
    value = statistic(*totals)
    without = torch.tensor(
        [
            statistic(*(total - s[group] for total, s in zip(totals, sums, strict=True)))
            for group in range(GROUPS)
        ],
        dtype=torch.float64,
    )
    variance = float((without - without.mean()).square().sum()) * (GROUPS - 1) / GROUPS
    half = Z95 * sqrt(variance)
    return Estimate(value, max(value - half, within[0]), min(value + half, within[1]))


def ratio_by_game(x: Tensor, y: Tensor, game: Tensor, games: int) -> Ratio:
    """sum(x) / sum(y) with the game as the unit. x, y: [rows]; game: int64 [rows]."""
    sums = torch.zeros(2, games, dtype=torch.float64)
    sums.index_add_(1, game, torch.stack([x.double(), y.double()]))
    ratio = Ratio()
    ratio.add(*sums)
    return ratio


def exactly(value: float) -> Estimate:
    """What is known without an interval."""
    return Estimate(value, value, value)
