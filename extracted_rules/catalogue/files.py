"""A catalogue as a text file of JSON Lines, that people and programs read.

The first line says which model it is about, on which games rules were found and on which others
they were checked, and with which thresholds. Every further line is one finding; its first key is
its kind, and under that key stands the part of the model:

- ``{"neuron": "3.n17", "rule": "flip", "parts": ["C4-F4"], ...}`` a neuron and the rule it follows,
- ``{"head": "3.2", "role": "mine", ...}`` an attention head,
- ``{"kernel": "3", "event": "flipped", ...}`` what an event n plies ago adds to a square,
- ``{"layer": "3", "what": "claims", ...}`` how well rules account for what a whole layer writes.

What is absent was not measured or has no value; a header without a board is about the usual one.
Numbers have three significant digits. A file whose name ends in .gz is compressed.
"""

import gzip
import json
import zlib
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from extracted_rules.catalogue.records import (
    KINDS,
    Catalogue,
    CatalogueError,
    Finding,
    Header,
    counts,
)
from extracted_rules.conditions import ConditionError
from extracted_rules.files import PACKED, uncompressed, whole_file
from extracted_rules.othello.geometry import Geometry

FORMAT, VERSION = "othello rules", 1
#: How much of a line that cannot be read is shown.
SHOWN = 50
#: The catalogue of the project's trained model.
REFERENCE = Path(__file__).parents[1] / "catalogues" / "reference.jsonl.gz"


def _dump(data: dict[str, Any], what: str) -> str:
    try:
        return json.dumps(data, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    except ValueError:
        raise CatalogueError(f"{what} holds a number that is none") from None


def to_line(finding: Finding) -> str:
    """A finding as one line of JSON, without what it does not say. Raises CatalogueError for a
    number that is none."""
    said = msgspec.to_builtins(finding)
    for part in ("layer", finding.kind):
        said.pop(part, None)
    return _dump({finding.kind: finding.place, **said}, f"{finding.kind} {finding.place}")


def of_line(line: str, geometry: Geometry) -> Finding:
    """The inverse of :func:`to_line`, for a board. Raises CatalogueError, naming the finding that
    is broken."""
    try:
        data = msgspec.json.decode(line)
        kind = next(iter(data))
        record, place = KINDS[kind], str(data.pop(kind))
    except (ValueError, TypeError, AttributeError, StopIteration, KeyError, RecursionError):
        raise CatalogueError(f"a line is no finding: {line.strip()[:SHOWN]!r}") from None
    try:
        layer, _, rest = place.partition(".")
        data["layer"] = int(layer)
        if kind in ("neuron", "head"):
            data[kind] = int(rest.removeprefix("n"))
        finding = msgspec.convert(data, record)
        finding.check(geometry)
    except (CatalogueError, ConditionError, msgspec.ValidationError) as error:
        raise CatalogueError(f"{kind} {place[:20]} is broken: {error}") from None
    except (ValueError, TypeError, RecursionError, OverflowError):
        raise CatalogueError(f"{kind} {place[:20]} is broken: {line.strip()[:SHOWN]!r}") from None
    return finding


def write(catalogue: Catalogue, path: Path) -> None:
    """A text file, whole or not at all; its header counts the findings. Raises OSError, and
    CatalogueError for a number that is none."""
    header = replace(catalogue.header, counts=counts(catalogue.findings))
    first = {"format": FORMAT, "version": VERSION, **msgspec.to_builtins(header)}
    lines = [_dump(first, "the header"), *map(to_line, catalogue.findings)]
    data = ("\n".join(lines) + "\n").encode()
    with whole_file(path) as partial:
        # Without a time, the same catalogue makes the same file.
        partial.write_bytes(gzip.compress(data, mtime=0) if path.suffix == PACKED else data)


def read(path: Path) -> Catalogue:
    """What :func:`write` wrote. Raises CatalogueError for what cannot be read, for another kind of
    file, for a catalogue of another version and for a finding that is broken, which it names."""
    try:
        # Not splitlines, which also splits at characters that a name may hold.
        text = uncompressed(path).decode("utf-8")
        first, *lines = text.removesuffix("\n").split("\n")
        data = msgspec.json.decode(first)
        if data.pop("format") != FORMAT:
            raise ValueError
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise CatalogueError(f"{path} is compressed, and damaged or cut short") from None
    except OSError as error:
        raise CatalogueError(f"cannot read {path}: {error.strerror}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise CatalogueError(f"{path} is no catalogue of rules") from None
    version = data.pop("version", None)
    if version != VERSION:
        raise CatalogueError(f"{path} is a catalogue of version {version}; this reads {VERSION}")
    try:
        header = msgspec.convert(data, Header)
    except msgspec.ValidationError as error:
        raise CatalogueError(f"{path} is a catalogue whose header is broken: {error}") from None
    geometry, findings = Geometry(header.board), []
    for number, line in enumerate(lines, start=2):
        try:
            findings.append(of_line(line, geometry))
        except CatalogueError as error:
            raise CatalogueError(f"{path}, line {number}: {error}") from None
    if counts(findings) != header.counts:
        raise CatalogueError(f"{path} is not whole: its header counts other findings than it holds")
    return Catalogue(header, tuple(findings))
