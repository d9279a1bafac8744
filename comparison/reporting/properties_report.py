"""What a check found, for people: tables, a Markdown report, and pictures of counterexamples."""

from collections.abc import Iterator, Sequence
from pathlib import Path

from comparison.properties.checking import Finding, Report
from comparison.properties.subjects import Subject
from comparison.reporting.sections import Figure, Section
from extracted_rules.benches.intervals import interval
from extracted_rules.benches.made_games import HUNTED, OPENINGS
from extracted_rules.drawing.tables import Table

#: Longer ones are cut on the terminal; the report and the JSON have them whole.
LONGEST = 68


def property_table(title: str, report: Report, longest: int = 10_000) -> Table:
    """One row a property: positions of random games where it applies, the share that breaks it, the
    same over all hunted games, and the smallest counterexample of all."""
    lines = []
    for name, finding in report.findings.items():
        if finding.missing is not None:
            lines.append([name, f"not asked: {finding.missing}", "", "", "0", "", ""])
            continue
        broken, cases = finding.elsewhere()
        ratio = finding.overall()
        at, moves = "", ""
        words = "holds" if finding.holds else "none that stands alone: rounding decides"
        if not ratio.y + cases:
            words = "no case"
        if finding.smallest is not None:
            at = finding.square or ""
            moves = str(finding.smallest.plies)
            words = finding.prop.words(finding.smallest.case, finding.board)
            words = words if len(words) <= longest else words[: longest - 1] + "…"
        rate = interval(finding.broken, 100, 2) if ratio.y else ""
        elsewhere = f"{broken:,} of {cases:,}"
        lines.append([name, words, moves, at, f"{int(ratio.y):,}", rate, elsewhere])
    words_of = ("property", "smallest counterexample")
    return Table(title, words_of, ("moves", "at", "cases", "broken %", "elsewhere"), lines)


def together_table(title: str, reports: Sequence[Report]) -> Table:
    """One row a property, one column a model: the share of positions of random games that breaks
    it and the moves of the smallest counterexample of all, or that it holds."""
    rows = [
        [
            name,
            f"{max(int(report.findings[name].overall().y) for report in reports):,}",
            *(_in_short(report.findings[name]) for report in reports),
        ]
        for name in reports[0].findings
    ]
    return Table(title, ("property",), ("cases", *(report.model for report in reports)), rows)


def _in_short(finding: Finding) -> str:
    """As in ``"0.56 [0.39, 0.81]; 11 moves"``."""
    if finding.missing is not None:
        return "not asked"
    if finding.holds:
        return "holds"
    rate = interval(finding.broken, 100, 2)
    moves = "" if finding.smallest is None else f"{finding.smallest.plies} moves"
    return "; ".join(part for part in (rate, moves) if part) or "no case"


def beside_table(reports: Sequence[Report]) -> Table:
    """One row a measure beside a verdict, by the games it was measured on; one column a model."""
    cells: dict[tuple[str, str, str], dict[str, str]] = {}
    for report in reports:
        for finding in report.findings.values():
            for row, cell in _beside(finding):
                cells.setdefault(row, {})[report.model] = cell
    models = [report.model for report in reports]
    rows = [[*row, *(of.get(model, "") for model in models)] for row, of in cells.items()]
    return Table("Beside the verdicts", ("property", "beside it", "games"), models, rows)


def _beside(finding: Finding) -> Iterator[tuple[tuple[str, str, str], str]]:
    """A property's rows of :func:`beside_table` in one model, but for hunted games: their rates
    mean nothing by themselves."""
    name = finding.prop.name
    for source, measures in finding.also.items():
        if source in (OPENINGS, *HUNTED) or not (overall := finding.overall(source)).y:
            continue
        yield (name, "cases", source), f"{int(overall.y):,}"
        parted = finding.strata[source].get("parted", {})
        for stratum, ratio in {"broken %": overall, **parted}.items():
            if ratio.y:
                yield (name, stratum, source), interval(ratio.rate(), 100, 1)
        for measure, ratio in measures.items():
            found = ratio.mean()
            yield (name, measure, source), f"{found.value:.3g} [{found.low:.3g}, {found.high:.3g}]"


def stratum_table(finding: Finding) -> Table:
    """One row a source, group and stratum: cases, and the share that is broken."""
    rows = [
        [source, group, name, f"{int(ratio.y):,}", interval(ratio.rate(), 100, 2)]
        for source, groups in finding.strata.items()
        for group, members in groups.items()
        for name, ratio in members.items()
        if ratio.y
    ]
    return Table("", ("games", "by", "stratum"), ("cases", "broken %"), rows)


def sections(reports: Sequence[Report], pictures: dict[tuple[str, str], str]) -> Iterator[Section]:
    """Of a report on several models; pictures: file names by model and property."""
    for report in reports:
        yield Section(
            report.model,
            report.model,
            [
                f"tau {report.tau:.2g}; {report.examples:,} random games of seed {report.seed}, "
                "and as many hunted ones. Brackets are 95 % intervals with the game as the unit."
            ],
            [property_table("", report), beside_table([report])],
        )
        for name, finding in report.findings.items():
            if finding.missing is None:
                picture = pictures.get((report.model, name))
                yield Section(
                    name,
                    f"{report.model}: {name}",
                    [finding.prop.sentence, finding.prop.source],
                    [stratum_table(finding)],
                    [Figure(picture, f"the smallest counterexample to {name}")] if picture else [],
                )


def draw(finding: Finding, subject: Subject, model: str, path: Path) -> bool:
    """Draw the smallest counterexample; False where there is none, or nothing to draw."""
    from extracted_rules.drawing.positions import boards

    if finding.smallest is None:
        return False
    case, square = finding.smallest.case, finding.smallest.square
    pictures = finding.prop.answers(subject, case.to(subject.device), square)
    if pictures:
        where = f" (at {finding.square})" if finding.square else ""
        caption = f"{model} breaks {finding.prop.name}{where} after {finding.smallest.plies} moves"
        boards(pictures, caption, path)
    return bool(pictures)
