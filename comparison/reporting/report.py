"""Results of benches as tables, and the report of a comparison."""

from collections.abc import Sequence
from itertools import combinations
from math import inf

from comparison.reading.boards import BoardAccuracy
from comparison.replacing.ablation import Ablated
from comparison.reporting.sections import Figure, Section
from comparison.scoring.bench import Result
from comparison.scoring.error_sets import Factor, Overlap, factors, overlap
from comparison.scoring.measures import Measures
from comparison.scoring.records import KINDS
from extracted_rules.benches.intervals import interval
from extracted_rules.drawing.tables import Table

HEADINGS = ("count", "top-1 illegal %", "legal-set F1", "excess cross-entropy, nats")
#: How the tables of a comparison are read.
INTERVALS = (
    "Brackets are 95 % intervals with the game as the unit; four times as many games (--games) "
    "make them about half as wide."
)


def cells(measures: Measures) -> list[str]:
    """A stratum's row under HEADINGS, with 95 % intervals."""
    return [
        f"{measures.positions:,}",
        interval(measures.illegal.rate(), 100, 3),
        interval(measures.f1.share(), 1, 4),
        interval(measures.excess.mean(), 1, 3),
    ]


def in_a_line(result: Result) -> str:
    """A model's figures over all positions."""
    _, illegal, f1, excess = cells(result.overall)
    return (
        f"{result.model}: top-1 illegal {illegal} %, legal-set F1 {f1}, "
        f"excess cross-entropy {excess} nats"
    )


def models_table(title: str, results: Sequence[Result]) -> Table:
    """One row a model and pass state, "pass-free" being where the mover is certain."""
    rows = []
    for result in results:
        rows.append([result.model, "all", *cells(result.overall)])
        rows += [["", *row] for row in _strata(result, "pass")]
    return Table(title, ("model", "positions that are"), HEADINGS, rows, says=INTERVALS)


def thresholds_table(results: Sequence[Result]) -> Table:
    """One row a model: the probability above which it predicts a move."""
    rows = [[result.model, f"{result.tau:.2g}"] for result in results]
    return Table("Thresholds", ("model",), ("tau",), rows)


def stages_table(results: Sequence[Result]) -> Table:
    """One row a model and third of the game: who fares how late in the game."""
    rows = [
        [result.model if number == 0 else "", *row]
        for result in results
        for number, row in enumerate(_strata(result, "stage"))
    ]
    words = ("model", "positions that are")
    return Table("By the ply to predict", words, HEADINGS, rows, folded=True)


def group_table(result: Result, group: str, title: str = "") -> Table:
    """One row a stratum of a group."""
    return Table(title, (group,), HEADINGS, _strata(result, group))


def _strata(result: Result, group: str) -> list[list[str]]:
    return [[name, *cells(m)] for name, m in result.strata[group].items() if m.positions]


def boards_table(title: str, accuracy: BoardAccuracy) -> Table:
    """One row a layer."""
    headings = ["layer", "discs right %", "whole boards right %", "whole flips right %"]
    rows = [
        [str(layer), *(f"{100 * share:.1f}" for share in shares)]
        for layer, shares in enumerate(accuracy.by_layer())
    ]
    return Table(title, (), headings if accuracy.flips_right is not None else headings[:3], rows)


def ablations_table(title: str, found: Sequence[Ablated]) -> Table:
    """One row a rule that was dropped."""
    rows = []
    for one in found:
        _, illegal, f1, excess = cells(one.result.overall)
        rows.append([one.rule, one.says, illegal, f1, excess])
    _, illegal, f1, excess = HEADINGS
    return Table(title, ("dropped", "that is"), (illegal, f1, excess), rows)


def all_overlaps(results: Sequence[Result]) -> dict[tuple[str, str], list[Overlap]]:
    """Every two models' error sets against each other, by kind."""
    return {
        (a.model, b.model): [overlap(a.errors, b.errors, kind) for kind in KINDS]
        for a, b in combinations(results, 2)
    }


def overlaps_table(overlaps: dict[tuple[str, str], list[Overlap]]) -> Table:
    """One row a pair of models and kind of error."""
    rows = [
        [
            *(a, b, found.kind),
            *(f"{n:,}" for n in (found.both, found.only_a, found.only_b)),
            f"{found.jaccard:.3f}",
            interval(found.odds_ratio, 1, 2),
        ]
        for (a, b), pair in overlaps.items()
        for found in pair
    ]
    numbers = ("both", "only A", "only B", "Jaccard", "odds ratio")
    title = "Error sets, two by two: positions where both, one or the other errs"
    return Table(title, ("A", "B", "kind"), numbers, rows, folded=True)


def factors_table(results: Sequence[Result]) -> Table:
    """One row a stratum: how each model's rate of illegal top moves compares with the first's."""
    first, *others = results
    columns = [factors(first.errors, other.errors, "top-1") for other in others]
    rows = [
        [row[0].stratum, *(_in_words(factor) for factor in row)]
        for row in zip(*columns, strict=True)
        if any(factor.a or factor.b for factor in row)
    ]
    title = f"Who errs less? How often the likeliest move is illegal, against {first.model}"
    return Table(title, ("positions that are",), [other.model for other in others], rows)


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


def main_tables(results: Sequence[Result]) -> list[Table]:
    """Models by what the positions are, beside the first one, and by third of the game."""
    tables = [models_table("Models by what the positions are", results), stages_table(results)]
    if len(results) > 1:
        tables.insert(1, factors_table(results))
    return tables


def sections(
    results: Sequence[Result],
    overlaps: dict[tuple[str, str], list[Overlap]],
    figures: Sequence[Figure],
) -> list[Section]:
    """The report of a comparison: every table, and the figures."""
    taus = ", ".join(f"{r.model} {r.tau:.2g}" for r in results)
    title = f"{results[0].games:,} games ({results[0].source})"
    found = [
        Section(
            "models",
            title,
            [
                "*pass-free* positions are those where no pass has happened yet; *at a pass* the "
                "expected side has to pass right now.",
                "Thresholds tau, chosen for best F1 on separate games (of a model that the project "
                f"holds, when it was added): {taus}.",
            ],
            main_tables(results),
            figures,
        )
    ]
    if overlaps:
        says = "An odds ratio above 1 says that the two models tend to err in the same positions."
        found.append(Section("errors", "Error sets", [says], [overlaps_table(overlaps)]))
    for result in results:
        tables = [group_table(result, group) for group in ("legal moves", "ply")]
        if result.boards:
            read = f"Boards read from the {result.boards.source}, {result.boards.games} games"
            tables.insert(0, boards_table(read, result.boards))
        found.append(Section(result.model, result.model, tables=tables))
    return found
