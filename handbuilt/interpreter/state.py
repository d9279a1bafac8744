"""What the rules hold of every position, layer by layer, and all that a run leaves behind."""

from dataclasses import dataclass

from torch import Tensor

from handbuilt.interpreter.facts import Facts
from handbuilt.strengths import CLAIMING

#: The last layer, which only reads and counts; those before it claim flips.
LAST = CLAIMING


@dataclass
class Layer:
    """What one layer computes: scalars of a position [B, T], everything else [B, T, 64]."""

    belief: Tensor
    need: Tensor
    side: Tensor
    claims: Tensor
    flips: Tensor
    settled: Tensor
    message: Tensor

    @property
    def sources(self) -> tuple[Tensor, Tensor, Tensor]:
        """What neurons read of discs, in the order of SOURCES."""
        return self.belief, self.settled, self.message


@dataclass
class Trace:
    """Every quantity of a run.

    layers: 0..6. [B, T]: others, how many lines the side named by parity had elsewhere; stuck, the
    log-odds that it had none at all; passed, how surely that was so here or earlier. last_belief
    [B, T, 64]: the last read. [B, P, 64]: the legality counts of layers 6 and 7. logits [B, P, 61].
    """

    facts: Facts
    layers: list[Layer]
    others: Tensor
    stuck: Tensor
    passed: Tensor
    last_belief: Tensor
    first_count: Tensor
    last_count: Tensor
    logits: Tensor
