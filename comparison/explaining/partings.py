"""Where the board that a model holds leaves the true one: the first layer, and who said so.

A disc's belief is followed from layer to layer up to the model's last word on the board. From the
layer on behind which it is wrong and stays so, belief and truth have parted. In a hand-built model
this has a reason that can be named: a move that turned the disc and was not believed to, or one
that did not and was. In a trained model, the heads and neurons that write against the truth along
the probe's direction are named.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from comparison.explaining.contributions import Attribution, Reason, strongest
from comparison.explaining.names import PartNames
from comparison.reading.layer_boards import LayerReader, NamedLayers, ProbedLayers
from extracted_rules.othello.game import Replay

#: A message that exceeds this claims a flip; one that falls short of it does not.
CLAIMED = 0.5
#: Moves that are told of, and parts that are named, for each disc.
MOVES, PARTS = 2, 3


@dataclass(frozen=True)
class Told:
    """What a move is believed to have done to a disc. ply: of the move, from 1; claimed: how surely
    it is said to have turned the disc, 0..1 and beyond; turned: whether it did; layer: of the
    claim; parts: who claimed, or spoke against it."""

    ply: int
    claimed: float
    turned: bool
    layer: int
    parts: tuple[Reason, ...]


@dataclass(frozen=True)
class Parting:
    """A disc that is held to be of the wrong colour in the end.

    truth: +1 black, -1 white; held: by layer, up to the decisive one. since: the first layer from
    which on it is wrong. told: what moves are believed to have done (hand-built models). parts: who
    writes against the truth (trained models), in units of the probe, where 1 is certain.
    """

    square: int
    truth: int
    held: tuple[float, ...]
    since: int
    told: tuple[Told, ...] = ()
    parts: tuple[Reason, ...] = ()


def parting(
    attribution: Attribution,
    reader: LayerReader,
    names: PartNames,
    cache: dict[str, Tensor],
    played: Replay,
    held: Tensor,
    mover: int,
    position: int,
    square: int,
) -> Parting:
    """How a disc came to be held wrong at a position of one game.

    cache: of :meth:`Attribution.run`; played: the same game; held: [layers, 64], +1 black; mover:
    who is held to move next.
    """
    truth = int(played.boards[0, position + 1, square])
    by_layer = held[: reader.decisive + 1, square]
    wrong = (by_layer.sign() != truth).tolist()
    since = max((layer + 1 for layer, is_wrong in enumerate(wrong) if not is_wrong), default=0)
    found = Parting(square, truth, tuple(by_layer.tolist()), since)
    if isinstance(reader, NamedLayers):
        told = _told(attribution, reader, names, cache, played, position, square, since)
        return Parting(**{**vars(found), "told": told})
    assert isinstance(reader, ProbedLayers)
    parts = _against(attribution, reader, names, cache, position, square, truth, mover)
    return Parting(**{**vars(found), "parts": parts})


def _told(
    attribution: Attribution,
    reader: NamedLayers,
    names: PartNames,
    cache: dict[str, Tensor],
    played: Replay,
    position: int,
    square: int,
    since: int,
) -> tuple[Told, ...]:
    """The last true event on a square if it was a flip that nobody believes, and flips after it
    that are believed and never were."""
    last = attribution.model.shape.n_layers - 1
    place = reader.directions["message"].start + square
    turned = played.flips[0, : position + 1, square]
    placed = played.boards[0, : position + 1, square] == 0
    event = int((turned | placed).nonzero().max()) if bool((turned | placed).any()) else -1
    told = []
    for ply in range(max(event, 0), position + 1):
        # Earlier positions are heard in the next layer, the last move speaks for itself.
        layer = min(since, last - 1) if ply == position else since - 1
        if layer < 0 or (ply == event and not bool(turned[ply])):
            continue
        claimed = float(cache[f"blocks.{layer}.hook_resid_post"][0, ply, place])
        if (claimed > CLAIMED) != bool(turned[ply]):
            post = cache[f"blocks.{layer}.mlp.hook_post"][0, ply] - attribution.idle[layer]
            weights = attribution.model.state_dict()[f"blocks.{layer}.mlp.W_out"][:, place]
            neurons = post.new_zeros(layer + 1, len(post))
            neurons[layer] = post * weights
            for number, family in _families(attribution, layer):
                if family.startswith("forget-"):
                    neurons[layer, number] = 0
            parts = strongest(neurons[:, :0], neurons, names, PARTS)
            told.append(Told(ply + 1, claimed, bool(turned[ply]), layer, tuple(parts)))
    return tuple(sorted(told, key=lambda t: -abs(t.claimed - t.turned))[:MOVES])


def _families(attribution: Attribution, layer: int) -> list[tuple[slice, str]]:
    assert attribution.names is not None
    families = attribution.names.neurons[layer].families.values()
    return [(family.places, family.name) for family in families]


@torch.inference_mode()
def _against(
    attribution: Attribution,
    reader: ProbedLayers,
    names: PartNames,
    cache: dict[str, Tensor],
    position: int,
    square: int,
    truth: int,
    mover: int,
) -> tuple[Reason, ...]:
    """The parts of all layers up to the decisive one that write most against the truth along its
    probe's direction."""
    weights = attribution.model.state_dict()
    towards = reader.towards[reader.decisive, :-1, square].to(attribution.bias)
    # Probes speak of the discs of whom the model takes for the next mover; here it is how far from
    # the truth.
    away = -truth * mover * towards
    heads, neurons = [], []
    for layer in range(reader.decisive + 1):
        block = f"blocks.{layer}"
        z = cache[f"{block}.attn.hook_z"][0, position]
        post = cache[f"{block}.mlp.hook_post"][0, position]
        heads.append((z[:, None] @ weights[f"{block}.attn.W_O"])[:, 0] @ away)
        neurons.append(post * (weights[f"{block}.mlp.W_out"] @ away))
    by_head, by_neuron = torch.stack(heads).clamp(min=0), torch.stack(neurons).clamp(min=0)
    return tuple(strongest(by_head, by_neuron, names, PARTS))
