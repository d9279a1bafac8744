"""Which unseen passes are noticed, and what would true sides be worth? ``python -m
comparison.studies.passes``.

Two questions to the rules of `calibrated`, through their interpreter in float32. How often is a
game's first pass noticed? And how many choices would be illegal if every position were *told* its
true side, from some layer's reading on, all else as fitted? That says what better judges of passes
alone would gain. A report on bench games, of some ten minutes; killed, it goes on. Other rules
need another folder.
"""

from collections.abc import Iterable
from dataclasses import astuple
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.progress import track
from torch import Tensor

from comparison.reporting.report import cells
from comparison.scoring.bench import evaluate
from comparison.studies.sizes import Rules
from extracted_rules.benches.positions import batches
from extracted_rules.drawing.tables import Table
from extracted_rules.files import KeptData, digest_of, write_text
from extracted_rules.othello.geometry import Geometry
from handbuilt.interpreter import Interpreter
from handbuilt.interpreter.noticing import Noticed, TrueSides, notice, spans
from handbuilt.plan import Plan
from handbuilt.strengths import Strengths, digest, load_strengths

#: The recipe that looks for passes.
RECIPE = "calibrated"
#: From this layer's reading on the rules hear by the sides that they found themselves.
FOUND = Plan().turn + 1
#: True sides are told from these layers on; None: never.
TOLD_FROM: tuple[int | None, ...] = (None, *range(FOUND, FOUND - 4, -1))
#: Columns of the first table: heading, group and name in ``Result.strata``.
COLUMNS = (
    ("all", "all", "all"),
    ("pass-free", "pass", "pass-free"),
    ("at a pass", "pass", "at a pass"),
    ("behind one", "passes so far", "1"),
    ("behind several", "passes so far", "2+"),
)
OVERLAP = "Behind one pass or several, another may be due, which counts as *at a pass* too."
#: Columns of the second table.
NOTICED = (
    "moves before it",
    "first passes",
    "noticed at once",
    "later",
    "positions before any pass or false positive",
    "false positives",
)


def _shown(games: Tensor, name: str) -> Iterable[Tensor]:
    """The games in batches, behind a progress bar."""
    return track(list(batches([games])), name, console=Console(stderr=True), transient=True)


def illegal_rates(
    strengths: Strengths, told_from: int | None, games: Tensor
) -> list[tuple[str, str]]:
    """Under COLUMNS: number of positions, and top-1 illegal in percent with its 95 % interval."""
    rules = Interpreter(strengths) if told_from is None else TrueSides(strengths, told_from)
    name = "sides as found" if told_from is None else f"true sides from {told_from}"
    # The threshold decides on the legal set alone, which is not reported here.
    result = evaluate(name, Rules(rules), _shown(games, name), 0.01, keep_errors=False)
    found = []
    for _, group, stratum in COLUMNS:
        measures = result.strata[group][stratum]
        positions, rate, *_ = cells(measures)
        found.append((positions, rate if measures.positions else ""))
    return found


def study(games: Tensor, out: Path) -> dict[str, Table]:
    """Both tables by name; what was measured before is taken from the folder. Raises as
    :func:`report` does."""
    board = Geometry.of_tokens(games.shape[1] + 1).size
    strengths = load_strengths(RECIPE, board).apply(lambda x: x.float())
    about = {
        "rules": digest(strengths),
        "games": digest_of([games]),
        "columns": repr((COLUMNS, spans(strengths.geometry))),
    }
    key = about["games"][:12]
    rates = [
        KeptData(out / f"{key}-{told_from or 'found'}.msgpack", about, list[tuple[str, str]]).once(
            partial(illegal_rates, strengths, told_from, games)
        )
        for told_from in TOLD_FROM
    ]
    names = [
        f"as found, from layer {FOUND} on" if layer is None else f"true from layer {layer} on"
        for layer in TOLD_FROM
    ]
    rows = [["positions", *(positions for positions, _ in rates[0])]]
    rows += [[name, *(rate for _, rate in row)] for name, row in zip(names, rates, strict=True)]
    noticed = KeptData(out / f"{key}-noticed.msgpack", about, list[Noticed]).once(
        lambda: notice(Interpreter(strengths), _shown(games, "first passes"))
    )
    parts = [
        [f"{first}-{last}", *(f"{count:,}" for count in counts)]
        for first, last, *counts in map(astuple, noticed)
    ]
    illegal = Table("Top-1 illegal %", ("sides",), [heading for heading, *_ in COLUMNS], rows)
    passes = Table("First passes", NOTICED[:1], NOTICED[1:], parts)
    return {"illegal": illegal, "passes": passes}


def report(played: Tensor, source: str, out: Path) -> dict[str, Table]:
    """Measure both tables on games, write them to the folder and give them back. Raises OSError,
    and KeptError for a folder of other rules."""
    out.mkdir(parents=True, exist_ok=True)
    title = f"`{RECIPE}` on {len(played):,} games ({source}): top-1 illegal %; first passes"
    tables = study(played, out)
    texts = [title, tables["illegal"].markdown(), OVERLAP, tables["passes"].markdown()]
    write_text("\n\n".join(texts) + "\n", out / f"{source}.md")
    return tables
