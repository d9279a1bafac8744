"""Files that nothing already written is lost by: whole or not at all; tensors by name."""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to that takes ``path``'s place when the block ends well.

    If it does not, what was at ``path`` stays and nothing is left beside it. Raises OSError that
    names ``path``, also for something there that is no ordinary file.
    """
    if path.exists() and not path.is_file():
        raise OSError(f"cannot write {path}: it is no ordinary file")
    partial = path.with_name(f".{path.stem}.partial{path.suffix}")
    try:
        yield partial
        partial.replace(path)
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        partial.unlink(missing_ok=True)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """A safetensors file, whole or not at all, on the disk when this returns. Raises OSError."""
    kept = {name: tensor.contiguous().cpu() for name, tensor in tensors.items()}
    with whole_file(path) as partial:
        try:
            save_file(kept, partial, metadata=metadata)
        except SafetensorError as error:
            raise OSError(str(error)) from None
        with partial.open("rb") as file:
            os.fsync(file.fileno())


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors of a safetensors file on the CPU, and its metadata. Raises OSError, also for
    another kind of file."""
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            return tensors, dict(file.metadata() or {})
    except SafetensorError as error:
        raise OSError(str(error)) from None


def read_metadata(path: Path) -> dict[str, str]:
    """What a safetensors file says of itself. Raises OSError, also for another kind of file."""
    try:
        with safe_open(path, framework="pt") as file:
            return dict(file.metadata() or {})
    except SafetensorError as error:
        raise OSError(str(error)) from None


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """An empty folder to fill that takes ``path``'s place when the block ends well.

    If it does not, what was at ``path`` stays and nothing is left beside it. Raises OSError that
    names ``path``.
    """
    partial, old = (path.with_name(f".{path.name}.{part}") for part in ("partial", "old"))
    if old.exists() and not path.exists():  # a process was killed between the two renames below
        old.rename(path)
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir()
        yield partial
        if path.exists():
            path.rename(old)
        try:
            partial.rename(path)
        except OSError:
            old.rename(path)
            raise
    except OSError as error:
        raise OSError(f"cannot write {path}: {error.strerror or error}") from None
    finally:
        for folder in (partial, old):
            shutil.rmtree(folder, ignore_errors=True)
