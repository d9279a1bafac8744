"""Findings drawn: one picture a finding, a panel a model."""

from collections.abc import Mapping
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage

from comparison.findings.definition import Finding, Found, Grid, Lines
from comparison.reporting.figures import DIVERGING, MODEL_COLOURS, save_figure

#: Where a map has no value.
NOTHING = "0.85"


def draw(finding: Finding, found: Mapping[str, Found], path: Path) -> bool:
    """Draw what a finding came to in each model; False where there is nothing to draw. Raises
    OSError."""
    pictures = {model: of.picture for model, of in found.items() if of.picture is not None}
    if not pictures:
        return False
    count = len(pictures)
    wide = 5.2 if isinstance(next(iter(pictures.values())), Grid) else 4.6
    figure, panels = plt.subplots(
        1, count, figsize=(wide * count, 3.9), squeeze=False, sharey=True, layout="constrained"
    )
    image = None
    for axes, (model, picture) in zip(panels[0], pictures.items(), strict=True):
        axes.set_title(model.replace("$", r"\$"), fontsize=10)
        if isinstance(picture, Grid):
            image = _grid(axes, picture)
        else:
            _lines(axes, picture)
    first = next(iter(pictures.values()))
    panels[0, 0].set_ylabel(first.up)
    if image is not None and isinstance(first, Grid):
        figure.colorbar(image, ax=panels[0].tolist(), label=first.label, pad=0.01)
    else:
        handles = {
            label: handle
            for axes in panels[0]
            for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
        }
        figure.legend(
            handles.values(), handles.keys(), loc="outside lower center", ncols=4, frameon=False,
            fontsize=9,
        )  # fmt: skip
    figure.suptitle(finding.sentence, fontsize=10)
    save_figure(figure, path)
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
