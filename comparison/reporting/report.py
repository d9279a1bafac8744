"""Results for people and machines: tables, ``results.json`` and ``report.md``."""

import json
from collections.abc import Callable, Sequence
from itertools import combinations
from math import inf, isfinite
from pathlib import Path
from typing import Any

import msgspec
from rich.box import SIMPLE_HEAD
from rich.console import JustifyMethod
from rich.markup import escape
from rich.table import Table

from comparison.reading.boards import BoardAccuracy
from comparison.scoring.bench import Result
from comparison.scoring.error_sets import Factor, Overlap, factors, overlap
from comparison.scoring.intervals import Estimate
from comparison.scoring.measures import Measures
from comparison.scoring.records import KINDS
from extracted_rules.files import whole_file

HEADINGS = ("count", "top-1 illegal %", "legal-set F1", "illegal mass %", "excess CE, nats")


def _interval(estimate: Estimate, scale: float, digits: int) -> str:
    low, high, value = (scale * n for n in (estimate.low, estimate.high, estimate.value))
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def cells(measures: Measures) -> list[str]:
    """A stratum's row under HEADINGS, with 95 % intervals."""
    return [
        f"{measures.positions:,}",
        _interval(measures.illegal.rate(), 100, 3),
        _interval(measures.f1.share(), 1, 4),
        _interval(measures.illegal_mass.share(), 100, 2),
        _interval(measures.excess.mean(), 1, 3),
    ]


def model_rows(results: Sequence[Result]) -> list[list[str]]:
    """One row a model and pass state, "pass-free" being where the mover is certain."""
    rows = []
    for result in results:
        rows.append([result.model, "all", *cells(result.overall)])
        rows.extend(
            ["", name, *cells(measures)]
            for name, measures in result.strata["pass"].items()
            if measures.positions
        )
    return rows


def stage_rows(results: Sequence[Result]) -> list[list[str]]:
    """One row a model and third of the game: who fares how late in the game."""
    return [
        [result.model if first else "", *row]
        for result in results
        for first, row in zip((True, False, False), group_rows(result, "stage"), strict=False)
    ]


def group_rows(result: Result, group: str) -> list[list[str]]:
    """One row a stratum of a group."""
    return [[name, *cells(m)] for name, m in result.strata[group].items() if m.positions]


def as_table(
    title: str,
    first: Sequence[str],
    rows: Sequence[Sequence[str]],
    headings: Sequence[str] = HEADINGS,
) -> Table:
    """A table for the terminal."""
    table = Table(title=escape(title), title_justify="left", box=SIMPLE_HEAD, pad_edge=False)
    for heading in (*first, *headings):
        side: JustifyMethod = "left" if heading in first else "right"
        table.add_column(escape(heading), justify=side, no_wrap=True)
    for row in rows:
        table.add_row(*map(escape, row))
    return table


def board_headings(accuracy: BoardAccuracy) -> list[str]:
    headings = ["layer", "discs right %", "whole boards right %", "whole flips right %"]
    return headings if accuracy.flips_right is not None else headings[:3]


def board_rows(accuracy: BoardAccuracy) -> list[list[str]]:
    """One row a layer under the headings of :func:`board_headings`."""
    return [
        [str(layer), *(f"{100 * share:.1f}" for share in shares)]
        for layer, shares in enumerate(accuracy.by_layer())
    ]


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def all_overlaps(results: Sequence[Result]) -> dict[tuple[str, str], list[Overlap]]:
    """Every two models' error sets against each other, by kind."""
    return {
        (a.model, b.model): [overlap(a.errors, b.errors, kind) for kind in KINDS]
        for a, b in combinations(results, 2)
    }


def overlap_rows(overlaps: dict[tuple[str, str], list[Overlap]]) -> list[list[str]]:
    return [
        [
            *(a, b, found.kind),
            *(f"{n:,}" for n in (found.both, found.only_a, found.only_b)),
            f"{found.jaccard:.3f}",
            _interval(found.odds_ratio, 1, 2),
        ]
        for (a, b), pair in overlaps.items()
        for found in pair
    ]


def factor_headings(results: Sequence[Result]) -> list[str]:
    """What stands over :func:`factor_rows`."""
    return ["positions that are", *(result.model for result in results[1:])]


def factor_rows(results: Sequence[Result]) -> list[list[str]]:
    """One row a stratum: how each model's rate of illegal top moves compares with the first's."""
    first, *others = results
    columns = [factors(first.errors, other.errors, "top-1") for other in others]
    return [
        [row[0].stratum, *(_in_words(factor) for factor in row)]
        for row in zip(*columns, strict=True)
        if any(factor.a or factor.b for factor in row)
    ]


def _in_words(factor: Factor) -> str:
    """``"12 × less [9.1, 16]"``; "undecided" where the interval leaves it open."""
    low, high, times = factor.times.low, factor.times.high, factor.times.value
    if not (factor.a or factor.b):
        return "no errors"
    if low <= 1 <= high:
        return f"undecided [{_times(low)}, {_times(high)}]"
    if not factor.b:
        return f"none, ≥ {_times(1 / high)} × less"
    if not factor.a:
        return f"≥ {_times(low)} × more, the other none"
    if high < 1:
        return f"{_times(1 / times)} × less [{_times(1 / high)}, {_times(1 / low)}]"
    return f"{_times(times)} × more [{_times(low)}, {_times(high)}]"


def _times(x: float) -> str:
    """As in 0.93, 1.42, 2.8, 13, 280: below 2 it matters how near to 1 it is."""
    return "∞" if x == inf else f"{x:.2f}" if x < 2 else f"{float(f'{x:.2g}'):,g}"


OVERLAP_HEADINGS = ("A", "B", "kind", "both", "only A", "only B", "Jaccard", "odds ratio")


def without_nan(data: Any) -> Any:
    """JSON knows no NaN: what has no value (an interval of one game, say) is null."""
    if isinstance(data, dict):
        return {key: without_nan(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [without_nan(value) for value in data]
    return None if isinstance(data, float) and not isfinite(data) else data


def write_json(data: Any, path: Path) -> None:
    """Write records, tensors and plain values as JSON; the file appears whole or not at all. Raises
    OSError."""
    plain = msgspec.to_builtins(data, enc_hook=lambda value: value.tolist())
    with whole_file(path) as partial:
        text = json.dumps(without_nan(plain), indent=2, allow_nan=False)
        partial.write_text(text + "\n", encoding="utf-8")


def measured_once(path: Path, measure: Callable[[], Any]) -> Any:
    """What ``measure`` gives, as JSON; from the file where it was measured before. Raises OSError,
    also for a file that is damaged."""
    if not path.exists():
        write_json(measure(), path)
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise OSError(f"{path} is damaged ({error}); without it, it is made anew") from None


def _who_errs_less(results: Sequence[Result]) -> list[str]:
    if len(results) < 2:
        return []
    return [
        "Who errs less? How often the likeliest move is illegal, against "
        f"`{results[0].model}`, with 95 % intervals:",
        markdown(factor_headings(results), factor_rows(results)),
    ]


def write_markdown(
    results: Sequence[Result],
    overlaps: dict[tuple[str, str], list[Overlap]],
    figures: Sequence[tuple[str, str]],
    command: str,
    path: Path,
) -> None:
    """The report: what was run, every table, and the figures as (file name, caption)."""
    parts = [
        "# Comparison",
        f"`{command}`: {results[0].games:,} games ({results[0].source}). Brackets are 95 % "
        "intervals with the game as the unit. *pass-free* positions are those where no pass has "
        "happened yet; *at a pass* the expected side has to pass right now.",
        "Thresholds tau, chosen for best F1 on separate games (of a model that the project holds, "
        "when it was added): " + ", ".join(f"{r.model} {r.tau:.2g}" for r in results) + ".",
        markdown(("model", "positions that are", *HEADINGS), model_rows(results)),
        *_who_errs_less(results),
        "By the ply to predict:",
        markdown(("model", "positions at", *HEADINGS), stage_rows(results)),
    ]
    parts += [f"![{caption}]({name})\n\n*{caption}*" for name, caption in figures]
    if overlaps:
        parts += [
            "## Error sets",
            "An odds ratio above 1 says that the two models tend to err in the same positions.",
            markdown(OVERLAP_HEADINGS, overlap_rows(overlaps)),
        ]
    for result in results:
        parts.append(f"## {result.model}")
        if result.boards:
            parts += [
                f"Boards read from the {result.boards.source}, {result.boards.games} games:",
                markdown(board_headings(result.boards), board_rows(result.boards)),
            ]
        for group in ("legal moves", "ply"):
            headings = (group if group != "ply" else "ply to predict", *HEADINGS)
            parts.append(markdown(headings, group_rows(result, group)))
    with whole_file(path) as partial:
        partial.write_text("\n\n".join(parts) + "\n", encoding="utf-8")
