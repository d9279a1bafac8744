"""Plies: whose turn it is by parity, how late it is, and weights by how long ago a move was."""

import torch
from torch import Tensor


def parity(positions: int) -> Tensor:
    """float64 [T]: +1 at even positions, where black moves unless somebody passed, else -1."""
    return 1.0 - 2.0 * (torch.arange(positions, dtype=torch.float64) % 2)


def lateness(context: int) -> Tensor:
    """float64 [context]: 0 at the first move, 1 at the last."""
    return torch.arange(context, dtype=torch.float64) / (context - 1)


def late_at(at: Tensor | None, context: int, like: Tensor) -> Tensor:
    """[B or 1, P, 1]: lateness of the positions ``at``, or of all."""
    late = lateness(context).to(like)
    return late[None, : like.shape[1], None] if at is None else late[at][..., None]


def lag_kernel(weights: Tensor) -> Tensor:
    """[T, T] weights by lag t - tau > 0 from weights [lags]; 0 elsewhere."""
    positions = len(weights) + 1
    lag = torch.arange(positions)[:, None] - torch.arange(positions)[None]
    return torch.cat([weights.new_zeros(1), weights])[lag.clamp(min=0)]
