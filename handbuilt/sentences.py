"""A transcript in words: a sentence for every neuron and head."""

from collections.abc import Sequence
from functools import lru_cache

import msgspec
import torch
from torch import Tensor

from extracted_rules.discovery.names import kind_of, square_of
from handbuilt.network.layout import LayoutError
from handbuilt.network.shape import CheckpointError, Shape
from handbuilt.network.transformer import OthelloGPT
from handbuilt.transcript import (
    Transcript,
    before_attention,
    before_mlp,
    folded,
    places,
    weights_of,
)

#: Where a network's metadata have them, as JSON.
KEY = "sentences"
#: So many reads of a neuron and pairs of a head are said, those that are strongest.
READS_SAID, PAIRS_SAID = 6, 2
#: So many writes at most, each at least this share of the strongest.
WRITES_SAID, OF_STRONGEST = 3, 0.5


class Sentences(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """By layer, then by number."""

    neurons: tuple[tuple[str, ...], ...]
    heads: tuple[tuple[str, ...], ...]


@lru_cache(maxsize=2)
def of_json(text: str, shape: Shape) -> Sentences:
    """Those of a network's metadata. Raises CheckpointError."""
    try:
        found = msgspec.json.decode(text, type=Sentences)
    except (msgspec.DecodeError, RecursionError):
        raise CheckpointError("this model's sentences are damaged") from None
    for layers, size in ((found.neurons, shape.d_mlp), (found.heads, shape.n_heads)):
        if [len(layer) for layer in layers] != [size] * shape.n_layers:
            raise CheckpointError("this model's sentences are not about its neurons and heads")
    return found


def describe(model: OthelloGPT, place: str | None = None) -> list[str]:
    """What is where in a model that carries names, as lines to read: of a transcript's network, the
    sentence of a head as "3.0" or a neuron as "3.n17", or without a place of every head. Raises
    LayoutError for a place that is not there, CheckpointError for a model without names."""
    if KEY not in model.metadata:
        return model.layout.describe(place)
    said = of_json(model.metadata[KEY], model.shape)
    heads = {
        f"{layer}.{n}": sentence
        for layer, some in enumerate(said.heads)
        for n, sentence in enumerate(some)
    }
    if place is None:
        return [f"{head}: {sentence}" for head, sentence in heads.items()]
    neurons = {
        f"{layer}.n{n}": sentence
        for layer, some in enumerate(said.neurons)
        for n, sentence in enumerate(some)
    }
    every = heads | neurons
    if place not in every:
        raise LayoutError(f"nothing is called {place!r}: heads are as 3.0, neurons as 3.n17")
    return [f"{place}: {every[place]}"]


def sentences(transcript: Transcript, model: OthelloGPT) -> Sentences:
    """Of every neuron and head of the transcribed model."""
    weights, names = weights_of(model), transcript.about.names
    neurons, heads = [], []
    for layer, reads in enumerate(transcript.reads):
        # What is written is named as the next reader would read it.
        behind = transcript.readouts[before_mlp(layer) + 1]
        moved = weights[f"blocks.{layer}.mlp.W_out"] @ behind
        silent = ~reads.strengths.any(1)
        neurons.append(
            tuple(
                "reads nothing" if quiet else f"{_reads(names, *read)}; {_writes(names, write)}"
                for quiet, *read, write in zip(
                    silent.tolist(), reads.names, reads.strengths, moved, strict=True
                )
            )
        )
        heads.append(tuple(_carries(names, of) for of in carried(transcript, model, layer)))
    return Sentences(tuple(neurons), tuple(heads))


def _signed(names: Sequence[str], which: Tensor, strengths: Tensor) -> str:
    return ", ".join(
        names[name] if strength > 0 else f"not {names[name]}"
        for name, strength in zip(which.tolist(), strengths.tolist(), strict=True)
    )


def _reads(names: Sequence[str], which: Tensor, strengths: Tensor) -> str:
    order = strengths.abs().argsort(descending=True)[: int((strengths != 0).sum())]
    said = order[:READS_SAID]
    more = f" and {len(order) - len(said)} more" if len(order) > len(said) else ""
    return f"reads {_signed(names, which[said], strengths[said])}{more}"


def _writes(names: Sequence[str], moved: Tensor) -> str:
    strongest = moved.abs().topk(min(WRITES_SAID, len(moved)))
    said = strongest.indices[strongest.values >= OF_STRONGEST * strongest.values[0]]
    if not strongest.values[0] > 0:
        return "writes nothing"
    return f"writes {_signed(names, said, moved[said])}"


# ------------------------------------------------------------------ heads


def carried(transcript: Transcript, model: OthelloGPT, layer: int) -> Tensor:
    """float64 [heads, names, names]: how a head that looks at a position where one name is a
    standard deviation up moves another where it writes, but for the scale of the stream there."""
    weights, number, part = weights_of(model), before_attention(layer), f"blocks.{layer}.attn"
    own = weights[f"{part}.W_V"], weights[f"{part}.b_V"]
    values, _ = folded(weights, places(model.shape.n_layers)[number], *own)
    read = transcript.decoders[number] @ values
    return read @ weights[f"{part}.W_O"] @ transcript.readouts[before_mlp(layer)]


def _stays(names: Sequence[str], moved: Tensor) -> float:
    """Of what is carried, [names, names], from square to square, the share (of sums of squares)
    that stays on its own."""
    labels = [square_of(name) for name in names]
    number = {label: n for n, label in enumerate(sorted(set(labels)))}
    squares = torch.tensor([number[label] for label in labels])
    about = torch.tensor([bool(label) for label in labels])
    between = (about[:, None] & about) * moved.square()
    same = (squares[:, None] == squares) & about
    total = float(between.sum())
    return float(between[same].sum()) / total if total > 0 else 0.0


def same_square(transcript: Transcript, model: OthelloGPT, layer: int) -> float:
    """The share of what all heads of a layer carry between squares that stays on its square."""
    moved = carried(transcript, model, layer).square().sum(0).sqrt()
    return _stays(transcript.about.names, moved)


def _carries(names: Sequence[str], moved: Tensor) -> str:
    total = float(moved.square().sum())
    if not total > 0:
        return "carries nothing"
    kinds = list(dict.fromkeys(kind_of(name) for name in names))
    row = torch.tensor([kinds.index(kind_of(name)) for name in names])
    pairs = torch.zeros(len(kinds), len(kinds), dtype=torch.float64)
    pairs = pairs.index_put((row[:, None], row[None]), moved.square() / total, accumulate=True)
    strongest = pairs.flatten().topk(min(PAIRS_SAID, pairs.numel()))
    said = []
    for share, pair in zip(strongest.values.tolist(), strongest.indices.tolist(), strict=True):
        source, goal = (kinds[n] for n in divmod(pair, len(kinds)))
        said.append(f"{source} to {goal} ({100 * share:.0f} %)")
    stays = 100 * _stays(names, moved)
    return f"carries {', '.join(said)}; of squares, {stays:.0f} % to the same one"
