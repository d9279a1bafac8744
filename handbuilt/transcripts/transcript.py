"""A transcript: a model written down in names, as a record and a file.

A *place* is a LayerNorm, by its name in the model ("blocks.3.ln2"), and what is read there is the
normalised stream. A name is one direction of it, the same at all places, of variance 1 over all of
them together but the ends. A neuron is ``gelu(threshold + sum of strength * name)`` over the few
names that it reads, and writes ``gain`` times what the model's neuron writes. Whatever else reads,
attention, neurons of *dense* layers and the unembedding, reads all names, and nothing but names.

Not distilled, all gains are 1. Distilling also adds matrices of low rank to what is dense.
:mod:`handbuilt.transcripts.program` makes a program of all that.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from extracted_rules.discovery.names import kind_of
from extracted_rules.discovery.sparse import dense
from extracted_rules.errors import UserError
from extracted_rules.files import read_tensors, write_tensors
from extracted_rules.othello.game import stream_seed
from handbuilt.network.transformer import OthelloGPT

FORMAT, VERSION = "othello transcript", "2"
#: Names are decoded in one way within the model, and in ways of their own at its ends.
FIRST, SECOND, WITHIN, LAST = range(4)


class TranscriptError(UserError):
    """A transcript that does not fit or cannot be made; the message is one sentence."""


def places(layers: int) -> list[str]:
    """Before every attention and every MLP, in turn, and the end."""
    inner = [f"blocks.{layer}.{norm}" for layer in range(layers) for norm in ("ln1", "ln2")]
    return [*inner, "ln_final"]


def before_attention(layer: int) -> int:
    """The number of that place among :func:`places`."""
    return 2 * layer


def before_mlp(layer: int) -> int:
    """As :func:`before_attention`."""
    return 2 * layer + 1


def decoded_as(place: int, layers: int) -> int:
    """Which of the decoders there are is a place's."""
    return {0: FIRST, 1: SECOND, 2 * layers: LAST}.get(place, WITHIN)


class Distilled(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a transcript was distilled. numbers: that were fitted."""

    steps: int
    batch: int
    seed: int
    numbers: int


class About(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a transcript says of itself.

    model: how the transcribed model was called; fingerprint: of its weights. names: what the
    readouts tell. dense: the layers whose neurons read all names. games, seed: the random games
    that it was found on. tau: the probability above which its network predicts a move.
    """

    model: str
    fingerprint: str
    names: tuple[str, ...]
    dense: tuple[int, ...]
    games: int
    seed: int
    distilled: Distilled | None = None
    tau: float | None = None


@dataclass(frozen=True)
class Neurons:
    """A layer's neurons: the names that they read, int64 [neurons, k], how strongly, float64
    [neurons, k], both [neurons, 0] where all names are read; float64 [neurons] thresholds, at which
    they are when every name is at its mean, and gains."""

    names: Tensor
    strengths: Tensor
    thresholds: Tensor
    gains: Tensor

    def weights(self, names: int) -> Tensor:
        """float64 [names, neurons]."""
        return dense(self.names, self.strengths, names)


@dataclass(frozen=True)
class Transcript:
    """All tensors are float64.

    basis: [d_model, names + others], directions of the stream: the readouts of the names, and
    others, which nothing reads and LayerNorm feels. unit: [], how long a standard deviation of a
    name is in the network. decoders: [4, names, d_model], back from names to the stream. means:
    [places, d_model], of the normalised stream. norms: [places], what LayerNorm's output is to be
    multiplied by. told: [3, places, names], the mean of a name where it is false, by how much more
    it is where it is true, and the mean square by which it would miss these if it told as much as a
    readout that is fitted at that very place. updates: by the names of weights, [rows, rank] and
    [rank, columns].
    """

    about: About
    basis: Tensor
    unit: Tensor
    decoders: Tensor
    means: Tensor
    norms: Tensor
    told: Tensor
    neurons: tuple[Neurons, ...]
    updates: Mapping[str, tuple[Tensor, Tensor]] = field(default_factory=dict)

    @property
    def readouts(self) -> Tensor:
        """[d_model, names]"""
        return self.basis[:, : len(self.about.names)] / self.unit

    def decoder(self, place: int) -> Tensor:
        """[names, d_model]"""
        return self.decoders[decoded_as(place, len(self.neurons))]

    def check(self, model: OthelloGPT) -> None:
        """Raises TranscriptError where it is another model's."""
        if self.about.fingerprint != model.fingerprint():
            raise TranscriptError(
                f"the transcript is of another model, which it calls {self.about.model!r}"
            )

    def fingerprint(self) -> str:
        """SHA-256 of what it reads and how, as float32."""
        digest = sha256()
        for neurons in self.neurons:
            digest.update(neurons.names.numpy().tobytes())
        for name, numbers in sorted(self._numbers().items()):
            digest.update(name.encode())
            digest.update(numbers.float().numpy().tobytes())
        return digest.hexdigest()

    def write(self, path: Path) -> None:
        """A safetensors file of numbers as :meth:`rounded` has them; ``about`` is JSON in its
        metadata. Raises OSError."""
        dtype = self._dtype
        tensors = {name: tensor.to(dtype) for name, tensor in self._numbers().items()}
        for layer, neurons in enumerate(self.neurons):
            tensors[f"neurons.{layer}.names"] = neurons.names.short()
        about = msgspec.json.encode(self.about).decode()
        write_tensors(path, tensors, {"format": FORMAT, "version": VERSION, "about": about})

    @property
    def _dtype(self) -> torch.dtype:
        """float16 where that holds all numbers, as it does not for a hand-built model's."""
        numbers = self._numbers().values()
        fits = all(bool(x.half().isfinite().all()) for x in numbers)
        return torch.float16 if fits else torch.float32

    def _numbers(self) -> dict[str, Tensor]:
        """All tensors but which names are read, as a file calls them."""
        found = {name: getattr(self, name) for name in _TENSORS}
        for layer, neurons in enumerate(self.neurons):
            for part in _PARTS:
                found[f"neurons.{layer}.{part}"] = getattr(neurons, part)
        for name, factors in self.updates.items():
            for side, factor in enumerate(factors):
                found[f"update.{side}.{name}"] = factor
        return found

    def rounded(self) -> "Transcript":
        """As a file has it."""
        dtype = self._dtype
        numbers = {name: x.to(dtype).double() for name, x in self._numbers().items()}
        return _of(self.about, numbers, [neurons.names for neurons in self.neurons])


def _of(about: About, numbers: Mapping[str, Tensor], names: Sequence[Tensor]) -> Transcript:
    """What :meth:`Transcript._numbers` gave. Raises KeyError where something is missing."""
    neurons = [
        Neurons(of.long(), *(numbers[f"neurons.{layer}.{part}"] for part in _PARTS))
        for layer, of in enumerate(names)
    ]
    first, second = "update.0.", "update.1."
    updates = {
        name.removeprefix(first): (factor, numbers[name.replace(first, second)])
        for name, factor in numbers.items()
        if name.startswith(first)
    }
    whole = {name: numbers[name] for name in _TENSORS}
    return Transcript(about, **whole, neurons=tuple(neurons), updates=updates)


def with_others_names(transcript: Transcript, seed: int) -> Transcript:
    """A control: whatever reads or writes a name reads and writes that of another square, or
    another ply, by chance."""
    drawn = torch.Generator().manual_seed(stream_seed("names", seed))
    order = torch.arange(transcript.basis.shape[1])
    kinds = [kind_of(name) for name in transcript.about.names]
    for kind in dict.fromkeys(kinds):
        some = torch.tensor([n for n, own in enumerate(kinds) if own == kind])
        order[some] = some[torch.randperm(len(some), generator=drawn)]
    return replace(transcript, basis=transcript.basis[:, order])


_TENSORS = ("basis", "unit", "decoders", "means", "norms", "told")
_PARTS = ("strengths", "thresholds", "gains")


def read(path: Path) -> Transcript:
    """What :meth:`Transcript.write` wrote. Raises TranscriptError for anything else."""
    try:
        tensors, metadata = read_tensors(path)
    except OSError as error:
        raise TranscriptError(f"{path} is not a readable safetensors file: {error}") from None
    if (metadata.get("format"), metadata.get("version")) != (FORMAT, VERSION):
        raise TranscriptError(f"{path} is no transcript of version {VERSION}")
    try:
        about = msgspec.json.decode(metadata["about"], type=About)
        numbers = {name: tensor.double() for name, tensor in tensors.items()}
        layers = range((len(tensors["means"]) - 1) // 2)
        found = _of(about, numbers, [tensors[f"neurons.{layer}.names"] for layer in layers])
    except (KeyError, msgspec.DecodeError):
        raise TranscriptError(
            f"{path} is damaged: something of the transcript is missing"
        ) from None
    if not _consistent(found):
        raise TranscriptError(f"{path} is damaged: its parts do not go together")
    return found


def _consistent(found: Transcript) -> bool:
    names, (at, d_model) = len(found.about.names), found.means.shape
    return (
        found.basis.dim() == 2
        and found.basis.shape[0] == d_model
        and found.basis.shape[1] >= names
        and found.decoders.shape == (4, names, d_model)
        and found.norms.shape == (at,)
        and found.told.shape == (3, at, names)
        and all(
            neurons.names.shape == neurons.strengths.shape
            and neurons.names.shape[:1] == neurons.thresholds.shape == neurons.gains.shape
            and bool(((neurons.names >= 0) & (neurons.names < names)).all())
            for neurons in found.neurons
        )
    )


# ------------------------------------------------------------------ weights that read

#: Weights in float64, by their names.
Weights = dict[str, Tensor]


def weights_of(model: OthelloGPT) -> Weights:
    """A copy, on the CPU."""
    return {name: tensor.detach().cpu().double() for name, tensor in model.state_dict().items()}


def folded(weights: Weights, place: str, matrix: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """A map of what a place's LayerNorm gives, [..., d_model, n] and [..., n], as one of the
    normalised stream."""
    gain, shift = weights[f"{place}.w"], weights[f"{place}.b"]
    return gain[:, None] * matrix, bias + shift @ matrix
