"""Sections of what is measured: the comparison, the rules as properties, rules ablated."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from comparison.properties import Report, check
from comparison.properties.subjects import Subject
from comparison.replacing.ablation import ablate, cases
from comparison.reporting import figures, report
from comparison.reporting.page.exhibits import Exhibit, Order
from comparison.reporting.properties_report import draw, property_table
from comparison.reporting.sections import Figure, Section
from comparison.scoring.bench import Result, evaluate
from extracted_rules.benches.intervals import interval
from extracted_rules.drawing.tables import Table
from handbuilt.recipes import program

#: The recipe that rules are ablated from.
ABLATED = "calibrated"
#: Counterexamples of a model that are drawn, the shortest first.
DRAWN = 4


def compare(order: Order, size: int, folder: Path) -> Section:
    """What ``handbuilt compare`` prints: models by strata, who errs less, overlap of errors."""
    bench = order.bench(size)
    source = f"random, seed {order.seed}"
    results = [
        evaluate(
            e.name, e.model, bench, e.tau, source, order.bar(f"compare: {e.name}", size)
        )
        for e in order.exhibits
    ]  # fmt: skip
    figures.error_by_ply(results, folder / "by-ply.png")
    overlaps = report.all_overlaps(results)
    tables = report.main_tables(results)
    drawn = [
        Figure(
            "by-ply.png",
            "How often the likeliest move is illegal, by the ply to predict; bands are 95 % "
            "intervals.",
            "Line chart on a logarithmic axis: illegal rate by ply, one line for each of "
            f"{_names(order)}. A table holds the same rates by third of the game.",
        )
    ]
    if overlaps:
        tables.append(report.overlaps_table(overlaps))
        figures.error_overlap([r.model for r in results], overlaps, folder / "overlap.png")
        drawn.append(
            Figure(
                "overlap.png",
                "How much the models' error sets overlap (Jaccard index): of illegal likeliest "
                "moves, and of wrong legal sets.",
                "Two matrices of the models against each other; their numbers are in the table of "
                "error sets.",
            )
        )
    return Section(
        "comparison",
        "The comparison",
        [
            f"{size:,} random games of seed {order.seed}, seen in no fit and no training; brackets "
            "are 95 % intervals with the game as the unit. `top-1 illegal`: how often the "
            "likeliest move is illegal. `legal-set F1`: every move above a probability tau counts "
            "as predicted. Positions are `pass-free` if no side has had to pass so far, "
            "`at a pass` if the side that alternation names has to pass right now."
        ],
        tables,
        drawn,
        [_highlight(result) for result in results],
    )


def _names(order: Order) -> str:
    return ", ".join(e.name for e in order.exhibits)


def _highlight(result: Result) -> tuple[str, str]:
    rate = result.overall.illegal.rate()
    value, low, high = (f"{100 * x:.2f}" for x in (rate.value, rate.low, rate.high))
    return f"{value} %", f"{result.model}: illegal likeliest moves, between {low} and {high}"


def properties(order: Order, size: int, folder: Path) -> Section:
    """What ``handbuilt check`` finds, with the shortest counterexamples drawn."""
    found = [(e, *_checked(order, e, size)) for e in order.exhibits]
    tables = [_broken([r for _, r, _ in found])]
    drawn: list[Figure] = []
    for number, (exhibit, of_model, subject) in enumerate(found):
        title = f"{exhibit.name}: what breaks the rules, and the shortest game that shows it"
        tables.append(replace(property_table(title, of_model), folded=True))
        drawn += _counterexamples(number, exhibit, of_model, subject, folder)
    return Section(
        "properties",
        "The rules of the game as properties",
        [
            f"Every rule of the game is asked for by itself, on {size:,} random games of seed "
            f"{order.seed}, which give the rates, and on as many that are hunted for "
            "counterexamples: openings, near misses, early passes, all of them edited. A "
            "counterexample is then made as short as it gets."
        ],
        tables,
        drawn,
    )


def _checked(order: Order, exhibit: Exhibit, size: int) -> tuple[Report, Subject]:
    advance, before = order.bar(f"check: {exhibit.name}", 0), 0

    def progress(done: int, total: int) -> None:
        nonlocal before
        advance(done - before)
        before = done

    reader = exhibit.reader
    found = check(
        exhibit.model, examples=size, seed=order.seed, tau=exhibit.tau,
        reader=reader, progress=progress,
    )  # fmt: skip
    return replace(found, model=exhibit.name), Subject(
        exhibit.model, exhibit.tau, exhibit.model.device, reader
    )


def _broken(reports: list[Report]) -> Table:
    """One row a property, one column a model."""
    rows = []
    for name, finding in reports[0].findings.items():
        shares = []
        for of_model in (found[name] for found in reports):
            cell = interval(of_model.broken, 100, 2)
            if of_model.missing is not None or not of_model.overall().y:
                cell = "not asked"
            shares.append("holds" if of_model.holds else cell)
        rows.append([name, finding.prop.sentence, *shares])
    title = "The share of positions that break a rule"
    columns = [f"{found.model}, broken %" for found in reports]
    return Table(title, ("property", "that is"), columns, rows)


def _counterexamples(
    number: int, exhibit: Exhibit, found: Report, subject: Subject, folder: Path
) -> Iterator[Figure]:
    """The model's shortest counterexamples, one a property, drawn."""
    broken = [(f.smallest.key, name) for name, f in found.findings.items() if f.smallest]
    count = 0
    for _, name in sorted(broken):
        finding, file = found[name], f"{number + 1}-{name}.png"
        if count == DRAWN or not draw(finding, subject, exhibit.name, folder / file):
            continue
        count += 1
        assert finding.smallest is not None
        games = "; ".join(finding.transcripts)
        yield Figure(
            file,
            f"{exhibit.name} breaks `{name}`. {finding.prop.sentence} Blue squares are predicted, "
            "dots are legal, a ring is the likeliest move, a cross where that is illegal.",
            f"Boards after {finding.smallest.plies} moves ({games}), tinted by what {exhibit.name} "
            "predicts.",
        )


def ablations(order: Order, size: int, folder: Path) -> Section | None:
    """What each rule of a hand-built model is worth."""
    if all(e.model.metadata.get("recipe") != ABLATED for e in order.exhibits):
        return None
    found = ablate(
        cases(program(ABLATED), ()), order.bench(size), "random", order.seed,
        lambda name, total: order.bar(f"without {name}", total), order.device,
    )  # fmt: skip
    whole, *rest = found
    rest.sort(key=lambda k: -k.result.overall.excess.value)
    return Section(
        "ablations",
        f"What each rule of {ABLATED} is worth",
        [
            f"One rule is dropped from `{ABLATED}`, the weights are compiled anew and measured on "
            f"{size:,} random games of seed {order.seed}; the rules that are worth most come "
            "first. The threshold is the whole recipe's."
        ],
        [report.ablations_table(f"{ABLATED} without a rule", [whole, *rest])],
    )
