"""Files of strengths: a recipe's numbers, read and written.

A recipe's file beside this one is either *short*, a few numbers with a reason each that hold for
all layers and lengths (``logic.toml``, spread out by ``logic.py``), or *full*, with a table for
every field of ``Strengths`` (``calibrated.toml``). The numbers of ``pooled`` are in the
catalogue of the project's trained model.
"""

import tomllib
from dataclasses import fields
from hashlib import sha256
from pathlib import Path
from textwrap import wrap

import torch

from extracted_rules import catalogue
from extracted_rules.files import write_text
from extracted_rules.othello.geometry import STANDARD, BoardError, Geometry
from handbuilt.plan import Plan
from handbuilt.strengths.carrying import carry_over
from handbuilt.strengths.definition import NAMES, Axes, Strengths, StrengthsError, axes_of
from handbuilt.strengths.logic import spread_out
from handbuilt.strengths.pooled import from_catalogue

FOLDER = Path(__file__).parent
#: Numbers in logic.toml, chosen by hand.
ARGUED = len(tomllib.loads((FOLDER / "logic.toml").read_text(encoding="utf-8")))
#: The file of fitted strengths in a fit's folder.
FITTED = "strengths.toml"
#: The recipe whose numbers come from a catalogue.
POOLED = "pooled"


def parse(tables: dict[str, object]) -> Strengths:
    """Strengths from a full file's tables; board and layers follow from the lags of ``owner`` and
    the layers of ``flip``. Raises StrengthsError."""
    unknown = sorted(tables.keys() - set(NAMES))
    if unknown:
        raise StrengthsError(f"no strength is called {unknown[0]!r}")
    values = {}
    for name in NAMES:
        try:
            values[name] = torch.tensor(tables[name], dtype=torch.float64)
        except (KeyError, TypeError, ValueError, OverflowError):
            raise StrengthsError(f"the strengths hold no numbers called {name}") from None
        if not bool(values[name].isfinite().all()):
            raise StrengthsError(f"strength {name} holds something that is no finite number")
    strengths = Strengths(**values)
    for name in ("owner", "flip"):
        if values[name].dim() != 1:
            raise StrengthsError(f"strength {name} is no list of numbers")
    try:
        axes = strengths.axes
    except BoardError as error:
        raise StrengthsError(f"strength owner has {len(values['owner'])} lags: {error}") from None
    for name, value in values.items():
        if value.shape != axes.shape_of(name):
            raise StrengthsError(
                f"strength {name} has shape {list(value.shape)}, not {list(axes.shape_of(name))}"
            )
    return strengths


def dump(strengths: Strengths, comment: str) -> str:
    """The text of a full file: every field with its meaning and its axes."""
    lines = [f"# {line}" for line in comment.splitlines()]
    board, sizes = strengths.geometry, strengths.axes
    for f in fields(Strengths):
        axes = ", ".join(f"{axis} ({sizes[axis]})" for axis in axes_of(f.name)) or "one number"
        lines += ["", f"# {f.metadata['says']}; over: {axes}"]
        if "pair" in axes_of(f.name):
            names = ", ".join(f"{board.labels[a]}>{board.labels[b]}" for a, b in board.pairs)
            lines += [f"# {line}" for line in wrap(f"pairs, move > disc: {names}", 96)]
        lines.append(f"{f.name} = {_numbers(getattr(strengths, f.name).tolist())}")
    return "\n".join(lines) + "\n"


def digest(strengths: Strengths) -> str:
    """SHA-256 of the text of a full file, without a comment."""
    return sha256(dump(strengths, "").encode()).hexdigest()


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


def load_strengths(recipe: str, board: int = STANDARD, layers: int | None = None) -> Strengths:
    """The strengths of a recipe that has a file here, float64, or of `pooled`.

    Those of a short file hold for any board and number of layers, all others are carried over from
    those that they were found or fitted for. Raises StrengthsError, BoardError, PlanError, or
    CatalogueError for `pooled`.
    """
    axes = Axes(Geometry(board), Plan() if layers is None else Plan(layers))
    if recipe == POOLED:
        found = catalogue.read(catalogue.REFERENCE)
        return carry_over(from_catalogue(found, load_strengths("logic")), axes)
    return carry_over(read_strengths(FOLDER / f"{recipe}.toml", axes), axes)


def read_strengths(path: Path, axes: Axes) -> Strengths:
    """Of a file; a short one is spread out for a board and its layers. Raises StrengthsError."""
    try:
        numbers = tomllib.loads(path.read_text(encoding="utf-8"))
        if "leak" in numbers:  # a short file
            argued = {name: float(entry["value"]) for name, entry in numbers.items()}
            return spread_out(argued, axes)
        return parse(numbers)
    except StrengthsError as error:
        raise StrengthsError(f"{path}: {error}") from None
    except (OSError, UnicodeDecodeError, KeyError, TypeError, ValueError) as error:
        raise StrengthsError(f"{path} holds no strengths: {error}") from None


def holds_strengths(path: Path) -> bool:
    """Whether a folder is a fit's, or a file is text as strengths are, and no weights."""
    if path.is_dir():
        return (path / FITTED).is_file()
    try:
        with path.open("rb") as file:
            return b"\0" not in file.read(512)
    except OSError:
        return False


def strengths_of(
    path: Path, recipe: str, board: int = STANDARD, layers: int | None = None
) -> Strengths:
    """The strengths of a fit's folder or of a file, for a board and a recipe's layers, or as many.
    Raises StrengthsError."""
    path = path / FITTED if path.is_dir() else path
    asked = load_strengths(recipe, board, layers).axes
    strengths = read_strengths(path, asked)
    found = strengths.axes
    if found != asked:
        raise StrengthsError(
            f"the numbers of {path} are for {found.plan.layers} layers and a board of "
            f"{found.geometry}, not for {asked.plan.layers} and {asked.geometry}"
        )
    return strengths


def put_strengths(path: Path, recipe: str) -> tuple[str, str]:
    """Let a fit's folder or a file take the place of a recipe's own file; what both say of
    themselves in their first line. Raises OSError."""
    place = FOLDER / f"{recipe}.toml"
    files = (path / FITTED if path.is_dir() else path, place)
    texts = [file.read_text(encoding="utf-8") for file in files]
    write_text(texts[0], place)
    now, before = (text.split("\n", 1)[0].lstrip("# ") for text in texts)
    return now, before
