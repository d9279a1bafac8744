"""The board decoded from a model: the one place where that is done, and where a disc is turned.

Decoded is the board behind a layer (``hook_resid_post``), at every position t the one after the
moves 0..t. A stream tells mine from theirs, and which colour is mine by who moves next. *Exact* are
the squares that are occupied, for they are plain from the moves: where none lies, no disc is
decoded. *Decoded* is whose a disc is, and who moves next. A disc that is quite undecided
counts as wrong. Which squares are blank and what the last move flipped can be decoded, too, and is
no part of the board.

A hand-built model is read by the names of its directions, a trained one through linear probes.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from torch import Tensor, nn

from comparison.reading.probes import FLIPPED, Probes, disc_directions
from extracted_rules.conditions import Boards
from extracted_rules.othello.game import Replay
from handbuilt.analysis.streams import BEHIND, READ_GAMES, mover_frame, residuals
from handbuilt.network.shape import CheckpointError
from handbuilt.network.transformer import HookPoint, OthelloGPT

#: The layer behind which a trained model's board is read: there probes read most discs right.
PROBED_LAYER = 4
#: A disc of a trained model is turned behind this layer, by so many times what it takes to turn it
#: there: what is read later than there has partly been worked out before. The pair was chosen among
#: a dozen, on 200 games of the purpose "choosing".
EDITED_LAYER, EDIT_STRENGTH = 3, 2.5


@dataclass(frozen=True)
class DecodedBoards:
    """What is decoded of some games' boards behind some layers.

    values: float32 [layers, B, T, squares], about the discs after moves 0..t: above 0 black, below
    0 white, within -1..1, the nearer to 0 the less sure; 0 where no disc lies. mover: int8
    [layers, B, T], who is decoded to move next, +1 black; 0 where nobody truly does. blank: bool
    [layers, B, T, squares], decoded as empty. flips: the same, decoded as turned by the last move;
    None where nothing reads it. first: the first position at which there is a board to decode.
    """

    values: Tensor
    mover: Tensor
    blank: Tensor
    flips: Tensor | None = None
    first: int = 0

    @property
    def signs(self) -> Tensor:
        """int8 like ``values``: +1 black, -1 white, 0 undecided or no disc."""
        return self.values.sign().to(torch.int8)

    def truth(self, played: Replay) -> Tensor:
        """int8 [B, T, squares]: the true boards; 0 before ``first``."""
        truth = played.boards[:, 1 : self.values.shape[2] + 1].clone()
        truth[:, : self.first] = 0
        return truth

    def wrong(self, played: Replay) -> Tensor:
        """bool [layers, B, T, squares]: discs decoded as the other colour's, or undecided."""
        truth = self.truth(played)
        return (truth != 0) & (self.signs != truth)


class BoardReader(ABC):
    """What decodes a model's boards and turns discs in them.

    source: what it reads, for people. decisive: the layer whose board is the model's last word on
    it. reads_flips: whether the last move's flips are decoded, too. own_frame: whether the stream's
    "mine" is of the side that made the last move, rather than of the one that moves next.
    """

    source: str
    decisive: int
    reads_flips: bool
    own_frame: bool

    def __init__(self, model: OthelloGPT) -> None:
        self.model = model

    @abstractmethod
    def decode(
        self, streams: Tensor, played: Replay, layers: Sequence[int] | None = None
    ) -> DecodedBoards:
        """From a run's residual streams, float [layers, B, T, d_model] behind ``layers`` (all),
        over the games ``played``."""

    @abstractmethod
    def towards(self, layer: int) -> Tensor:
        """float32 [squares, d_model]: along it, the stream of a layer tells mine from theirs."""

    @abstractmethod
    def spans(self, layer: int) -> Tensor:
        """float32 [squares, k, d_model]: directions, orthonormal or zero, along which the stream
        behind a layer says anything of a square's disc."""

    @abstractmethod
    def _edited(self, moves: Tensor, square: Tensor, where: Tensor, played: Tensor) -> Tensor:
        """As :meth:`edited`, of a few games; ``played``: their boards, int8 [B, T, squares], for
        the side that truly moves next."""

    @torch.inference_mode()
    def read(self, games: Tensor, layers: Sequence[int] | None = None) -> DecodedBoards:
        """The boards of legal games uint8 [B, P] on the model's device, behind ``layers`` (all)."""
        runs = residuals(self.model, games, layers=layers)
        parts = [self.decode(streams, played, layers) for streams, played in runs]
        flips = [part.flips for part in parts if part.flips is not None]
        return DecodedBoards(
            values=torch.cat([part.values for part in parts], 1),
            mover=torch.cat([part.mover for part in parts], 1),
            blank=torch.cat([part.blank for part in parts], 1),
            flips=torch.cat(flips, 1) if flips else None,
            first=parts[0].first,
        )

    def edited(
        self, games: Tensor, square: Tensor, played: Replay, where: Tensor | None = None
    ) -> Tensor:
        """float32 [B, T, tokens]: the logits when the disc on ``square``, int64 [B], is turned:
        the other side's at every position or ``where``, bool [B, T]. games: uint8 [B, P], and
        ``played`` the same."""
        moves = games[:, : self.model.geometry.context].long()
        truth = mover_frame(played)[:, 1 : moves.shape[1] + 1]
        where = torch.ones_like(moves, dtype=torch.bool) if where is None else where
        parts = (torch.split(x, READ_GAMES) for x in (moves, square, where, truth))
        return torch.cat([self._edited(*part) for part in zip(*parts, strict=True)])


class NamedReader(BoardReader):
    """The named directions of a hand-built model, in every layer: belief and twice the message.

    The belief is about the board before the last move, and the message says what that move turned:
    a disc that was theirs, -1, and is said to be turned becomes theirs no more. The move's own disc
    is held elsewhere, and surely. Of the ways that were tried, this one is right most often: with
    it 3.4 % of the discs behind the last layer of ``logic`` are wrong, and 5.4 % by what is clipped
    there, which is clipped one layer before. Position 0 knows its replies by heart, and no board.

    Its side says who made the last move, and nothing of a pass that is due now, which it leaves to
    the counting of lines. So who held the maker rightly is taken to hold the next mover rightly.
    """

    source = "named directions"
    reads_flips = False
    own_frame = True

    def __init__(self, model: OthelloGPT) -> None:
        super().__init__(model)
        self.decisive = model.shape.n_layers - 1
        directions = model.layout.directions
        self.belief, self.message = directions["belief"], directions["message"]
        self.clipped, self.placed = directions["clipped"], directions["placed"]
        self.side, self.empty, self.count = (
            directions[name] for name in ("side", "blank", "count")
        )

    def decode(
        self, streams: Tensor, played: Replay, layers: Sequence[int] | None = None
    ) -> DecodedBoards:
        """See :class:`BoardReader`."""
        geometry, plies = self.model.geometry, streams.shape[2]
        mine = streams[..., self.belief].clamp(-1, 1) + 2 * streams[..., self.message]
        placed = geometry.square_of_token.to(mine.device)[played.tokens[:, :plies].long()]
        placed = placed.clamp(max=geometry.n_squares - 1).expand(mine.shape[:-1])
        mine = mine.scatter(-1, placed[..., None], 1.0)
        sides = streams[..., self.side].sign()
        makers, next_movers = played.movers[:, :plies], played.movers[:, 1 : plies + 1]
        blank = torch.zeros_like(mine, dtype=torch.bool)
        blank[..., list(geometry.playable)] = streams[..., self.empty] > 0.5
        return DecodedBoards(
            values=_discs(mine * sides, played),
            mover=(sides[..., 0] * makers * next_movers).to(torch.int8),
            blank=blank,
            first=1,
        )

    def towards(self, layer: int) -> Tensor:
        """See :class:`BoardReader`."""
        return torch.eye(self.model.shape.d_model)[self.belief]

    def spans(self, layer: int) -> Tensor:
        """See :class:`BoardReader`: messages, clipped and placed discs."""
        unit = torch.eye(self.model.shape.d_model)
        placed = torch.zeros(self.model.geometry.n_squares, len(unit))
        placed[list(self.model.geometry.playable)] = unit[self.placed]
        return torch.stack([unit[self.message], unit[self.clipped], placed], 1)

    def _edited(self, moves: Tensor, square: Tensor, where: Tensor, played: Tensor) -> Tensor:
        """The disc is turned for those who count lines, in the last two layers. The first of them
        also claims flips on the board *before* the move, so its count is taken from a run of its
        own, in which it sees the edited board."""
        last = self.decisive
        rows = torch.arange(len(moves), device=moves.device)
        here = where[..., None]

        def turn(x: Tensor, hook: HookPoint) -> Tensor:
            turned = x.clone()
            for source in (self.belief, self.clipped, self.message):
                turned[rows, :, source.start + square] *= -1
            return torch.where(here, turned, x)

        before, counted = f"blocks.{last - 1}.hook_resid_mid", f"blocks.{last - 1}.{BEHIND}"
        counts: list[Tensor] = []
        hooks = [(before, turn), (counted, lambda x, hook: counts.append(x[..., self.count]))]
        self.model.run_with_hooks(moves, hooks)

        def recount(x: Tensor, hook: HookPoint) -> Tensor:
            x[..., self.count] = torch.where(here, counts[0], x[..., self.count])
            return x

        middle = f"blocks.{last}.hook_resid_mid"
        return self.model.run_with_hooks(moves, [(middle, turn), (middle, recount)])


class ProbedReader(BoardReader):
    """Linear probes of a trained model, which tell mine from theirs.

    Whose "mine" is, nobody asks the model; it is taken to be the side by which more of the discs
    are right, a single bit of truth for each board and layer. So a model that has not noticed a
    pass holds the discs rightly, and the side wrongly. Raises CheckpointError for probes of a model
    of another shape.
    """

    source = "linear probes"
    reads_flips = True
    own_frame = False

    def __init__(self, model: OthelloGPT, probes: Probes) -> None:
        super().__init__(model)
        layers, rows = model.shape.n_layers, model.shape.d_model + 1
        if probes.flips.shape != (layers, rows, model.geometry.n_squares):
            raise CheckpointError("these probes are of a model of another shape")
        self.probes = probes
        self.decisive, self.edited_layer = (
            min(n, layers - 1) for n in (PROBED_LAYER, EDITED_LAYER)
        )

    def decode(
        self, streams: Tensor, played: Replay, layers: Sequence[int] | None = None
    ) -> DecodedBoards:
        """See :class:`BoardReader`."""
        probes, moves = self.probes, slice(1, streams.shape[2] + 1)
        by_layer = list(zip(layers or range(len(streams)), streams, strict=True))
        mine = torch.stack([probes.discs(*stream) for stream in by_layer])
        right = (mine.sign() * played.boards[:, moves]).sum(-1)
        # As many either way, as where the game is over: the side that truly moves next.
        mover = torch.where(right == 0, played.movers[:, moves], right).sign().to(torch.int8)
        return DecodedBoards(
            values=_discs(mine * mover[..., None], played),
            mover=mover,
            blank=torch.stack([probes.blank(*stream) for stream in by_layer]),
            flips=torch.stack([probes.turned(*stream) > FLIPPED for stream in by_layer]),
        )

    def towards(self, layer: int) -> Tensor:
        """See :class:`BoardReader`."""
        return self.probes.towards[layer, :-1].T

    def spans(self, layer: int) -> Tensor:
        """See :class:`BoardReader`: mine, theirs and flipped."""
        mine, theirs, _ = self.probes.states[layer, :-1].unbind(-1)
        columns = torch.stack([mine, theirs, self.probes.flips[layer, :-1]], -1)
        spans: Tensor = torch.linalg.qr(columns.transpose(0, 1)).Q.transpose(1, 2)
        return spans

    @cached_property
    def _written(self) -> Tensor:
        """float32 [squares, d_model]: what a disc is written as where it is turned."""
        written: Tensor = disc_directions(self.model)[self.edited_layer]
        return written

    def _edited(self, moves: Tensor, square: Tensor, where: Tensor, played: Tensor) -> Tensor:
        rows = torch.arange(len(moves), device=moves.device)
        whose = (played[rows, :, square] * where).float()
        turn = EDIT_STRENGTH * whose[..., None] * self._written[square][:, None]
        place = f"blocks.{self.edited_layer}.{BEHIND}"
        return self.model.run_with_hooks(moves, [(place, lambda x, hook: x - turn)])


def decoded_before(
    probes: Probes, row: int, stream: Tensor, truth: Boards
) -> tuple[Boards, Tensor, Tensor]:
    """The board that a model holds before a part, as conditions of rules see it, for the side that
    truly moves next; and float [N, squares], how much more each disc is mine, how surely it was
    turned.

    For probes that were fitted there (``row`` of them) and a stream [N, d_model]. As everywhere,
    which squares are taken, and the move, are exact: they are those of ``truth``. Conditions know
    no disc of nobody, so one that is quite undecided goes to theirs.
    """
    colours, flipped = probes.discs(row, stream), probes.turned(row, stream)
    taken, placed = truth.now != 0, truth.here
    now = torch.where(colours > 0, 1, -1).to(torch.int8) * taken
    turned = (flipped > FLIPPED) & taken & ~placed
    before = torch.where(turned, -now, now) * ~placed
    return replace(truth, now=now, before=before, turned=turned), colours, flipped


def _discs(values: Tensor, played: Replay) -> Tensor:
    """The same within -1..1, and 0 where no disc lies."""
    there = played.boards[:, 1 : values.shape[2] + 1] != 0
    return values.clamp(-1, 1).float() * there


def board_reader(model: nn.Module, probes: Probes | None = None) -> BoardReader | None:
    """What reads this model's board: its names, or probes; None where it has neither."""
    if not isinstance(model, OthelloGPT):
        return None
    if model.is_handbuilt:
        return NamedReader(model)
    return ProbedReader(model, probes) if probes is not None else None
