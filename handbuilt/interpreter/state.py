"""What the rules hold of every position, layer by layer, and all that a run leaves behind."""

from dataclasses import dataclass

from torch import Tensor

from handbuilt.interpreter.facts import Facts


@dataclass
class Layer:
    """What one layer computes: scalars of a position [B, T], everything else [B, T, squares]."""

    belief: Tensor
    need: Tensor
    side: Tensor
    claims: Tensor
    flips: Tensor
    clipped: Tensor
    message: Tensor

    @property
    def sources(self) -> tuple[Tensor, Tensor, Tensor]:
        """What neurons read of discs, in the order of SOURCES."""
        return self.belief, self.clipped, self.message


@dataclass
class Trace:
    """Every quantity of a run.

    layers: all but the last. [B, T]: others, how many lines the side named by parity had elsewhere;
    pass_log_odds, those that it had none at all; passed, how surely that was so here or earlier.
    last_belief [B, T, squares]: the last read. [B, P, squares]: the two legality counts. logits
    [B, P, tokens].
    """

    facts: Facts
    layers: list[Layer]
    others: Tensor
    pass_log_odds: Tensor
    passed: Tensor
    last_belief: Tensor
    first_count: Tensor
    last_count: Tensor
    logits: Tensor
