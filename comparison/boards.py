"""What a hand-built model believes about the board, read from its named directions."""

from dataclasses import dataclass

import torch
from torch import Tensor

from extracted_rules.game import replay
from extracted_rules.notation import CONTEXT, N_SQUARES
from handbuilt.space import Layout
from handbuilt.transformer import OthelloGPT


@dataclass
class BoardAccuracy:
    """How often beliefs are right, counted by layer and by the number of moves seen before.

    discs, discs_right, boards, boards_right: int64 [layers, positions]. The board is the one before
    a position's own move; a disc counts as right if its belief has the right sign, a board if all
    its discs do. Position 0, whose board is the start, is left out (its counts are 0).
    """

    games: int
    discs: Tensor
    discs_right: Tensor
    boards: Tensor
    boards_right: Tensor
    #: int64 [layers, 64]: discs seen on a square, and those held right
    squares: Tensor
    squares_right: Tensor

    def by_layer(self) -> list[tuple[float, float]]:
        """(share of discs, share of whole boards) of each layer."""
        discs = self.discs_right.sum(-1) / self.discs.sum(-1)
        boards = self.boards_right.sum(-1) / self.boards.sum(-1)
        return list(zip(discs.tolist(), boards.tolist(), strict=True))

    def as_dict(self) -> dict[str, object]:
        """Plain numbers for JSON, by layer: shares of discs and boards; boards by ply; squares."""
        by_layer = self.by_layer()
        return {
            "games": self.games,
            "discs": [discs for discs, _ in by_layer],
            "whole_boards": [boards for _, boards in by_layer],
            "whole_boards_by_moves_seen": self.whole_boards().tolist(),
            "discs_by_square": (self.squares_right / self.squares).tolist(),
        }

    def whole_boards(self) -> Tensor:
        """float [layers, positions - 1]: share of boards without an error."""
        return (self.boards_right / self.boards.clamp(min=1))[:, 1:]


#: Games of a pass with cache: every activation of a game takes about 25 MiB.
CACHED_GAMES = 32


@torch.inference_mode()
def board_accuracy(model: OthelloGPT, games: Tensor) -> BoardAccuracy:
    """Compare the belief directions with the true board, for every layer that keeps a belief.

    games: uint8 [B, 60] on the model's device. Raises CheckpointError for a model without names.
    The last layer is left out: its belief is about the board after the move.
    """
    where = Layout.of(model).directions["belief"]
    layers = range(model.shape.n_layers - 1)
    by_position = torch.zeros(4, len(layers), CONTEXT, dtype=torch.int64)
    by_square = torch.zeros(2, len(layers), N_SQUARES, dtype=torch.int64)
    for start in range(0, len(games), CACHED_GAMES):
        tokens = games[start : start + CACHED_GAMES]
        played = replay(tokens)
        truth = played.boards[:, :CONTEXT] * played.movers[:, :CONTEXT, None]
        disc = truth != 0
        disc[:, 0] = False
        here = disc.any(-1)
        _, cache = model.run_with_cache(tokens[:, :CONTEXT].long())
        for layer in layers:
            belief = cache[f"blocks.{layer}.hook_resid_mid"][..., where]
            right = (belief.sign() == truth) & disc
            whole = (right == disc).all(-1) & here
            sums = (disc.sum((0, 2)), right.sum((0, 2)), here.sum(0), whole.sum(0))
            by_position[:, layer] += torch.stack(sums).cpu()
            by_square[:, layer] += torch.stack((disc.sum((0, 1)), right.sum((0, 1)))).cpu()
    return BoardAccuracy(len(games), *by_position, *by_square)
