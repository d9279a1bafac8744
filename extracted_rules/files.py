"""Writing files so that nothing already written is lost."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


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
