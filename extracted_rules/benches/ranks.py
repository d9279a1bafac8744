"""Ranks: of values within strata, with the permutation null; and of squares by their logits."""

from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from extracted_rules.benches.positions import Array, Longs


def permuted(
    values: npt.NDArray[Any], stratum: Longs, generator: np.random.Generator
) -> npt.NDArray[Any]:
    """A permutation null: values [N] permuted by chance within each stratum."""
    anew = np.empty_like(values)
    by_chance = np.lexsort((generator.random(len(stratum)), stratum))
    anew[np.argsort(stratum, kind="stable")] = values[by_chance]
    return anew


def within_ranks(values: npt.NDArray[np.floating], stratum: Longs) -> Array:
    """float64 [N]: ranks within each stratum, -0.5 to 0.5 and their mean 0; the mean rank for equal
    values."""
    from scipy.stats import rankdata  # takes half a second, which who ranks nothing should not pay

    # Stratum after stratum; equal values share the middle of their ranks.
    place = rankdata(values, "dense")
    rank = rankdata(stratum * (place.max(initial=0) + 1) + place)
    size = np.bincount(stratum)
    before = np.cumsum(size) - size
    ranks: Array = (rank - before[stratum] - 0.5) / size[stratum] - 0.5
    return ranks


def outranks(logits: Tensor, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """(float64 [rows]: pairs of a square of a and one of b in which the first is likelier, ties
    counted half; [rows] pairs). logits: [rows, moves]; a, b: bool [rows, moves]."""
    won, pairs = [], []
    for x, first, second in zip(*(torch.split(t, 2048) for t in (logits, a, b)), strict=True):
        both = first[:, :, None] & second[:, None]
        sign = (x[:, :, None] - x[:, None]).sign()
        won.append((((1 + sign) / 2) * both).sum((1, 2)).double())
        pairs.append(both.sum((1, 2)))
    return torch.cat(won), torch.cat(pairs)
