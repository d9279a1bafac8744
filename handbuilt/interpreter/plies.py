"""Plies: whose turn it is by parity, how late it is, and weights by how long ago a move was."""

import torch
from torch import Tensor

from extracted_rules.othello.notation import CONTEXT


def parity(positions: int) -> Tensor:
    """float64 [T]: +1 at even positions, where black moves unless somebody passed, else -1."""
    return 1.0 - 2.0 * (torch.arange(positions, dtype=torch.float64) % 2)


def lateness(positions: int) -> Tensor:
    """float64 [T]: 0 at the first move, 1 at the last."""
    return torch.arange(positions, dtype=torch.float64) / (CONTEXT - 1)


def late_at(at: Tensor | None, like: Tensor) -> Tensor:
    """[B or 1, P, 1]: lateness of the positions ``at``, or of all."""
    late = lateness(CONTEXT).to(like)
    return late[None, : like.shape[1], None] if at is None else late[at][..., None]


def lag_kernel(weights: Tensor) -> Tensor:
    """[T, T] weights by lag t - tau > 0 from weights [lags]; 0 elsewhere."""
    positions = len(weights) + 1
    lag = torch.arange(positions)[:, None] - torch.arange(positions)[None]
    return torch.cat([weights.new_zeros(1), weights])[lag.clamp(min=0)]
