"""The board that a model holds behind each of its layers, after the last move it has seen.

A hand-built model says it outright: its belief is about the board before that move, and its message
says what the move turned; both together are the board after it. A trained model is read through
linear probes.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from comparison.reading.boards import residuals
from comparison.reading.probes import PROBED_LAYER, STATES, Probes
from extracted_rules.othello.game import Replay
from extracted_rules.othello.notation import N_SQUARES, SQUARE_OF_TOKEN
from handbuilt.network.transformer import OthelloGPT


@dataclass(frozen=True)
class LayerBoards:
    """What a model holds of some games' boards.

    held: float32 [layers, B, T, 64], about the discs after moves 0..t: above 0 black, below 0
    white, within -1..1, the nearer to 0 the less sure; 0 where no disc lies. mover: int8
    [layers, B, T], who is held to move next, +1 black; 0 where nobody truly does. first: the first
    position at which a board is held; a hand-built model's position 0 knows its replies by heart.
    """

    held: Tensor
    mover: Tensor
    first: int = 0

    def truth(self, played: Replay) -> Tensor:
        """int8 [B, T, 64]: the true boards; 0 before ``first``."""
        truth = played.boards[:, 1 : self.held.shape[2] + 1].clone()
        truth[:, : self.first] = 0
        return truth

    def wrong(self, played: Replay) -> Tensor:
        """bool [layers, B, T, 64]: discs held to be of the other colour, or of none."""
        truth = self.truth(played)
        return (truth != 0) & (self.held.sign() != truth)


class LayerReader(ABC):
    """What reads a model's board behind every layer, at ``hook_resid_post``.

    decisive: the layer whose board is the model's last word on it.
    """

    decisive: int

    def __init__(self, model: OthelloGPT) -> None:
        self.model = model

    @abstractmethod
    def of_streams(self, streams: Tensor, played: Replay) -> LayerBoards:
        """From a run's residual streams, float [layers, B, T, d_model] behind every layer, over the
        games ``played``."""

    @torch.inference_mode()
    def read(self, games: Tensor) -> LayerBoards:
        """Of legal games uint8 [B, 60] on the model's device; T is the context's 59."""
        parts = [self.of_streams(*part) for part in residuals(self.model, games)]
        return LayerBoards(
            torch.cat([part.held for part in parts], 1),
            torch.cat([part.mover for part in parts], 1),
            parts[0].first,
        )


class NamedLayers(LayerReader):
    """The named directions of a hand-built model.

    Its side says who made the last move, and nothing of a pass that is due now, which it leaves to
    the counting of lines. So who held the maker rightly is taken to hold the next mover rightly.
    """

    def __init__(self, model: OthelloGPT) -> None:
        super().__init__(model)
        self.decisive = model.shape.n_layers - 1
        self.directions = model.layout.directions

    def of_streams(self, streams: Tensor, played: Replay) -> LayerBoards:
        """See :class:`LayerReader`."""
        where = self.directions
        sides = streams[..., where["side"]].sign()
        # +1 is the mover's: a disc that was theirs, -1, and is told to be turned becomes theirs no
        # more.
        held = streams[..., where["belief"]].clamp(-1, 1) + 2 * streams[..., where["message"]]
        tokens = played.tokens[:, : streams.shape[2]].long()
        placed = SQUARE_OF_TOKEN.to(tokens.device)[tokens].clamp(max=N_SQUARES - 1)
        held = held.scatter(-1, placed.expand(len(streams), -1, -1)[..., None], 1.0)
        plies = streams.shape[2]
        makers, next_movers = played.movers[:, :plies], played.movers[:, 1 : plies + 1]
        return LayerBoards(
            _discs(held * sides, played),
            (sides[..., 0] * makers * next_movers).to(torch.int8),
            first=1,
        )


class ProbedLayers(LayerReader):
    """Linear probes of a trained model, which tell mine from theirs.

    Whose "mine" is, nobody asks the model; it is taken to be the side by which more of the discs
    are right, a single bit of truth for each board and layer. So a model that has not noticed a
    pass holds the discs rightly, and the side wrongly.
    """

    def __init__(self, model: OthelloGPT, probes: Probes) -> None:
        super().__init__(model)
        self.decisive = min(PROBED_LAYER, model.shape.n_layers - 1)
        mine, theirs = (probes.states[..., STATES.index(state)] for state in (1, -1))
        self.towards = mine - theirs  # [layers, d_model + 1, 64]

    def of_streams(self, streams: Tensor, played: Replay) -> LayerBoards:
        """See :class:`LayerReader`."""
        weights = self.towards.to(streams)
        mine = torch.stack([x @ w[:-1] + w[-1] for x, w in zip(streams, weights, strict=True)])
        discs = played.boards[:, 1 : streams.shape[2] + 1]
        right = (mine.sign() * discs).sum(-1)
        # As many either way, as where the game is over: the side that truly moves next.
        next_mover = torch.where(right == 0, played.movers[:, 1 : streams.shape[2] + 1], right)
        next_mover = next_mover.sign().to(mine)
        return LayerBoards(_discs(mine * next_mover[..., None], played), next_mover.to(torch.int8))


def _discs(held: Tensor, played: Replay) -> Tensor:
    """The same within -1..1, and 0 where no disc lies: which squares are empty is plain from the
    moves."""
    there = played.boards[:, 1 : held.shape[2] + 1] != 0
    return held.clamp(-1, 1).float() * there


def layer_reader(model: nn.Module, probes: Probes | None = None) -> LayerReader | None:
    """What reads this model's board in every layer: its names, or probes; None where it has
    neither."""
    if not isinstance(model, OthelloGPT):
        return None
    if model.is_handbuilt:
        return NamedLayers(model)
    return ProbedLayers(model, probes) if probes is not None else None
