"""Pictures with matplotlib's objects alone: no pyplot and no backend, so that nothing that the
caller has set is changed."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from extracted_rules.files import whole_file

#: Colour-blind safe (Okabe and Ito), in the order in which models are named.
MODEL_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
#: From red (below zero) through white to blue.
DIVERGING = "RdBu"

Panels = npt.NDArray[np.object_]


def panels(rows: int, columns: int, size: tuple[float, float], **how: Any) -> tuple[Figure, Panels]:
    """A figure of so many inches and its axes, an array [rows, columns]."""
    figure = Figure(figsize=size, layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **how)


def panel(size: tuple[float, float]) -> tuple[Figure, Axes]:
    """A figure of so many inches, and its only axes."""
    figure, axes = panels(1, 1, size)
    return figure, axes[0, 0]


def legend_below(figure: Figure, within: Iterable[Axes]) -> None:
    """One legend for all panels, each label once."""
    handles = {
        label: handle
        for axes in within
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(), handles.keys(), loc="outside lower center", ncols=4, frameon=False,
        fontsize=9,
    )  # fmt: skip


def colour_bar(figure: Figure, within: Panels, limit: float, label: str, **how: Any) -> None:
    """The scale of DIVERGING from -limit to limit, beside some panels."""
    mappable = ScalarMappable(Normalize(-limit, limit), colormaps[DIVERGING])
    figure.colorbar(mappable, ax=within.flatten().tolist(), label=label, pad=0.01, **how)


def save(figure: Figure, path: Path, **how: Any) -> None:
    """Write a picture, whole or not at all. Raises OSError."""
    with whole_file(path) as partial:
        figure.savefig(partial, **{"dpi": 150, "bbox_inches": "tight", **how})


def plain(name: str) -> str:
    """A model's name as text: no mathematics between dollars, no label hidden by an underscore."""
    return "\u200b" + name.replace("$", r"\$")
