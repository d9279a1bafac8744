"""Where the board decoded from a model leaves the true one: the first layer, and who said so.

A disc is followed from layer to layer up to the model's last word on the board. From the layer on
behind which it is decoded wrong and stays so, belief and truth have parted. In a hand-built model
this has a reason that can be named: a move that turned the disc and was not believed to, or one
that did not and was. In a trained model, the heads and neurons that write against the truth along
the probe's direction are named.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from comparison.reading.board_reader import BoardReader, NamedReader, ProbedReader
from extracted_rules.othello.game import Replay
from handbuilt.analysis.contributions import Attribution, Reason, strongest
from handbuilt.analysis.names import PartNames

#: A message that exceeds this claims a flip; one that falls short of it does not.
CLAIMED = 0.5
#: Moves that are told of, and parts that are named, for each disc.
MOVES, PARTS = 2, 3


@dataclass(frozen=True)
class Told:
    """What a move is believed to have done to a disc. ply: of the move, from 1; claimed: the
    evidence that it turned the disc, 0..1 and beyond; turned: whether it did; layer: of the claim;
    parts: who claimed, or spoke against it."""

    ply: int
    claimed: float
    turned: bool
    layer: int
    parts: tuple[Reason, ...]


@dataclass(frozen=True)
class Parting:
    """A disc that is decoded as the wrong colour in the end.

    square: its label; truth: +1 black, -1 white; decoded: by layer, up to the decisive one. since:
    the first layer from which on it is wrong. told: what moves are believed to have done
    (hand-built models). parts: who writes against the truth (trained models), in units of the
    probe, where 1 is certain.
    """

    square: str
    truth: int
    decoded: tuple[float, ...]
    since: int
    told: tuple[Told, ...] = ()
    parts: tuple[Reason, ...] = ()


@dataclass(frozen=True)
class DecodedRun:
    """One game's run through a model, and what is decoded from it at its last position.

    cache: of :meth:`Attribution.run`; played: the same game; boards: [layers, squares], +1 black;
    mover: the side that is taken to move next, +1 or -1.
    """

    cache: dict[str, Tensor]
    played: Replay
    boards: Tensor
    mover: int

    @property
    def position(self) -> int:
        return int(self.played.lengths[0]) - 1


def parting(
    attribution: Attribution, reader: BoardReader, names: PartNames, run: DecodedRun, square: int
) -> Parting:
    """How a disc came to be decoded wrong at the end of a run."""
    truth = int(run.played.boards[0, run.position + 1, square])
    by_layer = run.boards[: reader.decisive + 1, square]
    wrong = (by_layer.sign() != truth).tolist()
    since = max((layer + 1 for layer, is_wrong in enumerate(wrong) if not is_wrong), default=0)
    label = run.played.geometry.labels[square]
    found = Parting(label, truth, tuple(by_layer.tolist()), since)
    if isinstance(reader, NamedReader):
        place = reader.message.start + square
        told = _told(attribution, names, run, square, since, place)
        return replace(found, told=told)
    assert isinstance(reader, ProbedReader)
    # Probes speak of the discs of whom the model takes for the next mover; here it is how far from
    # the truth.
    probe = reader.towards(reader.decisive)[square].to(attribution.bias)
    away = -truth * run.mover * probe[:, None]
    heads, neurons = (
        written[: reader.decisive + 1, :, 0].clamp(min=0)
        for written in attribution.written(run.cache, run.position, away)
    )
    return replace(found, parts=tuple(strongest(heads, neurons, names, PARTS)))


def _told(
    attribution: Attribution, names: PartNames, run: DecodedRun, square: int, since: int, place: int
) -> tuple[Told, ...]:
    """The last true event on a square if it was a flip that nobody believes, and flips after it
    that are believed and never were; place: of the direction that claims flips of the square."""
    last, end = attribution.model.shape.n_layers - 1, run.position
    turned = run.played.flips[0, : end + 1, square]
    placed = run.played.boards[0, : end + 1, square] == 0
    event = max((turned | placed).nonzero().flatten().tolist(), default=-1)
    along = torch.zeros_like(attribution.towards[:, :1])
    along[place] = 1
    told = []
    for ply in range(max(event, 0), end + 1):
        # Earlier positions are heard in the next layer, the last move speaks for itself.
        layer = min(since, last - 1) if ply == end else since - 1
        if layer < 0 or (ply == event and not bool(turned[ply])):
            continue
        claimed = float(run.cache[f"blocks.{layer}.hook_resid_post"][0, ply, place])
        if (claimed > CLAIMED) != bool(turned[ply]):
            _, neurons = attribution.written(run.cache, ply, along)
            # Linear neurons only take the last layer's claim away.
            claims = torch.zeros_like(neurons[..., 0])
            claims[layer] = neurons[layer, :, 0] * (attribution.idle[layer] == 0)
            parts = tuple(strongest(claims[:, :0], claims, names, PARTS))
            told.append(Told(ply + 1, claimed, bool(turned[ply]), layer, parts))
    return tuple(sorted(told, key=lambda t: -abs(t.claimed - t.turned))[:MOVES])
