"""What a tool found, as a file: safetensors or JSON of a small schema, checked before it is scored.

``docs/testbed.md`` describes it. In safetensors, arrays are tensors and everything else is JSON in
the metadata, under the same names as in a JSON file.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import Tensor

from extracted_rules.conditions import ConditionError, parse_part
from extracted_rules.errors import UserError
from extracted_rules.files import read_tensors
from extracted_rules.othello.game import IllegalGameError, replay
from handbuilt.network.shape import Shape
from handbuilt.network.transformer import OthelloGPT
from handbuilt.testbed.key import Key

FORMAT, VERSION = "handbuilt-testbed-result", 1
#: Fields that are arrays.
ARRAYS = ("directions", "activations", "games", "heads", "neurons")


class ResultError(UserError):
    """A result that cannot be scored; the message is one sentence."""


@dataclass(frozen=True)
class Claim:
    """What a neuron is said to ask: a kind of condition and its parts, of which any will do."""

    layer: int
    neuron: int
    kind: str
    parts: tuple[str, ...]


@dataclass(frozen=True)
class Said:
    """All of a result that is no array. model: the fingerprint of the model examined. place: the
    activation that directions and features are of. role: whether directions are written or read.
    edges: (from, to, score). moves, square: the prediction that heads and neurons are ranked
    for; without them, all that the model says."""

    format: str
    version: int
    model: str
    place: str = ""
    role: str = "write"
    claims: tuple[Claim, ...] = ()
    edges: tuple[tuple[str, str, float], ...] = ()
    moves: str = ""
    square: str = ""


@dataclass(frozen=True)
class Found:
    """said, and arrays: directions [n, d_model]; activations [games, plies, features] on games
    [games, plies]; scores of heads [layers, heads] and neurons [layers, d_mlp]."""

    said: Said
    arrays: dict[str, Tensor]


def about(model: OthelloGPT, place: str = "", role: str = "write") -> Said:
    """What a result about a model says at least."""
    return Said(FORMAT, VERSION, model.fingerprint(), place, role)


def read_result(path: Path, key: Key, shape: Shape) -> Found:
    """Raises ResultError for anything that is no result about the key's model."""
    try:
        fields = _fields(path)
        arrays = {name: _array(fields.pop(name), name) for name in ARRAYS if name in fields}
        if unknown := sorted(fields.keys() - Said.__dataclass_fields__.keys()):
            raise ResultError(f"{path} has a field {ascii(unknown[0])[:80]}, which no score is for")
        said = msgspec.convert(fields, type=Said)
    except (msgspec.DecodeError, msgspec.ValidationError) as error:
        raise ResultError(f"{path} is no result: {error}") from None
    except OSError as error:
        raise ResultError(f"{path} is no readable result: {error.strerror or error}") from None
    if (said.format, said.version) != (FORMAT, VERSION):
        raise ResultError(f"{path} is no result of version {VERSION}")
    if said.model != key.truth.model:
        raise ResultError(f"{path} is about another model: its hash is not that of the key")
    _check(said, arrays, key, shape)
    return Found(said, arrays)


def _fields(path: Path) -> dict[str, Any]:
    head = path.open("rb").read(1)
    if head == b"{":
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    tensors, metadata = read_tensors(path)
    plain = {}
    for name, text in metadata.items():
        kept = name in ("format", "model", "place", "role", "moves", "square")
        plain[name] = text if kept else msgspec.json.decode(text.encode())
    return {**plain, **tensors}


def _array(value: Any, name: str) -> Tensor:
    try:
        tensor = torch.as_tensor(value)
    except (TypeError, ValueError, RuntimeError):
        raise ResultError(f"{name} is no array of numbers") from None
    if name == "games":
        return tensor.long()
    if not bool(tensor.float().isfinite().all()):
        raise ResultError(f"{name} holds NaN or infinity")
    return tensor.float()


def _check(said: Said, arrays: dict[str, Tensor], key: Key, shape: Shape) -> None:
    """Sizes, places, rules and games. Raises ResultError."""
    sizes = {
        "directions": (None, shape.d_model),
        "activations": (None, None, None),
        "games": (None, None),
        "heads": (shape.n_layers, shape.n_heads),
        "neurons": (shape.n_layers, shape.d_mlp),
    }
    for name, tensor in arrays.items():
        wanted = sizes[name]
        fits = tensor.dim() == len(wanted) and all(
            w in (None, n) for w, n in zip(wanted, tensor.shape, strict=True)
        )
        if not fits or not tensor.numel():
            shown = ", ".join("any" if w is None else str(w) for w in wanted)
            raise ResultError(f"{name} should be [{shown}], not {list(tensor.shape)}")
    if not arrays and not said.claims and not said.edges:
        raise ResultError("nothing is in this result that could be scored")
    if said.role not in ("write", "read"):
        raise ResultError(f"directions are written or read (role), not {said.role!r}")
    if "directions" in arrays or "activations" in arrays:
        key.place(said.place)
    if "activations" in arrays:
        _check_games(arrays, key, shape)
    for claim in said.claims:
        if not (0 <= claim.layer < shape.n_layers and 0 <= claim.neuron < shape.d_mlp):
            raise ResultError(f"there is no neuron {claim.layer}.n{claim.neuron}")
        try:
            for part in claim.parts:
                parse_part(claim.kind, part, key.geometry)
        except ConditionError as error:
            raise ResultError(f"neuron {claim.layer}.n{claim.neuron}: {error}") from None
    _check_edges(said, shape)


def _check_games(arrays: dict[str, Tensor], key: Key, shape: Shape) -> None:
    games, activations = arrays.get("games"), arrays["activations"]
    if games is None or games.shape != activations.shape[:2] or games.shape[1] > shape.n_ctx:
        raise ResultError("activations need the games that they are of, as many plies of each")
    if not 0 <= int(games.min()) <= int(games.max()) < shape.d_vocab:
        raise ResultError(f"games should hold tokens 0..{shape.d_vocab - 1}")
    try:
        replay(games.to(torch.uint8), board=key.truth.board)
    except IllegalGameError as error:
        raise ResultError(f"games: {error}") from None


def _check_edges(said: Said, shape: Shape) -> None:
    possible = set(all_edges(shape))
    for writer, reader, score in said.edges:
        if (writer, reader) not in possible:
            raise ResultError(f"no edge leads from {ascii(writer)[:80]} to {ascii(reader)[:80]}")
        if not abs(score) < float("inf"):
            raise ResultError("the score of an edge is no number")


def all_edges(shape: Shape) -> list[tuple[str, str]]:
    """Every pair of nodes of which the second reads after the first has written: embeddings, heads
    and MLPs by their names in a key, and the logits."""
    steps = [["embed", "pos_embed"]]
    for layer in range(shape.n_layers):
        steps.append([f"blocks.{layer}.attn.{head}" for head in range(shape.n_heads)])
        steps.append([f"blocks.{layer}.mlp"])
    steps.append(["logits"])
    return [
        (writer, reader)
        for number, readers in enumerate(steps)
        for earlier in steps[:number]
        for writer in earlier
        for reader in readers
    ]
