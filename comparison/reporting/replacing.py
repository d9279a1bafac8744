"""The replacement test as tables and as a picture."""

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Protocol

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from comparison.reporting.figures import MODEL_COLOURS, save_figure
from comparison.scoring.intervals import Estimate

#: What stands in for a part, as headings and legends name it.
STAND_INS = {
    "own": "rules, own board",
    "true": "rules, true board",
    "linear": "linear map",
    "control": "others' rules",
}
#: What is lost and comes back: cross-entropy above its floor, or top-1 accuracy.
MEASURES = {"excess": "excess CE, nats", "illegal": "illegal %"}


class Row(Protocol):
    """What is known of a set of parts: :class:`comparison.replacing.replacement.Replaced`."""

    @property
    def name(self) -> str: ...
    @property
    def family(self) -> str: ...
    @property
    def layer(self) -> int: ...
    @property
    def excess(self) -> Mapping[str, Estimate]: ...
    @property
    def illegal(self) -> Mapping[str, Estimate]: ...
    @property
    def ce_back(self) -> Mapping[str, Estimate | None]: ...
    @property
    def top1_back(self) -> Mapping[str, Estimate | None]: ...


class Lost(Protocol):
    """What is lost without rules' neurons: :class:`comparison.replacing.necessity.Necessity`."""

    @property
    def layers(self) -> str: ...
    @property
    def patterns(self) -> int: ...
    @property
    def neurons(self) -> float: ...
    @property
    def excess(self) -> Mapping[str, Estimate]: ...
    @property
    def illegal(self) -> Mapping[str, Estimate]: ...
    @property
    def square(self) -> Estimate: ...
    @property
    def times(self) -> float: ...


def _cell(estimate: Estimate | None, scale: float, digits: int) -> str:
    if estimate is None:
        return "nothing lost"
    value, low, high = (scale * x for x in (estimate.value, estimate.low, estimate.high))
    return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"


def replacement_headings(measure: str) -> tuple[str, ...]:
    """The headings of :func:`replacement_rows` behind the first."""
    name = MEASURES[measure]
    return (f"with the mean: {name}", *(f"back %: {name}" for name in STAND_INS.values()))


def replacement_rows(found: Sequence[Row], measure: str) -> list[list[str]]:
    """One row for the whole model and one a set of parts, by one of the MEASURES: what the mean
    makes of it, and what shares of that loss come back, with 95 % intervals."""
    scale, digits = (1, 3) if measure == "excess" else (100, 2)

    def of_mean(row: Row, how: str) -> str:
        return _cell((row.excess if measure == "excess" else row.illegal)[how], scale, digits)

    rows = [["nothing", of_mean(found[0], "nothing"), *[""] * len(STAND_INS)]]
    for row in found:
        back = row.ce_back if measure == "excess" else row.top1_back
        shares = [_cell(back[how], 100, 0) for how in STAND_INS]
        rows.append([row.name, of_mean(row, "mean"), *shares])
    return rows


NECESSITY_HEADINGS = (
    "patterns", "neurons", "CE lost, it applies", "CE lost, elsewhere", "times",
    "illegal % more", "elsewhere", "its square falls",
)  # fmt: skip


def necessity_rows(found: Sequence[Lost]) -> list[list[str]]:
    """One row a group of layers under NECESSITY_HEADINGS, with 95 % intervals."""
    return [
        [
            lost.layers,
            str(lost.patterns),
            f"{lost.neurons:.1f}",
            *(_cell(e, 1, 4) for e in lost.excess.values()),
            f"{lost.times:.1f}" if isfinite(lost.times) else "",
            *(_cell(e, 100, 2) for e in lost.illegal.values()),
            _cell(lost.square, 1, 2),
        ]
        for lost in found
    ]


def draw_replacement(found: Sequence[Row], title: str, path: Path) -> None:
    """The share of lost cross-entropy that comes back, by layer, a panel a kind of set; below, what
    the mean loses. Where it loses next to nothing, nothing is drawn."""
    families = list(dict.fromkeys(row.family for row in found))
    figure, panels = plt.subplots(
        2, len(families), figsize=(3.1 * len(families), 5.4), sharex=True, sharey="row",
        squeeze=False, height_ratios=(3, 1), layout="constrained",
    )  # fmt: skip
    for column, family in enumerate(families):
        rows = [row for row in found if row.family == family]
        above, below = panels[:, column]
        _shares(above, rows)
        lost = [row.excess["mean"].value - row.excess["nothing"].value for row in rows]
        below.bar([row.layer for row in rows], [max(x, 1e-3) for x in lost], color="0.6", width=0.7)
        below.set(yscale="log", xlabel="layer", xticks=[row.layer for row in rows])
        above.set_title(family, fontsize=10)
    panels[0, 0].set_ylabel("share of lost cross-entropy\nthat comes back")
    panels[1, 0].set_ylabel("lost by the\nmean, nats")
    handles, labels = panels[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    figure.suptitle(title, fontsize=11)
    save_figure(figure, path)


def _shares(axes: Axes, rows: Sequence[Row]) -> None:
    shift = {how: 0.2 * (number - 1.5) for number, how in enumerate(STAND_INS)}
    for (how, name), colour in zip(STAND_INS.items(), MODEL_COLOURS, strict=False):
        known = [(row.layer, e) for row in rows if (e := row.ce_back[how]) is not None]
        x = [layer + shift[how] for layer, _ in known]
        y = [e.value for _, e in known]
        spread = [[e.value - e.low for _, e in known], [e.high - e.value for _, e in known]]
        axes.errorbar(x, y, yerr=spread, fmt="o", ms=4, lw=1.2, color=colour, label=name)
    axes.axhline(0, color="0.5", lw=0.8)
    axes.axhline(1, color="0.5", lw=0.8, ls=":")
    axes.set_ylim(-0.5, 1.7)  # more than all comes back where a true board mends mistakes
    axes.grid(alpha=0.25, axis="y")
