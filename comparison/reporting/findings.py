"""Findings, what was published beside what each model shows: a table, and a picture each."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import nan
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from comparison.findings.definition import Finding, Found, Grid, Lines, Measure, Value
from extracted_rules.benches.intervals import interval
from extracted_rules.drawing.pictures import (
    DIVERGING,
    MODEL_COLOURS,
    legend_below,
    panels,
    plain,
    save,
)
from extracted_rules.drawing.tables import Table

#: What stands where a measure does not apply.
ABSENT = "–"
#: Where a map has no value.
NOTHING = "0.85"

#: What findings came to: by model, then by the finding's name.
ByModel = Mapping[str, Mapping[str, Found]]


def table(title: str, findings: Sequence[Finding], found: ByModel) -> Table:
    """One row a measure. A cell is the value with its 95 % interval, and in parentheses the
    control's value."""
    rows = [
        [
            finding.name if number == 0 else "",
            f"{measure.name}, %" if measure.percent else measure.name,
            measure.control,
            measure.published,
            *(_cell(of[finding.name].values.get(measure.name), measure) for of in found.values()),
        ]
        for finding in findings
        for number, measure in enumerate(finding.measures)
    ]
    return Table(title, ("finding", "measure", "control"), ("published", *found), rows)


def notes(findings: Sequence[Finding], found: ByModel) -> list[str]:
    """A line for everything that is to be said of a finding in a model."""
    return [
        f"{finding.name}, {model}: {of[finding.name].note}"
        for finding in findings
        for model, of in found.items()
        if of[finding.name].note
    ]


def _cell(value: Value | None, measure: Measure) -> str:
    """As in ``"0.761 [0.758, 0.764] (0.516)"``; without an interval where there is none."""
    if value is None:
        return ABSENT
    estimate, control = value.estimate, value.control
    if estimate.low == estimate.high:
        estimate = replace(estimate, low=nan)
    scale = 100 if measure.percent else 1
    shown = interval(estimate, scale, measure.digits) or ABSENT
    if control is None:
        return shown
    beside = interval(replace(control, low=nan), scale, measure.digits) or ABSENT
    return f"{shown} ({beside})"


def draw(finding: Finding, found: ByModel, path: Path) -> bool:
    """What a finding came to, a panel a model; False where there is nothing to draw. Raises
    OSError."""
    pictures = {model: of[finding.name].picture for model, of in found.items()}
    shown = {model: picture for model, picture in pictures.items() if picture is not None}
    if not shown:
        return False
    first = next(iter(shown.values()))
    wide = 5.2 if isinstance(first, Grid) else 4.6
    figure, drawn = panels(1, len(shown), (wide * len(shown), 3.9), sharey=True)
    image = None
    for axes, (model, picture) in zip(drawn[0], shown.items(), strict=True):
        axes.set_title(plain(model), fontsize=10)
        if isinstance(picture, Grid):
            image = _grid(axes, picture)
        else:
            _lines(axes, picture)
    drawn[0, 0].set_ylabel(first.up)
    if image is not None and isinstance(first, Grid):
        figure.colorbar(image, ax=drawn[0].tolist(), label=first.label, pad=0.01)
    else:
        legend_below(figure, drawn[0])
    figure.suptitle(finding.sentence, fontsize=10)
    save(figure, path)
    return True


def _grid(axes: Axes, grid: Grid) -> AxesImage:
    values = np.array(grid.rows)
    height, width = values.shape
    first = grid.first_column - 0.5
    axes.set_facecolor(NOTHING)
    axes.set_xlabel(grid.across)
    axes.set_yticks(range(height))
    return axes.imshow(
        np.ma.masked_invalid(values), aspect="auto", origin="lower",
        cmap=DIVERGING if grid.diverging else "viridis", vmin=grid.low, vmax=grid.high,
        extent=(first, first + width, -0.5, height - 0.5),
    )  # fmt: skip


def _lines(axes: Axes, picture: Lines) -> None:
    for line, colour in zip(picture.lines, MODEL_COLOURS, strict=False):
        style = "--" if line.control else "-"
        axes.plot(line.x, line.y, style, color=colour, lw=1.4, marker=".", ms=4, label=line.name)
        if line.low:
            axes.fill_between(line.x, line.low, line.high, color=colour, alpha=0.15, lw=0)
    axes.set_xlabel(picture.across)
    if picture.logarithmic:
        # What is nothing at all has a place on the axis, too.
        axes.set_yscale("symlog", linthresh=1e-6)
    axes.grid(alpha=0.25)
