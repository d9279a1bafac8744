"""What a check found, for people: tables, a Markdown report, and pictures of counterexamples."""

from collections.abc import Sequence
from pathlib import Path

from comparison.properties.checking import Finding, Report
from comparison.properties.games import RANDOM
from comparison.properties.subjects import Subject
from comparison.reporting.report import markdown
from comparison.scoring.intervals import Estimate
from extracted_rules.files import whole_file

HEADINGS = ("property", "smallest counterexample", "moves", "at", "cases", "broken %", "elsewhere")
ALSO_HEADINGS = ("property", "beside it, on random games", "value")
#: Longer ones are cut in a table; the report and the JSON have them whole.
LONGEST = 68


def _percent(rate: Estimate) -> str:
    return f"{100 * rate.value:.2f} [{100 * rate.low:.2f}, {100 * rate.high:.2f}]"


def rows(report: Report, longest: int = LONGEST) -> list[list[str]]:
    """One row a property under HEADINGS: positions of random games where it applies, the share that
    breaks it, the same over all hunted games, and the smallest counterexample of all."""
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
        rate = _percent(finding.broken) if ratio.y else ""
        elsewhere = f"{broken:,} of {cases:,}"
        lines.append([name, words, moves, at, f"{int(ratio.y):,}", rate, elsewhere])
    return lines


def also_rows(report: Report) -> list[list[str]]:
    """One row a measure beside a verdict, under ALSO_HEADINGS, with its interval."""
    lines = []
    for name, finding in report.findings.items():
        for measure, ratio in finding.also.get(RANDOM, {}).items():
            found = ratio.mean()
            if ratio.y:
                value = f"{found.value:.3g} [{found.low:.3g}, {found.high:.3g}]"
                lines.append([name, measure, value])
    return lines


def stratum_rows(finding: Finding) -> list[list[str]]:
    """One row a source, group and stratum: cases, and the share that is broken."""
    return [
        [source, group, name, f"{int(ratio.y):,}", _percent(ratio.rate())]
        for source, groups in finding.strata.items()
        for group, members in groups.items()
        for name, ratio in members.items()
        if ratio.y
    ]


def write_report(
    reports: Sequence[Report], pictures: dict[tuple[str, str], str], command: str, path: Path
) -> None:
    """A Markdown report of several models; pictures: file names by model and property."""
    parts = ["# The rules of the game as properties", f"`{command}`"]
    for report in reports:
        parts += [
            f"## {report.model}",
            f"tau {report.tau:.2g}; {report.examples:,} random games of seed {report.seed}, and as "
            "many hunted ones. Brackets are 95 % intervals with the game as the unit.",
            markdown(HEADINGS, rows(report, 10_000)),
            markdown(ALSO_HEADINGS, also_rows(report)),
        ]
        for name, finding in report.findings.items():
            if finding.missing is not None:
                continue
            parts += [f"### {report.model}: {name}", finding.prop.sentence, finding.prop.source]
            if (report.model, name) in pictures:
                parts.append(f"![{name}]({pictures[report.model, name]})")
            headings = ("games", "by", "stratum", "cases", "broken %")
            parts.append(markdown(headings, stratum_rows(finding)))
    with whole_file(path) as partial:
        partial.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def draw(finding: Finding, subject: Subject, model: str, path: Path) -> bool:
    """Draw the smallest counterexample; False where there is none, or nothing to draw."""
    from comparison.reporting import figures

    if finding.smallest is None:
        return False
    case, square = finding.smallest.case, finding.smallest.square
    panels = finding.prop.answers(subject, case.to(subject.device), square)
    if panels:
        where = f" (at {finding.square})" if finding.square else ""
        caption = f"{model} breaks {finding.prop.name}{where} after {finding.smallest.plies} moves"
        figures.answers(panels, caption, path)
    return bool(panels)
