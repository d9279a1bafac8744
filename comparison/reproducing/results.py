"""What jobs came to: the tables that their commands showed, and what those depend on."""

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import msgspec

from comparison.reproducing.sources import ROOT
from extracted_rules.drawing.tables import Table
from extracted_rules.errors import UserError
from extracted_rules.files import format_of, write_json

FOLDER = ROOT / "results"
#: Version of the files' format.
FORMAT = 1


class ResultError(UserError):
    """A file that holds no result, or results that do not belong together; the message is one
    sentence."""


class MadeOf(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a result depends on: the commands, and fingerprints of the code, of models' weights and
    of files, both by their names."""

    commands: tuple[str, ...]
    code: str
    models: dict[str, str]
    files: dict[str, str]

    def changed(self, now: "MadeOf") -> list[str]:
        """What is not ``now`` as it was, by name."""
        before, after = ({**m.models, **m.files} for m in (self, now))
        parts = ["command"] * (self.commands != now.commands) + ["code"] * (self.code != now.code)
        return parts + sorted(n for n in {*before, *after} if before.get(n) != after.get(n))


class Result(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The tables of one job by name, of one run. versions: of the project, of Python and torch;
    minutes: what it took when these figures were found."""

    job: str
    made_of: MadeOf
    versions: dict[str, str]
    device: str
    minutes: float
    tables: dict[str, Table]
    format: int = FORMAT


def read(job: str, folder: Path) -> Result | None:
    """The result of a job, if it has one. Raises ResultError."""
    path = folder / f"{job}.json"
    if not path.exists():
        return None
    remedy = f"without it, `handbuilt reproduce {job}` makes it anew"
    try:
        data = path.read_bytes()
        if (form := format_of(data)) != FORMAT:
            raise ResultError(f"{path} is of format {form}, not {FORMAT}; {remedy}")
        found = msgspec.json.decode(data, type=Result)
    except OSError as error:
        raise ResultError(f"{path} cannot be read: {error.strerror}") from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise ResultError(f"{path} is no result ({error}); {remedy}") from None
    if found.job != job:
        raise ResultError(f"{path} is a result of {found.job!r}; {remedy}")
    return found


def write(result: Result, folder: Path) -> None:
    """Whole or not at all. Where the same figures were there before, so is what they took: to find
    them again changes nothing. Raises OSError and ResultError."""
    before = read(result.job, folder)
    if before is not None and before.tables == result.tables:
        result = msgspec.structs.replace(result, minutes=before.minutes)
    if result != before:
        folder.mkdir(parents=True, exist_ok=True)
        write_json(result, folder / f"{result.job}.json")


def read_tables(path: Path) -> dict[str, Table]:
    """Those that a command showed, as ``handbuilt --tables`` writes them; what is said of them
    stays behind. Raises OSError and ResultError."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=dict[str, Table])
    except msgspec.DecodeError as error:
        raise ResultError(f"{path} holds no tables: {error}") from None
    return {name: replace(table, says="", folded=False) for name, table in found.items()}


def check_agree(results: Iterable[Result]) -> None:
    """Raises ResultError where two results are of different models, or files, of one name."""
    known: dict[str, tuple[str, str]] = {}
    for result in results:
        for name, print_ in {**result.made_of.models, **result.made_of.files}.items():
            job, other = known.setdefault(name, (result.job, print_))
            if other != print_:
                raise ResultError(
                    f"the results {job} and {result.job} contradict one another: each is of "
                    f"another {name}; `handbuilt reproduce` makes anew what is out of date"
                )
