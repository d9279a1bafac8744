"""The trained model that the project holds: checked files in, a model out.

``reference_model/`` has the weights as float16 safetensors in shards small enough for any host of
repositories, their probes, and a manifest that names every shard with its size and SHA-256 and
says how the model was trained and what was measured. ``handbuilt adopt`` writes it
(:mod:`comparison.training.adoption`).
"""

from pathlib import Path
from typing import Annotated, Any

import msgspec

from comparison.training.settings import Settings
from extracted_rules.files import format_of, whole_file
from handbuilt.network.shape import CheckpointError, Shape
from handbuilt.network.shards import Shard, read_shards
from handbuilt.network.transformer import OthelloGPT, fitting

FOLDER = Path(__file__).parent / "reference_model"
MANIFEST, PROBES = "manifest.json", "probes.safetensors"
#: The model written down in names, which `extracted` is compiled from.
TRANSCRIPT = "transcript.safetensors"
#: Version of the folder's format.
FORMAT = 1


class EarlierRun(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A run that another went on from. weights: the digest of its last ones; log: its file."""

    weights: str
    training: Settings
    hardware: str
    log: str


class Manifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is known of the model.

    tau: its threshold, chosen once on games of the purpose "threshold" and kept with it. training:
    the settings of its run. probes, measured: the figures as they were found, for machines.
    earlier: the runs that this one went on from, in order. before: games that were seen before the
    first of them, of which no more is kept.
    """

    shape: Shape
    description: str
    tau: Annotated[float, msgspec.Meta(gt=0, lt=1)]
    training: Settings
    hardware: str
    probes: dict[str, Any]
    measured: list[dict[str, Any]]
    shards: tuple[Shard, ...] = ()
    earlier: tuple[EarlierRun, ...] = ()
    before: int = 0
    format: int = FORMAT

    @classmethod
    def read(cls, folder: Path) -> "Manifest":
        """The manifest in a folder. Raises CheckpointError."""
        path = folder / MANIFEST
        try:
            data = path.read_bytes()
            if (form := format_of(data)) != FORMAT:
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


def load_reference(folder: Path | None = None) -> OthelloGPT:
    """The model in a folder, by default the project's own, float32 and ready for use.

    Raises CheckpointError for a file that is missing or not, bit for bit, what it should be.
    """
    folder = folder or FOLDER
    manifest = Manifest.read(folder)
    weights = read_shards(folder, manifest.shards)
    skeleton = OthelloGPT.skeleton(manifest.shape, folder / MANIFEST)
    weights = fitting(weights, skeleton.state_dict(), folder)
    metadata = {"recipe": "trained", "description": manifest.description}
    return OthelloGPT.of_weights(weights, manifest.shape, metadata)
