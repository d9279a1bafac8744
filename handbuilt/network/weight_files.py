"""Tensors by name, out of whatever file or folder people keep a model in.

Files of ``torch.save``, the weights bare or within what a training script saves beside them;
safetensors; the shards of either with their index; folders of these with a ``config.json``. What a
file holds decides how it is read, not its name. A pickle is never run.
"""

import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from extracted_rules.files import read_tensors
from extracted_rules.kinds import HEAD, kind_of
from handbuilt.network.shape import CheckpointError

CONFIG, WEIGHTS = "config.json", "model.safetensors"
INDEX = ".index.json"
#: What a folder of a model may call its weights; the first that is there is read.
IN_FOLDERS = (WEIGHTS, WEIGHTS + INDEX, "pytorch_model.bin", "pytorch_model.bin" + INDEX)
#: No larger file is read, nor one that unpacks to more; Othello-GPT has a tenth of that.
MAX_BYTES = 2**30
#: How files of torch.save begin: zip archives, and before PyTorch 1.6 bare pickles.
TORCH_START = re.compile(rb"PK\x03\x04|\x80[\x02-\x05]")
#: The names under which training scripts save a model's weights, and those of its settings.
WRAPPED = ("state_dict", "model_state_dict", "model_state", "model", "module", "weights")
SETTINGS = ("model_args", "hyper_parameters", "config", "cfg")
#: Weights are wrapped no deeper than this; a dict that holds itself has no end.
DEEP = 4
SAVE_THIS = "save model.state_dict() instead"

Weights = dict[str, Tensor]


@dataclass(frozen=True)
class Found:
    """What a file or folder holds.

    says: what stands beside the weights, settings or metadata, by name. done: what was done to
    reach the weights, in words.
    """

    weights: Weights
    says: Mapping[str, Any] = field(default_factory=dict)
    done: tuple[str, ...] = ()


def read(path: Path) -> Found:
    """All that a file or folder holds. Raises CheckpointError, which says what else it is."""
    if path.is_dir():
        found = read(_of_folder(path))
        return Found(found.weights, {**read_config(path), **found.says}, found.done)
    start = _start(path)
    if path.name.endswith(INDEX):
        return _shards(path)
    if TORCH_START.match(start):
        return _unwrapped(_loaded(path), path)
    if start[8:9] != b"{":  # of safetensors
        raise CheckpointError(f"{path} is no file of weights: it is {kind_of(start) or 'text'}")
    try:
        return Found(*read_tensors(path))
    except OSError as error:
        raise CheckpointError(
            f"{path} is not a readable safetensors file, so cut short or damaged ({error}); copy "
            "or download it again"
        ) from None


def read_config(folder: Path) -> dict[str, Any]:
    """A folder's ``config.json``, empty if there is none. Raises CheckpointError."""
    path = folder / CONFIG
    return _json(path) if path.exists() else {}


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError):
        raise CheckpointError(f"{path} is no readable JSON") from None
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} should hold a JSON object, found {type(content).__name__}")
    return content


def _start(path: Path) -> bytes:
    """How a file begins that is not too large."""
    try:
        with path.open("rb") as file:
            start = file.read(HEAD)
        size = path.stat().st_size
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from None
    if size > MAX_BYTES:
        raise CheckpointError(f"{path} has {size:,} bytes; no model of over {MAX_BYTES:,} is read")
    return start


# ------------------------------------------------------------------ several files


def _of_folder(folder: Path) -> Path:
    for name in IN_FOLDERS:
        if (folder / name).exists():
            return folder / name
    raise CheckpointError(
        f"{folder} is no folder of a model: it has none of {', '.join(IN_FOLDERS)}"
    )


def _shards(index: Path) -> Found:
    """The files that an index names, which lie beside it."""
    named = _json(index).get("weight_map")
    if not isinstance(named, dict) or not all(isinstance(name, str) for name in named.values()):
        raise CheckpointError(
            f"{index} should say under 'weight_map' which file holds which tensor"
        )
    weights: Weights = {}
    for name in sorted(set(named.values())):
        plain = re.fullmatch(r"\w[\w.-]*", name, re.ASCII) and not name.endswith(INDEX)
        if not plain or index.with_name(name).is_dir():
            raise CheckpointError(f"{index} names {ascii(name)[:80]}, which is no file beside it")
        weights |= read(index.with_name(name)).weights
        _check_size(weights.values(), index)
    return Found(weights)


def _check_size(tensors: Iterable[Tensor], path: Path) -> None:
    """A tensor can claim more numbers than a file holds, by repeating one."""
    numbers = sum(tensor.numel() for tensor in tensors)
    if 4 * numbers > MAX_BYTES:
        raise CheckpointError(
            f"{path} claims {numbers:,} numbers; no model of over {MAX_BYTES // 4:,} is read"
        )


# ------------------------------------------------------------------ files of torch.save


def _loaded(path: Path) -> object:
    """What torch.load finds that runs nothing."""
    zipped = zipfile.is_zipfile(path)
    try:
        if zipped:
            _check_archive(path)
        with warnings.catch_warnings(action="ignore"):  # about pickles that it then refuses
            return torch.load(path, map_location="cpu", weights_only=True)
    except CheckpointError:
        raise
    except pickle.UnpicklingError:
        raise CheckpointError(
            f"{path} holds a pickled Python object, not weights alone; {SAVE_THIS}"
        ) from None
    except Exception:  # there is no end to what a damaged archive makes torch stumble over
        raise CheckpointError(
            f"{path} is not a readable PyTorch file, so cut short or damaged; copy or download it "
            "again"
        ) from None


def _check_archive(path: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        entries = archive.infolist()
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > MAX_BYTES:
        raise CheckpointError(
            f"{path} unpacks to {unpacked:,} bytes; no model of over {MAX_BYTES:,} is read"
        )
    names = {entry.filename.rpartition("/")[2] for entry in entries}
    if "constants.pkl" in names:
        raise CheckpointError(f"{path} is a program of TorchScript, not weights; {SAVE_THIS}")
    if "data.pkl" not in names:
        raise CheckpointError(f"{path} is a zip archive without weights; unpack it first")


def _unwrapped(loaded: object, path: Path) -> Found:
    """The weights among what a training script saved."""
    says: dict[str, Any] = {}
    done: tuple[str, ...] = ()
    for _ in range(DEEP):
        if not isinstance(loaded, Mapping) or not (inner := _inner(loaded)):
            break
        for name in SETTINGS:
            if isinstance(settings := loaded.get(name), Mapping):
                says.update(settings)
        done = (*done, f"weights under {inner!r}")
        loaded = loaded[inner]
    return Found(_plain_tensors(loaded, path), says, done)


def _inner(loaded: Mapping[Any, object]) -> str | None:
    """The name under which the weights stand; None where they are bare, or nowhere."""
    for name in WRAPPED:
        if isinstance(loaded.get(name), Mapping):
            return name
    return None


def _plain_tensors(loaded: object, path: Path) -> Weights:
    if not isinstance(loaded, Mapping):
        raise CheckpointError(
            f"{path} should hold a state dict, tensors by name; found {type(loaded).__name__}"
        )
    if _is_optimizer(loaded) or any(map(_is_optimizer, loaded.values())):
        raise CheckpointError(f"{path} holds an optimizer's state, no weights; {SAVE_THIS}")
    found: Weights = {}
    for name, tensor in loaded.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise CheckpointError(
                f"{path} should hold a state dict, tensors by name; found "
                f"{type(tensor).__name__} under {ascii(name)[:80]}"
            )
        if tensor.layout != torch.strided or tensor.is_nested or tensor.device.type != "cpu":
            raise CheckpointError(
                f"{path} should hold ordinary tensors; {ascii(name)[:80]} is none"
            )
        found[name] = tensor.detach()
    _check_size(found.values(), path)
    return found


def _is_optimizer(loaded: object) -> bool:
    return isinstance(loaded, Mapping) and "param_groups" in loaded
