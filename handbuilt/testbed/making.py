"""A test bed: a model in one of three difficulties, its key, and the folder that holds both.

*plain*: tamed, everything in its place. *disguised*: turned and permuted by chance. *superposed*:
its names packed into fewer dimensions as well. They differ in nothing else.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import msgspec

from extracted_rules.errors import UserError
from extracted_rules.files import whole_folder, write_json
from extracted_rules.othello.geometry import STANDARD
from handbuilt.compiler import needed
from handbuilt.network import huggingface
from handbuilt.network.checkpoints import export
from handbuilt.network.shape import Shape
from handbuilt.network.transformer import OthelloGPT
from handbuilt.programs import Program
from handbuilt.recipes import build, program
from handbuilt.testbed.disguise import disguised, drawn
from handbuilt.testbed.key import TEXT, Key, key_of
from handbuilt.testbed.packing import RESERVED, packed, signals, tamed

FORMAT, VERSION = "handbuilt-testbed", 1
DIFFICULTIES = ("plain", "disguised", "superposed")
#: Files and folders of a test bed.
META, MODEL, KEY = "meta.json", "model.safetensors", "key"
HUB, INTERPBENCH = "huggingface", "interpbench"
#: Superposed names get this many dimensions each, rounded up to a multiple of ROUND. With fewer,
#: accuracy falls steeply (docs/testbed.md has the curve).
CROWDED, ROUND = 0.875, 8
#: Widths of a model on a small board are multiples of this.
ROOM = 32


class BedError(UserError):
    """A test bed that cannot be made; the message is one sentence."""


@dataclass(frozen=True)
class Asked:
    """What is to be made. width: d_model of a superposed one; by default seven dimensions for
    eight names."""

    recipe: str = "calibrated"
    board: int = STANDARD
    layers: int | None = None
    difficulty: str = "disguised"
    seed: int = 0
    width: int | None = None


@dataclass(frozen=True)
class Made:
    """A model without names, and its key."""

    model: OthelloGPT
    key: Key


def make(asked: Asked) -> Made:
    """Raises BedError and PackingError, and what :func:`handbuilt.build` raises."""
    if asked.difficulty not in DIFFICULTIES:
        known = ", ".join(DIFFICULTIES)
        raise BedError(f"no difficulty is called {asked.difficulty!r}; there are {known}")
    if asked.width is not None and asked.difficulty != "superposed":
        raise BedError(f"a {asked.difficulty} model keeps its width; only superposed has one")
    rules = program(asked.recipe, board=asked.board, layers=asked.layers)
    compiled = build(rules, shape=_shape(rules))
    compiled.metadata["recipe"] = asked.recipe
    held = signals(compiled, asked.seed)
    if asked.difficulty == "superposed":
        disguise = packed(compiled, held, asked.width or usual_width(compiled), asked.seed)
    else:
        disguise = tamed(compiled, held)
    if asked.difficulty != "plain":
        disguise = drawn(disguise, asked.seed)
    model = disguised(compiled, disguise)
    key = key_of(
        rules, compiled, model, disguise, held, difficulty=asked.difficulty, seed=asked.seed
    )
    return Made(model, key)


def _shape(rules: Program) -> Shape | None:
    """The paper's on its board; on a smaller one as little as the rules need, for a laptop."""
    if rules.geometry.size == STANDARD:
        return None
    least = needed(rules)
    sizes = {name: ROOM * -(-getattr(least, name) // ROOM) for name in ("d_model", "d_mlp")}
    return replace(least, **sizes)


def usual_width(compiled: OthelloGPT) -> int:
    """d_model of a superposed model, unless another is asked for."""
    slots = compiled.layout.directions
    width = CROWDED * (slots.used - slots["zero"].stop) + RESERVED
    return ROUND * int(-(-width // ROUND))


def write(made: Made, folder: Path, *, sealed: bool = False) -> None:
    """Write a test bed, whole or not at all, in the place of an earlier one if there is one.

    sealed: the key gets a folder of its own beside it, and nothing is left in the test bed but the
    key's hash. Raises OSError, also where something else is at ``folder``.
    """
    folder = folder.resolve()
    apart = folder.with_name(f"{folder.name}.{KEY}")
    for place, sign in ((folder, META), *([(apart, TEXT)] if sealed else [])):
        _check_replaceable(place, sign)
    with whole_folder(folder) as partial:
        if sealed:
            with whole_folder(apart) as beside:
                made.key.save(beside)
                _write(made, partial, (beside / TEXT).read_bytes(), sealed=True)
        else:
            (partial / KEY).mkdir()
            made.key.save(partial / KEY)
            _write(made, partial, (partial / KEY / TEXT).read_bytes(), sealed=False)


def _check_replaceable(folder: Path, sign: str) -> None:
    if not folder.exists():
        return
    if not folder.is_dir():
        raise OSError(f"cannot write {folder}: it is no folder")
    if any(folder.iterdir()) and not (folder / sign).is_file():
        raise OSError(f"cannot write {folder}: it holds something else, and no earlier test bed")


def _write(made: Made, folder: Path, key: bytes, *, sealed: bool) -> None:
    """The model in all formats, and what is said of it. Nothing sealed says how it was made."""
    model, truth = made.model, made.key.truth
    about: dict[str, Any] = {
        "format": FORMAT,
        "version": VERSION,
        "model": truth.model,
        "board": truth.board,
        "key": sha256(key).hexdigest(),
        "sealed": sealed,
    }
    if not sealed:
        about |= {"recipe": truth.recipe, "difficulty": truth.difficulty, "seed": truth.seed}
    write_json(about, folder / META)
    model.save(folder / MODEL)
    huggingface.write(model, folder / HUB)
    bench = folder / INTERPBENCH
    bench.mkdir()
    export(model, "transformer-lens", bench / "ll_model.pth")
    write_json({**about, "config": lens_config(model)}, bench / META)
    if not sealed:
        write_json(truth.edges, bench / "edges.json")


def lens_config(model: OthelloGPT) -> Mapping[str, Any]:
    """The arguments of a TransformerLens configuration."""
    sizes = {name: size for name, size in vars(model.shape).items() if name != "ln_eps"}
    return {**sizes, "eps": model.shape.ln_eps, "act_fn": "gelu", "normalization_type": "LN"}


def read_about(folder: Path) -> dict[str, Any]:
    """What a test bed says of itself. Raises BedError."""
    try:
        about = msgspec.json.decode((folder / META).read_bytes(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError):
        raise BedError(f"{folder} is no test bed: it has no readable {META}") from None
    if about.get("format") != FORMAT or about.get("version") != VERSION:
        raise BedError(f"{folder} is no test bed of version {VERSION}")
    return about
