"""What a hand-built model believes about the board, read from its named directions."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from comparison.bench import CONTEXT, FORWARD_GAMES, Progress, batches
from extracted_rules.game import replay
from handbuilt.space import Layout
from handbuilt.transformer import OthelloGPT


@dataclass
class BoardAccuracy:
    """How often beliefs are right, counted by layer and by the number of moves seen before.

    discs, discs_right, boards, boards_right: int64 [layers, positions]. The board is the one before
    a position's own move; a disc counts as right if its belief has the right sign, a board if all
    its discs do. Position 0, whose board is the start, is left out (its counts are 0).
    """

    discs: Tensor
    discs_right: Tensor
    boards: Tensor
    boards_right: Tensor

    def by_layer(self) -> list[tuple[float, float]]:
        """(share of discs, share of whole boards) of each layer."""
        discs = self.discs_right.sum(-1) / self.discs.sum(-1)
        boards = self.boards_right.sum(-1) / self.boards.sum(-1)
        return list(zip(discs.tolist(), boards.tolist(), strict=True))

    def whole_boards(self) -> Tensor:
        """float [layers, positions - 1]: share of boards without an error."""
        return (self.boards_right / self.boards.clamp(min=1))[:, 1:]


@torch.inference_mode()
def board_accuracy(
    model: OthelloGPT, games: Iterable[Tensor], progress: Progress = lambda _: None
) -> BoardAccuracy:
    """Compare the belief directions with the true board, for every layer that keeps a belief.

    games: uint8 [B, 60] batches on the model's device. Raises CheckpointError for a model without
    names. The last layer is left out: its belief is about the board after the move.
    """
    where = Layout.of(model).directions["belief"]
    layers = model.shape.n_layers - 1
    counts = torch.zeros(4, layers, CONTEXT, dtype=torch.int64)
    for tokens in batches(games, FORWARD_GAMES):
        played = replay(tokens)
        truth = played.boards[:, :CONTEXT] * played.movers[:, :CONTEXT, None]
        disc = truth != 0
        disc[:, 0] = False
        here = disc.any(-1)
        _, cache = model.run_with_cache(tokens[:, :CONTEXT].long())
        for layer in range(layers):
            belief = cache[f"blocks.{layer}.hook_resid_mid"][..., where]
            right = (belief.sign() == truth) & disc
            whole = (right == disc).all(-1) & here
            sums = (disc.sum((0, 2)), right.sum((0, 2)), here.sum(0), whole.sum(0))
            counts[:, layer] += torch.stack(sums).cpu()
        progress(len(tokens))
    return BoardAccuracy(*counts)
