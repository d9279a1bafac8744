"""How does the error of the rules fall with layers, on every board? ``python -m
comparison.studies.sizes``.

The strengths of `logic`, whose formulas hold for any size, and the numbers of `calibrated`, fitted
for eight layers on 8 x 8 and carried over (:mod:`handbuilt.strengths.carrying`); nothing is fitted
here. The rules run through their interpreter, in float32, which is several times as fast as a
network. Killed, a study goes on.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from comparison.reporting.figures import Depth, error_by_depth
from comparison.reporting.report import cells
from comparison.scoring.bench import Bars, choose_threshold, evaluate
from comparison.scoring.census import HEADINGS, Census, take_census
from extracted_rules.benches.intervals import Estimate
from extracted_rules.benches.positions import batches
from extracted_rules.drawing.tables import Table
from extracted_rules.files import KeptData
from extracted_rules.othello.all_games import SMALL
from extracted_rules.othello.game import random_games, replay
from extracted_rules.othello.geometry import SIZES, Geometry
from handbuilt.calibration import FitSettings
from handbuilt.interpreter import Interpreter
from handbuilt.plan import Plan
from handbuilt.strengths import ARGUED, Axes, Strengths, digest, load_strengths

#: The argued recipe, and the fitted one.
STUDIED = ("logic", "calibrated")
#: Strata of the first table: heading, group and name in ``Result.strata``.
STRATA = (("all", "all", "all"), ("pass-free", "pass", "pass-free"))
#: Games on which flips are decoded, layer by layer.
FLIP_GAMES = 100


class Rules:
    """The rules as a model: tokens to logits, through their interpreter."""

    def __init__(self, interpreter: Interpreter) -> None:
        self.geometry, self.interpreter = interpreter.strengths.geometry, interpreter

    def __call__(self, tokens: Tensor) -> Tensor:
        return self.interpreter(tokens).logits


@dataclass(frozen=True)
class Asked:
    """What is asked of every size: so many random games of a seed, a fifth as many others for the
    threshold, and one in ``part`` of all games of 4 x 4."""

    games: int
    seed: int
    part: int = 1


@dataclass
class Point:
    """Rules of one size. rates: top-1 illegal by STRATA; cells: their cells, as in
    :func:`cells`; flips: share of moves whose flips are all right, by layer; census: where all
    games were asked."""

    recipe: str
    board: int
    layers: int
    rates: list[Estimate]
    cells: list[list[str]]
    flips: list[float]
    census: Census | None


@torch.inference_mode()
def flips_right(rules: Rules, games: Tensor) -> list[float]:
    """Share of the moves of games uint8 [games, plies] whose flips are decoded without an error
    after each layer that claims any. The first moves, which are known by heart, do not count."""
    right, moves = torch.zeros(rules.interpreter.plan.last), 0
    for tokens in batches([games]):
        played = replay(tokens, board=rules.geometry.size)
        context = rules.geometry.context
        truth, there = played.flips[:, 1:context], tokens[:, 1:context] != 0
        layers = rules.interpreter(tokens[:, :context].long()).layers
        for number, now in enumerate(layers):
            right[number] += (((now.flips[:, 1:] > 0.5) == truth).all(-1) & there).sum()
        moves += int(there.sum())
    return (right / moves).tolist()


def measure(recipe: str, strengths: Strengths, asked: Asked, bar: Bars) -> Point:
    """All that is asked of one size."""
    board, layers = strengths.geometry.size, strengths.plan.layers
    name, where = f"{recipe} {board}x{board}, {layers}", torch.device("cpu")
    rules = Rules(Interpreter(strengths.apply(lambda x: x.float())))
    choosing = -(-asked.games // 5)
    step = bar(name, asked.games + choosing)
    tau = choose_threshold(rules, asked.seed, where, choosing, step)
    games = list(random_games(asked.games, asked.seed, board=board))
    result = evaluate(name, rules, games, tau, progress=step, keep_errors=False)
    found = [result.strata[group][stratum] for _, group, stratum in STRATA]
    census = None
    if board == SMALL:
        tau = choose_threshold(rules, asked.seed, where)
        census = take_census(f"{recipe}, {layers} layers", rules, tau, part=asked.part)
    flips = flips_right(rules, games[0][:FLIP_GAMES])
    rates = [measures.illegal.rate() for measures in found]
    return Point(recipe, board, layers, rates, [cells(m) for m in found], flips, census)


def points(
    boards: Sequence[int], layers: Sequence[int], asked: Asked, out: Path, bar: Bars
) -> Iterator[Point]:
    """Every recipe on every board in so many layers; those measured before are taken from the
    folder. Raises KeptError for other rules there."""
    for recipe in STUDIED:
        for board in boards:
            for depth in layers:
                strengths = load_strengths(recipe, board, depth)
                about = {"rules": digest(strengths), "asked": repr(asked)}
                path = out / f"{recipe}-{board}-{depth}.msgpack"
                work = partial(measure, recipe, strengths, asked, bar)
                yield KeptData(path, about, Point).once(work)


def report(
    boards: Sequence[int], layers: Sequence[int], asked: Asked, out: Path, bar: Bars
) -> dict[str, Table]:
    """Tables by name, and a picture in the folder. Raises BoardError, PlanError, KeptError and
    OSError."""
    found = list(points(boards, layers, asked, out, bar))
    drawn = [Depth(p.recipe, f"{p.board} x {p.board}", p.layers, p.rates) for p in found]
    titles = [f"{heading} positions" for heading, *_ in STRATA]
    error_by_depth(drawn, titles, out / "depth.png")
    tables = {
        "sizes": _sizes(found, asked),
        "flips": _flips(found, max(layers)),
        "numbers": _numbers(),
    }
    if counted := [p for p in found if p.census is not None]:
        tables["census"] = _census(counted, asked.part)
    return tables


def _sizes(found: Sequence[Point], asked: Asked) -> Table:
    numbers = [f"{what}, {heading}" for heading, *_ in STRATA for what in ("illegal %", "F1")]
    rows = []
    for p in found:
        shown = [cell for _, illegal, f1, _ in p.cells for cell in (illegal, f1)]
        rows.append([p.recipe, f"{p.board} x {p.board}", f"{p.layers}", *shown, _last(p)])
    title = f"The rules by board and layers, {asked.games:,} random games (seed {asked.seed})"
    return Table(title, ("recipe", "board", "layers"), (*numbers, "flips right %"), rows)


def _last(p: Point) -> str:
    """What the last layer that claims flips has right."""
    return f"{100 * p.flips[-1]:.1f}"


def _flips(found: Sequence[Point], deepest: int) -> Table:
    """One row a layer of the deepest models."""
    deep = [p for p in found if p.layers == deepest]
    rows = [
        [str(layer), *(f"{100 * p.flips[layer]:.1f}" for p in deep)] for layer in range(deepest - 1)
    ]
    title = f"Moves whose flips are all right %, after each of {deepest} layers"
    return Table(title, ("layer",), [f"{p.recipe} {p.board} x {p.board}" for p in deep], rows)


def _numbers() -> Table:
    """How many numbers the family needs; more layers need no more."""
    counts = {board: FitSettings().free_scalars(Axes(Geometry(board), Plan())) for board in SIZES}
    rows = [
        ["logic", *(str(ARGUED) for _ in SIZES)],
        ["calibrated", *(f"{count:,}" for count in counts.values())],
    ]
    boards = [str(Geometry(board)) for board in SIZES]
    return Table("Numbers that are read, in any number of layers", ("recipe",), boards, rows)


def _census(found: Sequence[Point], part: int) -> Table:
    """One row a size and kind of position."""
    rows = []
    for p in found:
        assert p.census is not None
        for number, (kind, count) in enumerate(p.census.kinds.items()):
            first = [p.recipe, str(p.layers)] if number == 0 else ["", ""]
            rows.append([*first, kind, *count.cells()])
    which = "All games" if part == 1 else f"One game in {part}"
    return Table(f"{which} of 4 x 4", ("recipe", "layers", "positions that are"), HEADINGS, rows)
