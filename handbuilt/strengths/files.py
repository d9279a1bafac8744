"""Files of strengths: a recipe's numbers, read and written.

A recipe's file beside this one is either *short*, a few numbers with a reason each that hold for
all layers and lengths (``logic.toml``, spread out by ``logic.py``), or *full*, with a table for
every field of ``Strengths`` (``calibrated.toml``). The numbers of ``extracted`` are in the
catalogue of the project's trained model.
"""

import tomllib
from dataclasses import fields
from pathlib import Path
from textwrap import wrap

import torch

from extracted_rules import catalogue
from extracted_rules.errors import UserError
from extracted_rules.othello.notation import LABELS
from extracted_rules.othello.patterns import PAIRS
from handbuilt.strengths.definition import AXES, Strengths, shape_of
from handbuilt.strengths.extracted import from_catalogue
from handbuilt.strengths.logic import spread_out

FOLDER = Path(__file__).parent
#: The recipe whose numbers come from a catalogue.
EXTRACTED = "extracted"


class StrengthsError(UserError):
    """Strengths that are incomplete or misshapen; the message is one sentence."""


def parse(tables: dict[str, object]) -> Strengths:
    """Strengths from a full file's tables. Raises StrengthsError."""
    unknown = sorted(tables.keys() - {f.name for f in fields(Strengths)})
    if unknown:
        raise StrengthsError(f"no strength is called {unknown[0]!r}")
    values = {}
    for f in fields(Strengths):
        try:
            value = torch.tensor(tables[f.name], dtype=torch.float64)
        except (KeyError, TypeError, ValueError, OverflowError):
            raise StrengthsError(f"the strengths hold no numbers called {f.name}") from None
        if value.shape != shape_of(f.name):
            raise StrengthsError(
                f"strength {f.name} has shape {list(value.shape)}, not {list(shape_of(f.name))}"
            )
        if not bool(value.isfinite().all()):
            raise StrengthsError(f"strength {f.name} holds something that is no finite number")
        values[f.name] = value
    return Strengths(**values)


def dump(strengths: Strengths, comment: str) -> str:
    """The text of a full file: every field with its meaning and its axes."""
    lines = [f"# {line}" for line in comment.splitlines()]
    for f in fields(Strengths):
        axes = ", ".join(f"{axis} ({AXES[axis]})" for axis in f.metadata["axes"]) or "one number"
        lines += ["", f"# {f.metadata['says']}; over: {axes}"]
        if "pair" in f.metadata["axes"]:
            names = ", ".join(f"{LABELS[move]}>{LABELS[disc]}" for move, disc in PAIRS)
            lines += [f"# {line}" for line in wrap(f"pairs, move > disc: {names}", 96)]
        lines.append(f"{f.name} = {_numbers(getattr(strengths, f.name).tolist())}")
    return "\n".join(lines) + "\n"


def _numbers(value: object, indent: int = 0) -> str:
    """Nested lists of numbers, the innermost one a line, to five digits."""
    if isinstance(value, float):
        return f"{value:.5g}" if "." in f"{value:.5g}" or "e" in f"{value:.5g}" else f"{value:.1f}"
    assert isinstance(value, list)
    if not isinstance(value[0], list):
        return "[" + ", ".join(_numbers(v) for v in value) + "]"
    space = "  " * (indent + 1)
    inner = f",\n{space}".join(_numbers(v, indent + 1) for v in value)
    return f"[\n{space}{inner},\n{'  ' * indent}]"


def load_strengths(recipe: str) -> Strengths:
    """The strengths of a recipe that has a file here, float64, or of `extracted`.

    Raises StrengthsError, or CatalogueError for `extracted`.
    """
    if recipe == EXTRACTED:
        return from_catalogue(catalogue.read(catalogue.REFERENCE), load_strengths("logic"))
    path = FOLDER / f"{recipe}.toml"
    try:
        numbers = tomllib.loads(path.read_text(encoding="utf-8"))
        if "leak" in numbers:  # a short file
            return spread_out({name: float(entry["value"]) for name, entry in numbers.items()})
        return parse(numbers)
    except StrengthsError as error:
        raise StrengthsError(f"{path}: {error}") from None
    except (OSError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise StrengthsError(f"{path} holds no strengths: {error}") from None
