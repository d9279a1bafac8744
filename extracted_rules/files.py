"""Files that nothing already written is lost by: whole or not at all; tensors by name; results
that are made once and read ever after."""

import csv
import gzip
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from extracted_rules.errors import UserError

T = TypeVar("T")


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


def write_json(data: Any, path: Path) -> None:
    """Records, tensors and plain values as JSON, which knows no NaN: what has no value (an interval
    of one game, say) is null. Raises OSError."""
    text = msgspec.json.encode(data, enc_hook=lambda value: value.tolist())
    with whole_file(path) as partial:
        partial.write_bytes(msgspec.json.format(text) + b"\n")


def write_text(text: str, path: Path) -> None:
    """A text, whole or not at all. Raises OSError."""
    with whole_file(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_rows(rows: Iterable[Iterable[object]], path: Path) -> None:
    """A CSV file, whole or not at all. Raises OSError."""
    with whole_file(path) as partial, partial.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


class _Format(msgspec.Struct):
    format: int


def format_of(data: bytes) -> int:
    """The version of its format that a JSON file says. Raises msgspec.DecodeError."""
    return msgspec.json.decode(data, type=_Format).format


def digest_of(tensors: Iterable[Tensor], before: bytes = b"") -> str:
    """SHA-256 of tensors' values, and of what comes before them."""
    digest = sha256(before)
    for tensor in tensors:
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


#: How the names of compressed files end.
PACKED = ".gz"


def uncompressed(path: Path) -> bytes:
    """What a file holds, unpacked if its name says that it is compressed. Raises OSError, EOFError,
    gzip.BadGzipFile and zlib.error."""
    data = path.read_bytes()
    return gzip.decompress(data) if path.suffix == PACKED else data


# --------------------------------------------------------------------------- made once


class KeptError(UserError):
    """A file that holds no result to go on from; the message is one sentence."""


@dataclass(frozen=True)
class Kept(Generic[T]):
    """A result on the disk that says what it depends on, so that a killed run goes on from what is
    finished, and nothing of something else is quietly used.

    about: whatever the result depends on (the model's fingerprint, seed, games, version of the
    format ...), each as a string under the name by which a user knows it; nothing where the path
    says it all. How it is used::

        kept = KeptData(work / f"{name}.msgpack", {"model": print, "seed": str(seed)}, Found)
        found = kept.once(lambda: ask(finding, studied))  # read if it was made before

    Whoever overwrites a state again and again calls :meth:`write` and :meth:`read` alone. Both
    kinds below are written whole or not at all.
    """

    path: Path
    about: Mapping[str, str]

    def once(self, make: Callable[[], T]) -> T:
        """What ``make`` gives, written; or read where that was done before. Raises KeptError and
        OSError."""
        if self.path.exists():
            return self.read()
        result = make()
        self.write(result)
        return result

    def read(self) -> T:
        """Raises KeptError for a file of something else or one that is damaged."""
        raise NotImplementedError

    def write(self, result: T) -> None:
        """Raises OSError."""
        raise NotImplementedError

    def damaged(self, why: object) -> KeptError:
        return KeptError(
            f"{self.path} is cut short or no such result ({why}); without it, it is made anew"
        )

    def check(self, about: Mapping[str, str]) -> None:
        """Raises KeptError unless a file that says ``about`` of itself is what is asked for."""
        differs = [name for name, value in self.about.items() if about.get(name) != value]
        if differs:
            raise KeptError(
                f"{self.path} was made of something else: it differs in its {', '.join(differs)}; "
                "give another folder, or take it away"
            )


#: Tensors by name, and what else there is to say of them.
Tensors = tuple[dict[str, Tensor], dict[str, str]]


@dataclass(frozen=True)
class KeptTensors(Kept[Tensors]):
    """A safetensors file; ``about`` and what the result says of itself are its metadata."""

    def read(self) -> Tensors:
        try:
            tensors, metadata = read_tensors(self.path)
        except OSError as error:
            raise self.damaged(error) from None
        self.check(metadata)
        return tensors, {name: v for name, v in metadata.items() if name not in self.about}

    def write(self, result: Tensors) -> None:
        tensors, says = result
        write_tensors(self.path, tensors, {**self.about, **says})


@dataclass(frozen=True)
class KeptData(Kept[T]):
    """A msgpack file of plain data or dataclasses of the type ``of``; NaN and infinity are kept."""

    of: type[T]

    def read(self) -> T:
        try:
            about, data = msgspec.msgpack.decode(
                self.path.read_bytes(), type=tuple[dict[str, str], msgspec.Raw]
            )
            self.check(about)
            return msgspec.msgpack.decode(data, type=self.of)
        except (msgspec.DecodeError, RecursionError) as error:
            raise self.damaged(error) from None

    def write(self, result: T) -> None:
        with whole_file(self.path) as partial:
            partial.write_bytes(msgspec.msgpack.encode((dict(self.about), result)))
