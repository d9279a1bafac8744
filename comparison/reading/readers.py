"""Reading the board out of a model, and turning a disc in it.

A hand-built model is read from its named directions, a trained one through linear probes.
"""

from typing import Protocol

import torch
from torch import Tensor, nn

from comparison.reading.boards import READ_GAMES, mover_frame
from comparison.reading.probes import PROBED_LAYER, Probes, disc_directions
from extracted_rules.othello.game import Replay
from extracted_rules.othello.notation import CONTEXT, N_SQUARES, PLAYABLE, SQUARE_OF_TOKEN
from handbuilt.network.transformer import OthelloGPT

#: A disc of a trained model is turned behind this layer, by so many times what it takes to turn it
#: there: what is read later than there has partly been worked out before. The pair was chosen among
#: a dozen, on 200 games of the purpose "choosing".
EDITED_LAYER, EDIT_STRENGTH = 3, 2.5


class BoardReader(Protocol):
    """What reads a model's board. tokens: legal games uint8 [B, T] on the model's device, and
    ``played`` the same games."""

    def read(self, tokens: Tensor, played: Replay) -> Tensor:
        """int8 [B, T, 64]: the board after moves 0..t, +1 black, as the model holds it; what it
        holds for the mover's is taken for the colour that truly moves. Position 0 may be empty."""

    def edited(self, tokens: Tensor, square: Tensor, played: Replay) -> Tensor:
        """float32 [B, T, 61]: the logits when at every position the disc on ``square`` (int64 [B])
        is held to be the other side's."""


def _parts(games: int) -> list[slice]:
    starts = range(0, games, READ_GAMES)
    return [slice(start, start + READ_GAMES) for start in starts]


def _stream(model: OthelloGPT, moves: Tensor, place: str) -> Tensor:
    """One activation of a run, by its name."""
    found = []

    def keep(name: str, value: Tensor) -> Tensor:
        if name == place:
            found.append(value)
        return value

    model.run_with_hook(moves, keep)
    return found[0]


class NamedReader:
    """The named directions of a hand-built model. What is settled in the midst of its last layer is
    the board after the move."""

    def __init__(self, model: OthelloGPT) -> None:
        self.model = model
        directions = model.layout.directions
        self.settled, self.blank = directions["settled"], directions["blank"]
        self.sources = [directions[name] for name in ("belief", "settled", "message")]
        self.count = directions["count"]
        last = model.shape.n_layers - 1
        self.mid = f"blocks.{last}.hook_resid_mid"
        self.mid_before, self.post_before = (
            f"blocks.{last - 1}.hook_resid_{half}" for half in ("mid", "post")
        )

    def read(self, tokens: Tensor, played: Replay) -> Tensor:
        """See :class:`BoardReader`."""
        boards = []
        for part in _parts(len(tokens)):
            moves = tokens[part, :CONTEXT].long()
            stream = _stream(self.model, moves, self.mid)
            # A disc that is quite undecided counts as the other side's, so it passes for no flip.
            mine = (stream[..., self.settled] > 0).to(stream) * 2 - 1
            # The disc just placed is held elsewhere, and surely.
            placed = SQUARE_OF_TOKEN.to(moves.device)[moves].clamp(max=N_SQUARES - 1)
            mine.scatter_(-1, placed[..., None], 1.0)
            occupied = torch.ones_like(mine)
            occupied[..., list(PLAYABLE)] = (stream[..., self.blank] < 0.5).to(mine)
            mover = played.movers[part, : moves.shape[1], None]
            boards.append((mine * occupied * mover).to(torch.int8))
        return torch.cat(boards)

    def edited(self, tokens: Tensor, square: Tensor, played: Replay) -> Tensor:
        """See :class:`BoardReader`. The disc is turned for those who count lines. Layer 6 counts
        first, and also claims flips on the board *before* the move, so its count is taken from a
        run of its own, in which it sees the edited board."""
        parts = _parts(len(tokens))
        return torch.cat([self._edited(tokens[p, :CONTEXT].long(), square[p]) for p in parts])

    def _edited(self, moves: Tensor, square: Tensor) -> Tensor:
        rows = torch.arange(len(moves), device=moves.device)
        counts: list[Tensor] = []

        def turned(stream: Tensor) -> Tensor:
            stream = stream.clone()
            for source in self.sources:
                stream[rows, :, source.start + square] *= -1
            return stream

        def count(name: str, x: Tensor) -> Tensor:
            if name == self.post_before:
                counts.append(x[..., self.count].clone())
            return turned(x) if name == self.mid_before else x

        def answer(name: str, x: Tensor) -> Tensor:
            if name == self.mid:
                x = turned(x)
                x[..., self.count] = counts[0]
            return x

        self.model.run_with_hook(moves, count)
        return self.model.run_with_hook(moves, answer)


class ProbeReader:
    """Linear probes of a trained model, and the directions along which its stream holds discs."""

    def __init__(self, model: OthelloGPT, probes: Probes) -> None:
        last = model.shape.n_layers - 1
        self.model, self.probes = model, probes
        self.layer, edited = min(PROBED_LAYER, last), min(EDITED_LAYER, last)
        self.read_from, self.edited_at = (
            f"blocks.{layer}.hook_resid_post" for layer in (self.layer, edited)
        )
        self.discs = disc_directions(model)[edited]

    def read(self, tokens: Tensor, played: Replay) -> Tensor:
        """See :class:`BoardReader`."""
        boards = []
        for part in _parts(len(tokens)):
            moves = tokens[part, :CONTEXT].long()
            held, _ = self.probes.read(self.layer, _stream(self.model, moves, self.read_from))
            boards.append(held * played.movers[part, 1 : moves.shape[1] + 1, None])
        return torch.cat(boards)

    def edited(self, tokens: Tensor, square: Tensor, played: Replay) -> Tensor:
        """See :class:`BoardReader`."""
        parts = _parts(len(tokens))
        boards = mover_frame(played)[:, 1 : CONTEXT + 1]
        return torch.cat(
            [self._edited(tokens[p, :CONTEXT].long(), square[p], boards[p]) for p in parts]
        )

    def _edited(self, moves: Tensor, square: Tensor, boards: Tensor) -> Tensor:
        rows = torch.arange(len(moves), device=moves.device)
        whose = boards[rows, : moves.shape[1], square].float()
        turn = EDIT_STRENGTH * whose[..., None] * self.discs[square][:, None]

        def turned(name: str, x: Tensor) -> Tensor:
            return x - turn if name == self.edited_at else x

        return self.model.run_with_hook(moves, turned)


def board_reader(model: nn.Module, probes: Probes | None = None) -> BoardReader | None:
    """What reads this model's board: its names, or probes; None where it has neither."""
    if not isinstance(model, OthelloGPT):
        return None
    if model.is_handbuilt:
        return NamedReader(model)
    return ProbeReader(model, probes) if probes is not None else None
