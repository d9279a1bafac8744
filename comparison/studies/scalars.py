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
from extracted_rules.files import KeptData, whole_file
from extracted_rules.othello.game import random_games
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
class Point:
    """A recipe's size and what it reaches; rates with 95 % intervals, as in results.json."""

    scalars: int
    free: str
    illegal: float
    f1: float
    excess: float
    cells: list[str]


def measure(scalars: int, free: str, strengths: Strengths, games: int, seed: int) -> Point:
    """Compile the strengths and measure them on pass-free positions of the bench."""
    device = torch.device("cpu")
    model = build(strengths)
    tau = choose_threshold(model, seed, device, games)
    bench = random_games(games, seed)
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


def fit_and_measure(
    plan: FitSettings | None, scalars: int, out: Path, games: int, seed: int
) -> Point:
    """A plan's point, fitted in a folder of its own; without a plan that of `logic`."""
    if plan is None:
        return measure(scalars, "argued by hand", load_strengths("logic"), games, seed)
    free = "tied along " + ", ".join(plan.tied) if plan.tied else "free"
    return measure(scalars, free, calibrate(plan, starting_point(), out, resume=True), games, seed)


def study(out: Path, steps: int, games: int, seed: int) -> list[Point]:
    """All points; those measured already are taken from the folder."""
    points = []
    for tied in (None, *TIED):
        plan = None if tied is None else FitSettings(steps=steps, tied=tied)
        size = plan.free_scalars(starting_point().axes) if plan else ARGUED
        folder = out / f"{size}-{steps}-steps"
        about = {"steps": str(steps), "games": str(games), "seed": str(seed)}
        kept = KeptData(
            folder.with_name(f"{folder.name}-{games}-games-{seed}.msgpack"), about, Point
        )
        points.append(kept.once(partial(fit_and_measure, plan, size, folder, games, seed)))
    return points


def report(out: Path, steps: int, games: int, seed: int) -> Table:
    """Fit with more and more free numbers, measure each; write a table, which comes back, and a
    plot. Raises OSError."""
    out.mkdir(parents=True, exist_ok=True)
    points = study(out, steps, games, seed)
    rows = [[p.free, f"{p.scalars:,}", *p.cells] for p in points]
    headings = ("numbers", "positions", *HEADINGS[1:])
    title = f"Pass-free positions of {games:,} games (seed {seed}), fits of {steps} steps"
    table = Table(title, ("strengths are",), headings, rows)
    with whole_file(out / "scalars.md") as partial:
        partial.write_text(f"{title}\n\n{table.markdown()}\n", encoding="utf-8")
    shown = [(p.scalars, p.illegal, p.f1, p.excess) for p in points]
    accuracy_by_scalars(shown, out / "scalars.png")
    return table
