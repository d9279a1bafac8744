"""A transcript as a program: records over named directions, which the compiler makes a network of.

Its residual stream is the model's in another basis: a direction for each name, and others that
nothing reads. LayerNorm and GELU are felt, as they are by the model.
"""

from collections.abc import Sequence

import msgspec
import numpy as np
from torch import Tensor

from extracted_rules.discovery.names import kind_of, square_of
from handbuilt.compiler import ZERO, compile
from handbuilt.network.shape import CheckpointError
from handbuilt.network.transformer import OthelloGPT
from handbuilt.programs.records import Array, Directions, Head, Link, Neurons, Program, Term
from handbuilt.transcripts.sentences import describe_head, describe_neurons
from handbuilt.transcripts.transcript import (
    Transcript,
    before_attention,
    before_mlp,
    folded,
    places,
    weights_of,
)

#: The family of directions that nothing reads.
OTHERS = "others"
#: What names are used for, in the rules that the program can do without.
USES = {
    "read": "neurons read",
    "attend": "heads choose where to look by",
    "carry": "heads carry",
}
#: Where the network's metadata have the threshold that came with a transcript.
TAU = "tau"


def program(transcript: Transcript, model: OthelloGPT) -> Program:
    """The program of a transcript of this model. Raises TranscriptError for another model's."""
    transcript.check(model)
    return _Writer(transcript, model).program()


def network(transcript: Transcript, model: OthelloGPT) -> OthelloGPT:
    """The compiled program, a plain Othello-GPT. Its metadata say what tells a name from its
    coordinate: see :class:`Told`. Raises TranscriptError as :func:`program` does."""
    made = compile(program(transcript, model), model.shape).to(model.device)
    about = transcript.about
    how = "fitted to its answers" if about.distilled else "as it was read"
    told = Told(float(transcript.unit), *transcript.told[:2].tolist())
    made.metadata.update(
        recipe="transcript",
        description=f"{about.model} in {len(about.names)} names, {how}.",
        transcript=transcript.fingerprint(),
        told=msgspec.json.encode(told).decode(),
    )
    if about.tau is not None:
        made.metadata[TAU] = repr(about.tau)
    return made


class Told(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the coordinates of names mean.

    unit: how long a standard deviation of a name is, behind a place's LayerNorm. false: by place
    and name, its mean in standard deviations where it is false, and more: by how much more it is
    where it is true.
    """

    unit: float
    false: list[list[float]]
    more: list[list[float]]

    @classmethod
    def of(cls, model: OthelloGPT) -> "Told":
        """Of the network of a transcript. Raises CheckpointError."""
        try:
            return msgspec.json.decode(model.metadata["told"], type=cls)
        except (KeyError, msgspec.DecodeError):
            raise CheckpointError("this model does not say what its names mean") from None


def names_of(model: OthelloGPT) -> tuple[str, ...]:
    """What the network of a transcript has directions for, in their order. Raises CheckpointError
    for any other model."""
    Told.of(model)
    return tuple(
        f"{family.name} {member}"
        for family in model.layout.directions.families.values()
        for member in family.members
        if family.name not in (ZERO.name, OTHERS)
    )


def kinds_of(names: Sequence[str]) -> dict[str, list[int]]:
    """Where names of each kind stand, in their order."""
    found: dict[str, list[int]] = {}
    for number, name in enumerate(names):
        found.setdefault(kind_of(name), []).append(number)
    return found


class _Writer:
    def __init__(self, transcript: Transcript, model: OthelloGPT) -> None:
        self.transcript, self.model, self.weights = transcript, model, weights_of(model)
        self.kinds = kinds_of(transcript.about.names)
        self.at = places(model.shape.n_layers)

    def program(self) -> Program:
        names, shape = self.transcript.about.names, self.model.shape
        others = self.transcript.basis.shape[1] - len(names)
        families = [
            Directions(kind, tuple(_member(names[n]) for n in some), f"{kind} {{}}")
            for kind, some in self.kinds.items()
        ]
        unread = Directions(
            OTHERS, tuple(str(n + 1) for n in range(others)), "read by nothing but LayerNorm"
        )
        layers = range(shape.n_layers)
        logits, bias = self._reads(2 * shape.n_layers, "unembed.W_U", self.weights["unembed.b_U"])
        return Program(
            geometry=self.model.geometry,
            layers=shape.n_layers,
            directions=(*families, unread),
            tokens=self._writes(self.weights["embed.W_E"]),
            positions=self._writes(self.weights["pos_embed.W_pos"]),
            heads=tuple(head for layer in layers for head in self._heads(layer)),
            neurons=tuple(self._neurons(layer) for layer in layers),
            logits=logits,
            logit_bias=bias,
            norms=tuple(self.transcript.norms.tolist()),
            says={
                _rule(use, kind): f"{sentence} {kind}"
                for use, sentence in USES.items()
                for kind in self.kinds
            },
        )

    def _update(self, name: str) -> Tensor | float:
        """What distilling added to a weight, over the network's directions or names."""
        if name not in self.transcript.updates:
            return 0.0
        first, second = self.transcript.updates[name]
        return first @ second

    def _dense(self, place: int, matrix: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        """A map of what a place's LayerNorm gives, as one of all names' coordinates."""
        decoder, mean = self.transcript.decoder(place), self.transcript.means[place]
        of_stream, bias = folded(self.weights, self.at[place], matrix, bias)
        unnamed = mean - mean @ self.transcript.readouts @ decoder
        return decoder @ of_stream / self.transcript.unit, bias + unnamed @ of_stream

    def _reads(self, place: int, name: str, bias: Tensor) -> tuple[tuple[Link, ...], Array]:
        matrix, bias = self._dense(place, self.weights[name], bias)
        return self._links(matrix + self._update(name)), bias.numpy()

    def _links(self, matrix: Tensor, use: str = "") -> tuple[Link, ...]:
        """[names, n] by the kinds of names."""
        return tuple(
            Link(kind, matrix[some].numpy(), _rule(use, kind) if use else "")
            for kind, some in self.kinds.items()
        )

    def _writes(self, matrix: Tensor) -> tuple[Link, ...]:
        """[n, d_model] of the model, in the network's directions."""
        return self._along(matrix @ self.transcript.basis)

    def _along(self, written: Tensor) -> tuple[Link, ...]:
        names = len(self.transcript.about.names)
        of_names = (Link(kind, written[:, some].numpy()) for kind, some in self.kinds.items())
        return (*of_names, Link(OTHERS, written[:, names:].numpy()))

    def _constants(self, vector: Tensor) -> dict[str, Array]:
        return self._along_one(vector @ self.transcript.basis)

    def _heads(self, layer: int) -> list[Head]:
        place, part = before_attention(layer), f"blocks.{layer}.attn"
        heads, d_model, d_head = self.weights[f"{part}.W_Q"].shape
        maps = {}
        for which in "QKV":
            name = f"{part}.W_{which}"
            flat = self.weights[name].transpose(0, 1).reshape(d_model, -1)
            matrix, bias = self._dense(place, flat, self.weights[f"{part}.b_{which}"].flatten())
            maps[which] = (matrix + self._update(name)).view(-1, heads, d_head), bias
        out = self.weights[f"{part}.W_O"].flatten(0, 1) @ self.transcript.basis
        # What values are above 0 reaches the stream wherever a head looks.
        constant = maps["V"][1] @ out + self.weights[f"{part}.b_O"] @ self.transcript.basis
        out = out + self._update(f"{part}.W_O")
        found = []
        for number in range(heads):
            query, key, value = (maps[which][0][:, number] for which in "QKV")
            columns = slice(number * d_head, (number + 1) * d_head)
            term = Term(
                self._links(query / d_head**0.5, "attend"),
                (maps["Q"][1][columns] / d_head**0.5).numpy(),
                self._links(key, "attend"),
                d_head,
            )
            found.append(
                Head(
                    layer,
                    f"head-{number}",
                    describe_head(self.transcript.about.names, value @ out[columns]),
                    np.zeros((0, 0)),
                    self._links(value, "carry"),
                    self._along(out[columns]),
                    terms=(term,),
                    constants={} if number else self._along_one(constant),
                )
            )
        return found

    def _along_one(self, vector: Tensor) -> dict[str, Array]:
        return {link.name: link.weights[0] for link in self._along(vector[None])}

    def _neurons(self, layer: int) -> Neurons:
        transcript, place, part = self.transcript, before_mlp(layer), f"blocks.{layer}.mlp"
        names, neurons = transcript.about.names, transcript.neurons[layer]
        name_in, name_out = f"{part}.W_in", f"{part}.W_out"
        center = transcript.means[place] @ transcript.readouts * transcript.unit
        if layer in transcript.about.dense:
            reads, _ = self._dense(place, self.weights[name_in], self.weights[f"{part}.b_in"])
            reads = reads + self._update(name_in)
        else:
            reads = neurons.weights(len(names)) / transcript.unit
        writes = neurons.gains[:, None] * (self.weights[name_out] @ transcript.basis)
        writes = writes + self._update(name_out)
        rules, sentences = describe_neurons(names, reads, writes[:, : len(names)])
        return Neurons(
            layer,
            "neuron",
            tuple(str(n) for n in range(len(writes))),
            "as neuron {} of the transcribed model",
            self._links(reads, "read"),
            (neurons.thresholds - center @ reads).numpy(),
            self._along(writes),
            constants=self._constants(self.weights[f"{part}.b_out"]),
            rules=rules,
            sentences=sentences,
        )


def _rule(use: str, kind: str) -> str:
    return f"{use}-{kind}".replace(" ", "-")


def _member(name: str) -> str:
    return square_of(name) or name.rpartition(" ")[2]
