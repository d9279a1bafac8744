"""How much of the board a model holds, by layer and by the number of moves seen.

Here are the counts, the same for every model, and the reader of hand-built models, whose belief
directions say it outright; :mod:`comparison.reading.probes` reads trained ones.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from extracted_rules.othello.game import Replay, replay
from extracted_rules.othello.notation import CONTEXT, N_SQUARES
from handbuilt.network.transformer import OthelloGPT

#: Games of a pass that keeps activations: the residual stream of a game takes about 1 MiB.
READ_GAMES = 32

#: Games on which beliefs are compared with boards.
BOARD_GAMES = 200


@dataclass
class BoardAccuracy:
    """How often a model's boards are right, counted by layer and by the moves played on them.

    discs, discs_right, boards, boards_right: int64 [layers, moves], column m for boards after
    m + 1 moves; a board counts as right if all its squares are. squares, squares_right: int64
    [layers, 64], discs seen on a square and those held right. flips_right: int64 [layers, moves],
    boards whose last move's flips are held without an error; None where nobody reads them.
    """

    source: str
    games: int
    discs: Tensor
    discs_right: Tensor
    boards: Tensor
    boards_right: Tensor
    squares: Tensor
    squares_right: Tensor
    flips_right: Tensor | None

    @classmethod
    def zeros(cls, source: str, layers: int, moves: int, *, flips: bool) -> "BoardAccuracy":
        """Nothing counted yet. source: what the boards are read from, for people."""
        by_moves = torch.zeros(5, layers, moves, dtype=torch.int64)
        by_square = torch.zeros(2, layers, N_SQUARES, dtype=torch.int64)
        discs, discs_right, boards, boards_right, flips_right = by_moves
        return cls(
            source,
            games=0,
            discs=discs,
            discs_right=discs_right,
            boards=boards,
            boards_right=boards_right,
            squares=by_square[0],
            squares_right=by_square[1],
            flips_right=flips_right if flips else None,
        )

    def add(self, layer: int, held: Tensor, truth: Tensor) -> None:
        """Count some games' boards at a layer; int8 [B, moves, 64] as in :func:`mover_frame`."""
        disc = truth != 0
        right = (held == truth) & disc
        there = disc.any(-1)
        whole = (held == truth).all(-1) & there
        self.discs[layer] += disc.sum((0, 2)).cpu()
        self.discs_right[layer] += right.sum((0, 2)).cpu()
        self.boards[layer] += there.sum(0).cpu()
        self.boards_right[layer] += whole.sum(0).cpu()
        self.squares[layer] += disc.sum((0, 1)).cpu()
        self.squares_right[layer] += right.sum((0, 1)).cpu()

    def by_layer(self) -> list[tuple[float, ...]]:
        """(share of discs, share of whole boards, share of whole flips if read) of each layer."""
        boards = self.boards.sum(-1)
        shares = [self.discs_right.sum(-1) / self.discs.sum(-1), self.boards_right.sum(-1) / boards]
        if self.flips_right is not None:
            shares.append(self.flips_right.sum(-1) / boards)
        return list(zip(*(share.tolist() for share in shares), strict=True))

    def as_dict(self) -> dict[str, object]:
        """Plain numbers for JSON, by layer: shares of discs and boards; boards by ply; squares."""
        columns = list(zip(*self.by_layer(), strict=True))
        return {
            "source": self.source,
            "games": self.games,
            "discs": columns[0],
            "whole_boards": columns[1],
            "whole_flips": columns[2] if self.flips_right is not None else None,
            "whole_boards_by_moves_seen": self.whole_boards().tolist(),
            "discs_by_square": (self.squares_right / self.squares).tolist(),
        }

    def whole_boards(self) -> Tensor:
        """float [layers, moves]: share of boards without an error."""
        return self.boards_right / self.boards.clamp(min=1)


def mover_frame(played: Replay) -> Tensor:
    """int8 [B, 61, 64]: the boards for the side that really moves next (after an unseen pass, not
    the one that alternation names): +1 mine, -1 theirs, 0 empty; all 0 once the game is over."""
    return played.boards * played.movers.unsqueeze(-1)


def residuals(
    model: OthelloGPT, games: Tensor, place: str | tuple[str, ...] = "hook_resid_post"
) -> Iterator[tuple[Tensor, Replay]]:
    """(the residual stream at a place, float [layers, b, 59, d_model], or at several, one after the
    other in every layer; the games played), over games uint8 [B, 60] on the model's device,
    READ_GAMES at a time."""
    for start in range(0, len(games), READ_GAMES):
        tokens = games[start : start + READ_GAMES]
        kept: list[Tensor] = []

        def keep(name: str, value: Tensor, kept: list[Tensor] = kept) -> Tensor:
            if name.endswith(place):
                kept.append(value)
            return value

        model.run_with_hook(tokens[:, :CONTEXT].long(), keep)
        yield torch.stack(kept), replay(tokens)


@torch.inference_mode()
def board_accuracy(model: OthelloGPT, games: Tensor) -> BoardAccuracy:
    """Compare the belief directions with the true board, for every layer that keeps a belief.

    A position's belief, read between a layer's two halves, is about the board before its own move
    (position 0, whose board is the start, is left out): a disc counts as right if its belief has
    the right sign. Which squares are empty is plain from the moves and not asked for. The last
    layer is left out: its belief is about the board after the move.

    games: uint8 [B, 60] on the model's device. Raises CheckpointError for a model without names.
    """
    where = model.layout.directions["belief"]
    accuracy = BoardAccuracy.zeros(
        "belief directions", model.shape.n_layers - 1, CONTEXT - 1, flips=False
    )
    for streams, played in residuals(model, games, "hook_resid_mid"):
        truth = mover_frame(played)[:, 1:CONTEXT]
        for layer, stream in enumerate(streams[:-1]):
            accuracy.add(layer, stream[:, 1:, where].sign().to(torch.int8) * truth.abs(), truth)
        accuracy.games += len(played.tokens)
    return accuracy
