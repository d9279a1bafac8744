"""What whoever runs a model hands to those who look for rules, layer by layer.

A *collector* looks at one layer. It gets batches of games with the activations it asked for, first
those in which rules are found, then those on which they are checked, and gives findings back.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from extracted_rules.catalogue import Finding
from extracted_rules.othello.game import Replay
from extracted_rules.othello.geometry import Geometry


@dataclass(frozen=True)
class Surroundings:
    """A layer's weights, and what a write into the residual stream means there.

    weights: the block's parameters by their names within it, such as "mlp.W_out" [neurons, d_model]
    or "attn.W_V" [heads, d_model, d_head]. squares: float32 [d_model, squares], how a write moves
    "mine less theirs" as this layer's probes read it. logits: float32 [d_model, playable squares],
    how a write moves the logit of each, at the usual size of the stream before the unembedding.
    """

    layer: int
    weights: Mapping[str, Tensor]
    squares: Tensor
    logits: Tensor

    @property
    def geometry(self) -> Geometry:
        """The board, by its moves."""
        return Geometry.of_tokens(self.logits.shape[-1] + 1)


@dataclass(frozen=True)
class Batch:
    """Some games and what a layer did in them.

    activations: by their names within the block, such as "mlp.hook_post" [games, context, neurons],
    "attn.hook_pattern" [games, heads, context, context] or "hook_resid_pre". checking: whether
    these are games on which rules are checked, not found.
    """

    activations: Mapping[str, Tensor]
    played: Replay
    checking: bool


class Collector(Protocol):
    """Looks at one layer. ``needs``: names of the activations it wants to see."""

    needs: frozenset[str]

    def add(self, batch: Batch) -> None:
        """See some games; all those to find rules in come before those to check them on."""

    def findings(self, progress: Callable[[int], None]) -> list[Finding]:
        """What was found, in order; ``progress`` is told of every hundredth of the work."""


#: Makes a collector for a layer.
CollectorOf = Callable[[Surroundings], Collector]
