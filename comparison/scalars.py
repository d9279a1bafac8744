"""How good are the rules with how many fitted numbers? ``python -m comparison.scalars``.

The same fit several times, with the strengths tied along fewer and fewer axes; every result is
compiled and measured on the bench. A study of about half an hour; killed, it goes on.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import torch
import typer
from rich.console import Console

from comparison.bench import choose_threshold, evaluate
from comparison.figures import accuracy_by_scalars
from comparison.report import HEADINGS, as_table, cells, write_json
from extracted_rules.game import random_games
from handbuilt.calibration import Plan, calibrate, starting_point
from handbuilt.compiler import compile_rules
from handbuilt.strengths import Strengths, load_strengths

#: What is tied: from one number a rule to one for every length, lag, depth and layer.
TIED: tuple[tuple[str, ...], ...] = (
    ("depth", "lag", "length", "layer", "reading layer"),
    ("depth", "lag", "length"),
    ("depth", "lag"),
    (),
)
#: Numbers in logic.toml, chosen by hand.
ARGUED = 10


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
    model = compile_rules(strengths)[0].eval()
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


def main(
    out: Annotated[Path, typer.Option(help="Folder for fits, table and plot.")] = Path(
        "out/scalars"
    ),
    steps: Annotated[int, typer.Option(help="Steps of each fit.")] = 400,
    games: Annotated[int, typer.Option(help="Random games to measure on.")] = 500,
    seed: Annotated[int, typer.Option(help="Seed of those games.")] = 1,
) -> None:
    """Fit with more and more free numbers; measure each; write a table and a plot."""
    out.mkdir(parents=True, exist_ok=True)
    points = []
    for number, tied in enumerate([None, *TIED]):
        kept = out / f"point-{number}.json"
        if not kept.exists():
            if tied is None:
                point = measure(ARGUED, "argued by hand", load_strengths("logic"), games, seed)
            else:
                plan = Plan(steps=steps, tied=tied)
                fitted = calibrate(plan, starting_point(), out / f"fit-{number}", resume=True)
                free = "tied along " + ", ".join(tied) if tied else "free"
                point = measure(plan.free_scalars(), free, fitted, games, seed)
            write_json(vars(point), kept)
        points.append(Point(**json.loads(kept.read_text(encoding="utf-8"))))
    rows = [[f"{p.scalars:,}", p.free, *p.cells] for p in points]
    headings = ("positions", *HEADINGS[1:])
    title = f"Pass-free positions of {games:,} games (seed {seed}); fits of {steps} steps"
    Console(width=150).print(as_table(title, ("numbers", "strengths are"), rows, headings))
    accuracy_by_scalars(
        [(p.scalars, p.illegal, p.f1, p.excess) for p in points], out / "scalars.png"
    )


if __name__ == "__main__":
    typer.run(main)
