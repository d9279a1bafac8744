"""Weights as float16 in several safetensors files, small enough for any host of repositories."""

from collections.abc import Iterable, Iterator
from hashlib import sha256
from pathlib import Path

import msgspec
import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from extracted_rules.files import whole_file
from handbuilt.network.shape import CheckpointError
from handbuilt.network.transformer import OthelloGPT

#: Bytes of weights in a shard: with its header, a file stays below 16 MiB.
SHARD_BYTES = 15 * 2**20


class Shard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of weights, and what it must be."""

    file: str
    bytes: int
    sha256: str


def rounded(model: OthelloGPT) -> OthelloGPT:
    """The float32 model that is left when weights are kept as float16.

    Raises CheckpointError for weights that float16 cannot hold.
    """
    weights = {name: tensor.half().float() for name, tensor in model.state_dict().items()}
    if not all(bool(tensor.isfinite().all()) for tensor in weights.values()):
        raise CheckpointError("this model has weights beyond 65,504, which float16 cannot hold")
    return OthelloGPT.of_weights(weights, model.shape, model.metadata)


def _split(weights: dict[str, Tensor], limit: int) -> Iterator[dict[str, Tensor]]:
    """The weights in order, in parts of at most ``limit`` bytes (or of one tensor)."""
    part: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        if part and sum(t.nbytes for t in part.values()) + tensor.nbytes > limit:
            yield part
            part = {}
        part[name] = tensor
    yield part


def write_shards(
    model: OthelloGPT, folder: Path, shard_bytes: int = SHARD_BYTES
) -> tuple[Shard, ...]:
    """Write the weights as float16. Raises OSError."""
    weights = {name: t.half().contiguous().cpu() for name, t in model.state_dict().items()}
    shards = []
    for number, part in enumerate(_split(weights, shard_bytes), start=1):
        data = safetensors.torch.save(part)
        name = f"model-{number}.safetensors"
        with whole_file(folder / name) as partial:
            partial.write_bytes(data)
        shards.append(Shard(name, len(data), sha256(data).hexdigest()))
    return tuple(shards)


def _read_shard(path: Path, shard: Shard) -> dict[str, Tensor]:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) != shard.bytes:
        raise CheckpointError(f"{path} has {len(data):,} bytes instead of {shard.bytes:,}")
    if sha256(data).hexdigest() != shard.sha256:
        raise CheckpointError(f"{path} is damaged: it does not have the manifest's checksum")
    try:
        return safetensors.torch.load(data)
    except SafetensorError as error:
        raise CheckpointError(f"{path} is not a readable safetensors file: {error}") from None


def read_shards(folder: Path, shards: Iterable[Shard]) -> dict[str, Tensor]:
    """All weights in a folder. Raises CheckpointError for a file that is missing or not, bit for
    bit, what it should be."""
    weights: dict[str, Tensor] = {}
    for shard in shards:
        weights |= _read_shard(folder / shard.file, shard)
    return weights
