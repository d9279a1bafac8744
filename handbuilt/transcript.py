"""A transcript: a model written down in names, as a record and a file.

A *place* is a LayerNorm, by its name in the model ("blocks.3.ln2"), and what is read there is the
normalised stream, as whoever stands behind it sees it. Names are directions of that, of mean 0 and
variance 1. A neuron is ``gelu(threshold + sum of strength * name)`` over the few names that it
reads; attention reads the stream as all names together tell it. What is written, and the
unembedding, stay the model's own. :mod:`handbuilt.transcript_network` makes a network of that.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec
from torch import Tensor

from extracted_rules.discovery.sparse import dense
from extracted_rules.errors import UserError
from extracted_rules.files import read_tensors, write_tensors
from handbuilt.network.transformer import OthelloGPT

FORMAT, VERSION = "othello transcript", "1"


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


class About(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a transcript says of itself.

    model: how the transcribed model was called; fingerprint: of its weights. names: what the
    readouts tell. games, seed: the random games that it was found on.
    """

    model: str
    fingerprint: str
    names: tuple[str, ...]
    games: int
    seed: int


@dataclass(frozen=True)
class Reads:
    """What a layer's neurons read: names, int64 [neurons, k], how strongly, float64 [neurons, k],
    and the thresholds float64 [neurons] at which they are when every name is at its mean."""

    names: Tensor
    strengths: Tensor
    thresholds: Tensor

    def weights(self, names: int) -> Tensor:
        """float64 [names, neurons]."""
        return dense(self.names, self.strengths, names)


@dataclass(frozen=True)
class Transcript:
    """By :func:`places`, all float64: means [places, d_model] of the normalised stream, readouts
    [places, d_model, names], and decoders [places, names, d_model] back from names; reads by
    layer."""

    about: About
    means: Tensor
    readouts: Tensor
    decoders: Tensor
    reads: tuple[Reads, ...]

    def write(self, path: Path) -> None:
        """A safetensors file, in float32 and, for which names are read, int16; ``about`` is JSON in
        its metadata. Raises OSError."""
        tensors = {name: getattr(self, name).float() for name in ("means", "readouts", "decoders")}
        for layer, reads in enumerate(self.reads):
            tensors[f"reads.{layer}.names"] = reads.names.short()
            tensors[f"reads.{layer}.strengths"] = reads.strengths.float()
            tensors[f"reads.{layer}.thresholds"] = reads.thresholds.float()
        about = msgspec.json.encode(self.about).decode()
        write_tensors(path, tensors, {"format": FORMAT, "version": VERSION, "about": about})


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
        means, readouts, decoders = (
            tensors[name].double() for name in ("means", "readouts", "decoders")
        )
        reads = tuple(_layer(tensors, layer) for layer in range((len(means) - 1) // 2))
    except (KeyError, msgspec.DecodeError):
        raise TranscriptError(
            f"{path} is damaged: something of the transcript is missing"
        ) from None
    found = Transcript(about, means, readouts, decoders, reads)
    if not _consistent(found):
        raise TranscriptError(f"{path} is damaged: its parts do not go together")
    return found


def _layer(tensors: Mapping[str, Tensor], layer: int) -> Reads:
    names, strengths, thresholds = (
        tensors[f"reads.{layer}.{part}"] for part in ("names", "strengths", "thresholds")
    )
    return Reads(names.long(), strengths.double(), thresholds.double())


def _consistent(found: Transcript) -> bool:
    names, (at, d_model) = len(found.about.names), found.means.shape
    return (
        found.readouts.shape == (at, d_model, names)
        and found.decoders.shape == (at, names, d_model)
        and all(
            reads.names.shape == reads.strengths.shape
            and reads.names.shape[:1] == reads.thresholds.shape
            and bool(((reads.names >= 0) & (reads.names < names)).all())
            for reads in found.reads
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
