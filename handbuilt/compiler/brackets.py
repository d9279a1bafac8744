"""Brackets as matrices, and families of neurons with one for each of them."""

from collections.abc import Sequence

import numpy as np
from torch import Tensor

from extracted_rules.othello.patterns import BRACKETS
from handbuilt.interpreter.brackets import bracket_lengths, bracket_matrices, bracket_weights
from handbuilt.strengths import SOURCES
from handbuilt.weights import Array, Maps, Weights

BRACKET_NAMES = [bracket.name for bracket in BRACKETS]
#: float64 [518, 64] twice: 1 where a square lies on the run, 1 where it is an end.
RUNS, ENDS = (matrix.numpy() for matrix in bracket_matrices())
#: int64 [518]: length of each bracket's run, minus 1.
LENGTH_OF = bracket_lengths().numpy()


def heard_of_discs(run: Tensor, end: Tensor) -> dict[str, Array]:
    """float64 [64, 518] by source: what each bracket's neuron reads of every square.

    run, end: [6, sources, 3] and [6, sources], as the strengths hold them.
    """
    return {
        source: bracket_weights(run[:, i], end[:, i]).numpy().T for i, source in enumerate(SOURCES)
    }


def one_each(
    w: Weights,
    layer: int,
    name: str,
    lines: Sequence[str],
    sentence: str,
    reads: Maps,
    bias: Array,
    writes: Maps,
) -> None:
    """A neuron for every bracket or pattern that it says something about."""
    speaks = np.any([block.any(1) for block in writes.values()], 0).nonzero()[0]
    if len(speaks):
        members = [lines[row] for row in speaks]
        hears = {subspace: block[:, speaks] for subspace, block in reads.items()}
        says = {subspace: block[speaks] for subspace, block in writes.items()}
        w.relu(layer, name, members, sentence, hears, bias[speaks], says)
