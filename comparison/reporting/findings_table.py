"""Findings as a table: what was published beside what each model shows."""

from collections.abc import Mapping, Sequence
from math import isnan

from comparison.findings.definition import Finding, Found, Measure, Value
from comparison.scoring.intervals import Estimate

#: What stands where a measure does not apply.
ABSENT = "–"


def headings(models: Sequence[str]) -> tuple[list[str], list[str]]:
    """(what stands over the words of :func:`rows`, what stands over its figures)."""
    return ["finding", "measure", "control"], ["published", *models]


def rows(findings: Sequence[Finding], found: Mapping[str, Mapping[str, Found]]) -> list[list[str]]:
    """One row a measure under :func:`headings`. found: by model, then by finding's name.

    A cell is the value with its 95 % interval, and in parentheses the control's value.
    """
    table = []
    for finding in findings:
        for number, measure in enumerate(finding.measures):
            cells = [
                cell(of[finding.name].values.get(measure.name), measure) for of in found.values()
            ]
            name = f"{measure.name}, %" if measure.percent else measure.name
            first = finding.name if number == 0 else ""
            table.append([first, name, measure.control, measure.published, *cells])
    return table


def notes(findings: Sequence[Finding], found: Mapping[str, Mapping[str, Found]]) -> list[str]:
    """A line for everything that is to be said of a finding in a model."""
    return [
        f"{finding.name}, {model}: {of[finding.name].note}"
        for finding in findings
        for model, of in found.items()
        if of[finding.name].note
    ]


def cell(value: Value | None, measure: Measure) -> str:
    """As in ``"0.761 [0.758, 0.764] (0.516)"``; without an interval where there is none."""
    if value is None:
        return ABSENT
    control = value.control
    shown = _number(value.estimate, measure)
    return shown if control is None else f"{shown} ({_plain(control.value, measure)})"


def _number(estimate: Estimate, measure: Measure) -> str:
    low, high, value = (_plain(x, measure) for x in (estimate.low, estimate.high, estimate.value))
    if isnan(estimate.low) or estimate.low == estimate.high:
        return value
    return f"{value} [{low}, {high}]"


def _plain(x: float, measure: Measure) -> str:
    return ABSENT if isnan(x) else f"{(100 if measure.percent else 1) * x:,.{measure.digits}f}"
