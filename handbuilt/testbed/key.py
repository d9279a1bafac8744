"""The key of a model in disguise: what is written where, by name, and what every part does.

Two files: ``key.safetensors`` holds tensors, ``key.json`` everything else, with the fingerprint of
the model that it belongs to and the hash of the tensors. ``docs/testbed.md`` describes both.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from hashlib import sha256
from pathlib import Path

import msgspec
import torch
from torch import Tensor

from extracted_rules.errors import UserError
from extracted_rules.files import read_tensors, write_json, write_tensors
from extracted_rules.othello.geometry import Geometry
from handbuilt.network.layout import Layout
from handbuilt.network.shape import Shape
from handbuilt.network.transformer import OthelloGPT
from handbuilt.programs.records import Head, Link, Neurons, Program
from handbuilt.programs.tables import GATE
from handbuilt.testbed.disguise import Disguise, reading_places

FORMAT, VERSION = "handbuilt-testbed-key", 1
TEXT, TENSORS = "key.json", "key.safetensors"
#: What a family's neurons ask of the board, in the terms of ``extracted_rules.conditions``; the
#: rest carry numbers, and no condition on the board is theirs.
KINDS = {
    "bracket": "flip",
    "line": "line",
    "occupied": "occupied",
    "placed": "played",
}


class KeyFileError(UserError):
    """A key that cannot be used; the message is one sentence."""


@dataclass(frozen=True)
class Name:
    """A direction of the stream: ``belief.D3``, its family and its sentence."""

    name: str
    family: str
    sentence: str


@dataclass(frozen=True)
class TrueNeuron:
    """A neuron at its place in the disguised model. rule: the family of rules that it belongs to.
    kind, parts: the condition on the board that it asks for, "" where it asks for none."""

    layer: int
    neuron: int
    name: str
    sentence: str
    rule: str
    kind: str = ""
    parts: tuple[str, ...] = ()


@dataclass(frozen=True)
class TrueHead:
    """A head at its place in the disguised model: families that it carries from and to, and those
    by which it looks."""

    layer: int
    head: int
    name: str
    sentence: str
    rule: str
    reads: tuple[str, ...]
    writes: tuple[str, ...]
    asks: tuple[str, ...]


@dataclass(frozen=True)
class Truth:
    """All of a key that is no tensor. model: its fingerprint; tensors: SHA-256 of the other file.
    edges: which node writes a name that another reads. layout: the names of the compiled model."""

    format: str
    version: int
    model: str
    tensors: str
    recipe: str
    board: int
    difficulty: str
    seed: int
    places: tuple[str, ...]
    names: tuple[Name, ...]
    neurons: tuple[TrueNeuron, ...]
    heads: tuple[TrueHead, ...]
    edges: tuple[tuple[str, str], ...]
    layout: str


@dataclass(frozen=True)
class Key:
    """truth, and the tensors: write float32 [names, d_model]; read float32 [places, names,
    d_model], a name's value is the stream times this; alive bool [places, names]; reads and writes
    of neurons as triples (neuron, name, weight), ``neuron`` counted through all layers; scores
    float32 [layers, heads, context, context], a head's scores whatever is played; and what undoes
    the disguise, under the fields of :class:`Disguise`."""

    truth: Truth
    tensors: Mapping[str, Tensor]

    def place(self, name: str) -> int:
        """The row of an activation's name in ``read`` and ``alive``. Raises KeyFileError."""
        places = self.truth.places
        after = {  # behind a layer is before the next one
            f"blocks.{layer}.hook_resid_post": f"blocks.{layer + 1}.hook_resid_pre"
            for layer in range(len(places) // 2 - 1)
        }
        same = after.get(name, name)
        if same not in places:
            raise KeyFileError(f"{name!r} is no place of the stream, as {places[0]} is")
        return places.index(same)

    @cached_property
    def geometry(self) -> Geometry:
        return Geometry(self.truth.board)

    @cached_property
    def disguise(self) -> Disguise:
        """What undoes it, unless its names are superposed."""
        return Disguise.of_tensors(self.tensors)

    def layout(self, shape: Shape) -> Layout:
        """The names of the compiled model."""
        return Layout.from_json(self.truth.layout, shape)

    def names_at(self, place: str) -> list[int]:
        """The names that vary in a place."""
        return self.tensors["alive"][self.place(place)].nonzero().flatten().tolist()

    def values(self, stream: Tensor, place: str) -> Tensor:
        """float [..., names]: what the names hold, of a stream [..., d_model]."""
        return stream @ self.tensors["read"][self.place(place)].to(stream).T

    def save(self, folder: Path) -> None:
        """Both files. Raises OSError."""
        write_tensors(folder / TENSORS, self.tensors, {"format": FORMAT})
        digest = sha256((folder / TENSORS).read_bytes()).hexdigest()
        write_json(replace(self.truth, tensors=digest), folder / TEXT)


def load_key(folder: Path) -> Key:
    """What :meth:`Key.save` wrote. Raises KeyFileError for anything else, damage and other
    versions included."""
    try:
        text, packed = ((folder / name).read_bytes() for name in (TEXT, TENSORS))
        truth = msgspec.json.decode(text, type=Truth)
        if truth.format != FORMAT or truth.version != VERSION:
            raise KeyFileError(f"{folder / TEXT} is no key of version {VERSION}")
        if sha256(packed).hexdigest() != truth.tensors:
            raise KeyFileError(f"{folder / TENSORS} is damaged or cut short, or of another key")
        tensors, _ = read_tensors(folder / TENSORS)
    except msgspec.DecodeError as error:
        raise KeyFileError(f"{folder / TEXT} is no whole key: {error}") from None
    except OSError as error:
        raise KeyFileError(f"{folder} holds no key: {error.strerror or error}") from None
    return Key(truth, tensors)


# --------------------------------------------------------------------------- making


def key_of(
    program: Program,
    compiled: OthelloGPT,
    model: OthelloGPT,
    disguise: Disguise,
    held: Tensor,
    *,
    difficulty: str,
    seed: int,
) -> Key:
    """The key of ``model``, which is ``compiled`` in disguise. held: its signals."""
    layout, places = compiled.layout, reading_places(compiled.shape.n_layers)
    families = [layout.directions.families[d.name] for d in program.directions]
    names = [Name(f.name_of(at), f.name, f.sentence_of(at))
             for f in families for at in range(f.start, f.places.stop)]  # fmt: skip
    columns = torch.cat([torch.arange(f.start, f.places.stop) for f in families])
    varies = held[..., columns].std(1) > 1e-6
    shadowed = {d.over for d in program.directions if d.over}
    for column, name in enumerate(names):
        middle = layout.directions.families[name.family].over != ""
        for place in range(len(places)):
            in_the_midst = place == 1  # between the halves of layer 0
            if (middle and not in_the_midst) or (name.family in shadowed and in_the_midst):
                varies[place, column] = False
    rows = {name.name: row for row, name in enumerate(names)}
    neurons, heads = _true_neurons(program, disguise), _true_heads(program, disguise)
    truth = Truth(
        FORMAT, VERSION, model.fingerprint(), "", compiled.metadata["recipe"],
        program.geometry.size, difficulty, seed, tuple(places), tuple(names), neurons, heads,
        _edges(program, disguise), compiled.metadata["layout"],
    )  # fmt: skip
    tensors = {
        "write": disguise.encode[columns].float(),
        "read": disguise.decode[:, :, columns].transpose(1, 2).float().contiguous(),
        "alive": varies,
        "scores": _scores(program, disguise),
        **_triples(program, disguise, rows),
        **{name: x.contiguous() for name, x in vars(disguise).items() if name != "decode"},
    }
    return Key(truth, tensors)


def _numbered(program: Program, disguise: Disguise) -> list[tuple[Neurons, list[int]]]:
    """Families of neurons, and the disguised places of their members."""
    begun, found = [0] * program.layers, []
    for some in program.neurons:
        start, n = begun[some.layer], len(some.members)
        new = disguise.neurons[some.layer].argsort()
        found.append((some, new[start : start + n].tolist()))
        begun[some.layer] += n
    return found


def _numbered_heads(program: Program, disguise: Disguise) -> list[tuple[Head, int]]:
    begun, found = [0] * program.layers, []
    for head in program.heads:
        new = disguise.heads[head.layer].argsort()
        found.append((head, int(new[begun[head.layer]])))
        begun[head.layer] += 1
    return found


def _true_neurons(program: Program, disguise: Disguise) -> tuple[TrueNeuron, ...]:
    found = []
    for some, places in _numbered(program, disguise):
        kind = KINDS.get(some.name, "")
        for member, place in zip(some.members, places, strict=True):
            sentence = some.sentence.replace("{}", member)
            name = f"{some.name}.{member}" if member else some.name
            parts = (member,) if kind else ()
            found.append(TrueNeuron(some.layer, place, name, sentence, some.rule, kind, parts))
    return tuple(found)


def _true_heads(program: Program, disguise: Disguise) -> tuple[TrueHead, ...]:
    return tuple(
        TrueHead(
            head.layer, place, head.name, head.sentence, head.rule,
            tuple(link.name for link in head.reads), tuple(link.name for link in head.writes),
            tuple(head.asks),
        )
        for head, place in _numbered_heads(program, disguise)
    )  # fmt: skip


def _scores(program: Program, disguise: Disguise) -> Tensor:
    context = program.geometry.context
    layers, heads = disguise.heads.shape
    scores = torch.zeros(layers, heads, context, context)
    for head, place in _numbered_heads(program, disguise):
        scores[head.layer, place] = torch.from_numpy(head.scores).float().tril()
    return scores


def _triples(program: Program, disguise: Disguise, rows: Mapping[str, int]) -> dict[str, Tensor]:
    """What neurons read and write, where it is not 0; biases, and neurons that are linear."""
    layers, width = disguise.neurons.shape
    found: dict[str, list[Tensor]] = {f"{side}.{x}": [] for side in ("reads", "writes")
                                      for x in ("neuron", "name", "weight")}  # fmt: skip
    bias = torch.zeros(layers, width)
    first = {name.partition(".")[0]: row for name, row in reversed(list(rows.items()))}
    for some, places in _numbered(program, disguise):
        numbers = torch.tensor(places) + some.layer * width
        bias[some.layer, places] = torch.from_numpy(some.bias).float()
        sides: tuple[tuple[str, tuple[Link, ...]], ...] = (
            ("reads", some.reads), ("writes", some.writes)
        )  # fmt: skip
        for side, of in sides:
            for link in of:
                weights = torch.from_numpy(link.weights)
                weights = weights.T if side == "reads" else weights  # [neurons, names]
                who, what = weights.nonzero(as_tuple=True)
                found[f"{side}.neuron"].append(numbers[who].int())
                found[f"{side}.name"].append((what + first[link.name]).int())
                found[f"{side}.weight"].append(weights[who, what].float())
    joined = {name: torch.cat(parts) for name, parts in found.items()}
    return {**joined, "bias": bias, "linear": bias >= GATE}


# --------------------------------------------------------------------------- edges


def _edges(program: Program, disguise: Disguise) -> tuple[tuple[str, str], ...]:
    """Which node writes what another reads, by family of names; nodes are embeddings, heads, MLPs
    and the logits, in the order of the forward pass."""
    writes: dict[str, set[str]] = {
        "embed": {link.name for link in program.tokens},
        "pos_embed": {link.name for link in program.positions},
    }
    reads: dict[str, set[str]] = {}
    order = {"embed": -2, "pos_embed": -1, "logits": 2 * program.layers}
    for head, place in _numbered_heads(program, disguise):
        node = f"blocks.{head.layer}.attn.{place}"
        order[node] = 2 * head.layer
        writes[node] = {link.name for link in head.writes}
        kernel = {"position"} if len(head.scores) else set()
        reads[node] = {link.name for link in head.reads} | set(head.asks) | kernel
    for some in program.neurons:
        node = f"blocks.{some.layer}.mlp"
        order[node] = 2 * some.layer + 1
        writes.setdefault(node, set()).update(link.name for link in some.writes)
        reads.setdefault(node, set()).update(link.name for link in some.reads)
    reads["logits"] = {link.name for link in program.logits}
    return tuple(
        (writer, reader)
        for reader, wanted in reads.items()
        for writer, given in writes.items()
        if order[writer] < order[reader] and wanted & given
    )
