"""Attention scores that make a softmax a fixed kernel of positions.

With one-hot positions a head's scores are any matrix over positions; what a row of the kernel
leaves of the softmax's mass goes to a *sink* without value.
"""

import numpy as np
import numpy.typing as npt

from handbuilt.programs.records import Array

#: The score of what a head must not see: e^-30 of its attention.
UNSEEN = -30.0


def kernel_scores(
    kernel: Array, sink: npt.NDArray[np.int_], size: float | None = None
) -> tuple[Array, float]:
    """Scores [positions, positions] and amplitude a: a * softmax(scores) = kernel where it is > 0.

    kernel: non-negative [query, key]. sink: int [query], the key that takes the rest of each row's
    mass; the kernel must be 0 there and the value there must be 0. ``size`` sets the amplitude.
    """
    rows = np.arange(len(kernel))
    amplitude = size or max(1.05 * float(kernel.sum(-1).max()), 1.0)
    share = kernel / amplitude
    share[rows, sink] = 1 - share.sum(-1)
    scores = np.full(kernel.shape, UNSEEN)
    np.log(share, out=scores, where=share > np.exp(UNSEEN))
    return scores, amplitude


def self_scores(positions: int) -> Array:
    """Scores with which every position sees itself alone."""
    return np.where(np.eye(positions) > 0, 0.0, UNSEEN)
