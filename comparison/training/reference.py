"""The trained model that the project holds: checked files in, a model out.

``reference_model/`` has the weights as float16 safetensors in shards small enough for any host of
repositories, their probes, and a manifest that names every shard with its size and SHA-256 and
says how the model was trained and what was measured. ``handbuilt adopt`` writes it
(:mod:`comparison.training.adoption`).
"""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any

import msgspec
import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor

from extracted_rules.files import whole_file
from handbuilt.network.shape import CheckpointError, Shape
from handbuilt.network.transformer import OthelloGPT, fitting

FOLDER = Path(__file__).parent / "reference_model"
MANIFEST, PROBES = "manifest.json", "probes.safetensors"
#: Version of the folder's format.
FORMAT = 1
#: Bytes of weights in a shard: with its header, a file stays below 16 MiB.
SHARD_BYTES = 15 * 2**20


class Shard(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file of weights, and what it must be."""

    file: str
    bytes: int
    sha256: str


class _Format(msgspec.Struct):
    format: int


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of the model.

    tau: its threshold, chosen once on games of the purpose "threshold" and kept with it. training:
    the settings of its run. probes, measured: the figures as they were found, for machines.
    """

    shape: Shape
    description: str
    tau: Annotated[float, msgspec.Meta(gt=0, lt=1)]
    training: dict[str, Any]
    hardware: str
    probes: dict[str, Any]
    measured: list[dict[str, Any]]
    shards: tuple[Shard, ...] = ()
    format: int = FORMAT

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """The manifest in a folder. Raises CheckpointError."""
        path = folder / MANIFEST
        try:
            data = path.read_bytes()
            form = msgspec.json.decode(data, type=_Format).format
            if form != FORMAT:
                raise CheckpointError(f"{path} is of format {form}, not {FORMAT}")
            manifest = msgspec.json.decode(data, type=cls)
        except OSError as error:
            raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
        except (msgspec.DecodeError, RecursionError) as error:
            raise CheckpointError(f"{path} is no manifest of a trained model: {error}") from None
        return manifest

    def write(self, folder: Path) -> None:
        """Raises OSError."""
        with whole_file(folder / MANIFEST) as partial:
            partial.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1) + b"\n")


def is_there() -> bool:
    """Whether the project holds a trained model."""
    return (FOLDER / MANIFEST).exists()


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


def load_reference(folder: Path | None = None) -> OthelloGPT:
    """The model in a folder, by default the project's own, float32 and ready for use.

    Raises CheckpointError for a file that is missing or not, bit for bit, what it should be.
    """
    folder = folder or FOLDER
    manifest = Manifest.read(folder)
    weights: dict[str, Tensor] = {}
    for shard in manifest.shards:
        weights |= _read_shard(folder / shard.file, shard)
    skeleton = OthelloGPT.skeleton(manifest.shape, folder / MANIFEST)
    weights = fitting(weights, skeleton.state_dict(), folder)
    metadata = {"recipe": "trained", "description": manifest.description}
    return OthelloGPT.of_weights(weights, manifest.shape, metadata)
