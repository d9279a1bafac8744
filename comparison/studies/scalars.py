"""How good are the rules with how many fitted numbers? ``python -m comparison.studies.scalars``.

The same fit several times, with the strengths tied along fewer and fewer axes; every result is
compiled and measured on the bench. A study of about half an hour; killed, it goes on.
"""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from comparison.reporting.figures import accuracy_by_scalars
from comparison.reporting.report import HEADINGS, cells
from comparison.scoring.bench import choose_threshold, evaluate
from extracted_rules.drawing.tables import Table
from extracted_rules.files import KeptData, write_text
from extracted_rules.othello.game import random_games
from extracted_rules.othello.geometry import STANDARD, Geometry
from handbuilt.calibration import FitSettings, calibrate, starting_point
from handbuilt.recipes import build
from handbuilt.strengths import ARGUED, Strengths, load_strengths

#: What is tied: from one number for all layers, lengths and pairs to one for each.
TIED: tuple[tuple[str, ...], ...] = (
    ("depth", "lag", "length", "pair", "layer", "reading layer"),
    ("depth", "lag", "length", "pair"),
    ("depth", "lag"),
    (),
)


@dataclass(frozen=True)
class Asked:
    """Steps of every fit, the random games of a seed that each is measured on, and the board."""

    steps: int
    games: int
    seed: int
    board: int = STANDARD


@dataclass(frozen=True)
class Point:
    """A recipe's size and what it reaches; rates with 95 % intervals, as in results.json."""

    scalars: int
    free: str
    illegal: float
    f1: float
    excess: float
    cells: list[str]


def measure(scalars: int, free: str, strengths: Strengths, asked: Asked) -> Point:
    """Compile the strengths and measure them on pass-free positions of the bench."""
    device = torch.device("cpu")
    model = build(strengths)
    tau = choose_threshold(model, asked.seed, device, asked.games)
    bench = random_games(asked.games, asked.seed, board=asked.board)
    result = evaluate(free, model, bench, tau, keep_errors=False)
    found = result.strata["pass"]["pass-free"]
    return Point(
        scalars,
        free,
        found.illegal.rate().value,
        found.f1.share().value,
        found.excess.mean().value,
        cells(found),
    )


def fit_and_measure(plan: FitSettings | None, scalars: int, out: Path, asked: Asked) -> Point:
    """A plan's point, fitted in a folder of its own; without a plan that of `logic`."""
    if plan is None:
        return measure(scalars, "argued by hand", load_strengths("logic", asked.board), asked)
    free = "tied along " + ", ".join(plan.tied) if plan.tied else "free"
    fitted = calibrate(plan, starting_point(asked.board), out, resume=True)
    return measure(scalars, free, fitted, asked)


def study(out: Path, asked: Asked) -> list[Point]:
    """All points; those measured already are taken from the folder. Raises KeptError for those of
    another board."""
    points, axes = [], starting_point(asked.board).axes
    about = {name: str(value) for name, value in vars(asked).items()}
    for tied in (None, *TIED):
        plan = None if tied is None else FitSettings(steps=asked.steps, tied=tied)
        size = plan.free_scalars(axes) if plan else ARGUED
        folder = out / f"{size}-{asked.steps}-steps"
        kept = KeptData(
            folder.with_name(f"{folder.name}-{asked.games}-games-{asked.seed}.msgpack"),
            about,
            Point,
        )
        points.append(kept.once(partial(fit_and_measure, plan, size, folder, asked)))
    return points


def report(out: Path, asked: Asked) -> Table:
    """Fit with more and more free numbers, measure each; write a table, which comes back, and a
    plot. Raises KeptError and OSError."""
    out.mkdir(parents=True, exist_ok=True)
    points = study(out, asked)
    rows = [[p.free, f"{p.scalars:,}", *p.cells] for p in points]
    headings = ("numbers", "positions", *HEADINGS[1:])
    where = "" if asked.board == STANDARD else f" of {Geometry(asked.board)}"
    title = (
        f"Pass-free positions of {asked.games:,} games{where} (seed {asked.seed}), fits of "
        f"{asked.steps} steps"
    )
    table = Table(title, ("strengths are",), headings, rows)
    write_text(f"{title}\n\n{table.markdown()}\n", out / "scalars.md")
    shown = [(p.scalars, p.illegal, p.f1, p.excess) for p in points]
    accuracy_by_scalars(shown, out / "scalars.png")
    return table
