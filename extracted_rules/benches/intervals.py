"""95 % intervals, every one with the game as the unit: positions of one game are not independent.

Three ways. A ratio of two sums over games (errors over positions, say): the linearised variance of
a ratio estimator, from six running sums, and for shares of positions Wilson's interval at the
sample size that this variance leaves. Counts that jump, of neurons above a mark, say: a
delete-a-group jackknife, which is sound for them where leaving out single games is not. Anything
else: a percentile bootstrap over games.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import inf, isnan, nan, sqrt
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Z95 = 1.959964


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float

    @classmethod
    def exact(cls, value: float) -> "Estimate":
        """What is known without an interval."""
        return cls(value, value, value)


def interval(estimate: Estimate, scale: float = 1.0, digits: int | None = None) -> str:
    """``"0.76 [0.75, 0.77]"``, or the value alone where there is no interval, or nothing; with
    ``digits`` behind the point, or such that three or so tell."""

    def write(x: float) -> str:
        x *= scale
        places = digits if digits is not None else 2 if abs(x) < 10 else 1 if abs(x) < 100 else 0
        return f"{x:,.{places}f}"

    if isnan(estimate.value):
        return ""
    if isnan(estimate.low):
        return write(estimate.value)
    return f"{write(estimate.value)} [{write(estimate.low)}, {write(estimate.high)}]"


# --------------------------------------------------------------------------- ratios of sums


@dataclass
class Ratio:
    """Running sums of sum(x) / sum(y), with x and y given per game."""

    games: int = 0
    x: float = 0
    y: float = 0
    xx: float = 0
    xy: float = 0
    yy: float = 0

    @classmethod
    def of(cls, x: Tensor, y: Tensor) -> "Ratio":
        """x, y: [games]."""
        ratio = cls()
        ratio.add(x, y)
        return ratio

    def add(self, x: Tensor, y: Tensor) -> None:
        """x, y: [games]; integer tensors stay integers in the sums."""
        exact = torch.int64 if not x.is_floating_point() else torch.float64
        x, y = x.to(exact), y.to(exact)
        self.games += int((y != 0).sum())
        self.x += x.sum().item()
        self.y += y.sum().item()
        self.xx += (x * x).sum().item()
        self.xy += (x * y).sum().item()
        self.yy += (y * y).sum().item()

    @property
    def value(self) -> float:
        return self.x / self.y if self.y else nan

    @property
    def variance(self) -> float:
        """Of the value, over games."""
        if self.games < 2:
            return nan
        r = self.value
        squares = self.xx - 2 * r * self.xy + r * r * self.yy
        return max(squares, 0.0) * self.games / (self.games - 1) / self.y**2

    def mean(self, within: tuple[float, float] = (-inf, inf)) -> Estimate:
        """The ratio with its normal interval, cut to the values that are possible."""
        half = Z95 * sqrt(self.variance) if self.games > 1 else nan
        low, high = self.value - half, self.value + half
        return Estimate(self.value, max(low, within[0]), min(high, within[1]))

    def share(self) -> Estimate:
        """As :meth:`mean`, for a quantity between 0 and 1."""
        return self.mean((0.0, 1.0))

    @property
    def clustering(self) -> float:
        """How many times the variance of independent positions; NaN where there is no telling."""
        independent = self.value * (1 - self.value) / self.y if self.y else 0.0
        return self.variance / independent if independent else nan

    def rate(self, clustering: float | None = None, z: float = Z95) -> Estimate:
        """For a share of positions: Wilson's interval of z standard errors, at the sample size that
        the clustering of errors within games leaves, by default what it is found to be, but at
        least 1. It stays honest at 0 errors."""
        n, p = self.y, self.value
        if not n:
            return Estimate.exact(p)
        if clustering is None:
            clustering = 1.0 if isnan(self.clustering) else max(1.0, self.clustering)
        n /= clustering
        centre = (p + z**2 / (2 * n)) / (1 + z**2 / n)
        half = z / (1 + z**2 / n) * sqrt(p * (1 - p) / n + z**2 / (4 * n**2))
        low, high = max(0.0, centre - half), min(1.0, centre + half)
        return Estimate(p, low if p > 0 else 0.0, high if p < 1 else 1.0)


def ratio_by_game(x: Any, y: Any, game: Any) -> Ratio:
    """sum(x) / sum(y) with the game as the unit. x, y: numbers or booleans [rows]; game: integers
    [rows]; tensors or numpy arrays."""
    rows = torch.as_tensor(game).long()
    return Ratio.of(*(torch.bincount(rows, torch.as_tensor(values).double()) for values in (x, y)))


# --------------------------------------------------------------------------- jackknife

#: Groups of games that a jackknife leaves out.
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
    within: tuple[float, float] = (-inf, inf),
) -> Estimate:
    """The statistic of all games' sums with a normal interval from its spread over the sums without
    each group, cut to what is possible.

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


# --------------------------------------------------------------------------- bootstrap

RESAMPLES = 1000


def resampled_games(games: int, seed: int, resamples: int = RESAMPLES) -> npt.NDArray[np.float32]:
    """float32 [games, 1 + resamples]: how often each game is drawn; in column 0 once, so that
    column 0 of whatever is computed from it is the figure itself."""
    generator = np.random.default_rng(seed)
    weights = np.empty((games, 1 + resamples), dtype=np.float32)
    weights[:, 0] = 1
    for column in range(1, 1 + resamples):
        drawn = generator.integers(games, size=games)
        weights[:, column] = np.bincount(drawn, minlength=games)
    return weights


def percentiles(columns: npt.NDArray[np.float64]) -> Estimate:
    """From a figure's value and its bootstrap values, [1 + resamples]; NaN ends where there is no
    telling, as with a single game."""
    value, drawn = float(columns[0]), columns[1:]
    drawn = drawn[np.isfinite(drawn)]
    if len(drawn) < 0.5 * (len(columns) - 1) or not np.ptp(drawn) > 0:
        return Estimate(value, nan, nan)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Estimate(value, float(low), float(high))


def bootstrap(
    statistic: Callable[[Tensor], Tensor], sums: Tensor, seed: int, resamples: int = RESAMPLES
) -> Estimate:
    """Of a statistic of sums over games. sums: [games, k]; the statistic maps [..., k] to [...].

    One resample at a time, as :func:`resampled_games` would not fit for hundreds of thousands of
    games.
    """
    games = len(sums)
    generator = torch.Generator().manual_seed(seed)
    drawn = [
        sums[torch.randint(games, (games,), generator=generator)].sum(0) for _ in range(resamples)
    ]
    return percentiles(statistic(torch.stack([sums.sum(0), *drawn])).numpy())
