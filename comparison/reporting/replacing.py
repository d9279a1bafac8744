"""The replacement test as tables and as a picture."""

from collections.abc import Sequence
from math import isfinite
from pathlib import Path

from matplotlib.axes import Axes

from comparison.replacing.necessity import Necessity
from comparison.replacing.replacement import Replaced
from extracted_rules.benches.intervals import Estimate, interval
from extracted_rules.drawing.pictures import MODEL_COLOURS, legend_below, panels, save
from extracted_rules.drawing.tables import Table

#: What stands in for a part, as headings and legends name it.
STAND_INS = {
    "own": "rules, own board",
    "true": "rules, true board",
    "linear": "linear map",
    "control": "others' rules",
    "transcript": "transcript",
    "dealt": "names of other squares",
}
#: What is lost and comes back: cross-entropy above its floor, or top-1 accuracy.
MEASURES = {"excess": "excess CE, nats", "illegal": "illegal %"}


def _back(estimate: Estimate | None) -> str:
    return "nothing lost" if estimate is None else interval(estimate, 100, 0)


def tables(found: Sequence[Replaced], lost: Sequence[Necessity]) -> list[Table]:
    """All there are."""
    made = [replacement_table(name, found, measure) for measure, name in MEASURES.items()]
    return made + ([necessity_table(lost)] if lost else [])


def _stand_ins(found: Sequence[Replaced]) -> dict[str, str]:
    """Those that were measured."""
    return {how: name for how, name in STAND_INS.items() if how in found[0].ce_back}


def replacement_table(title: str, found: Sequence[Replaced], measure: str) -> Table:
    """One row for the whole model and one a set of parts, by one of the MEASURES: what the mean
    makes of it, and what shares of that loss come back, with 95 % intervals."""
    excess, name = measure == "excess", MEASURES[measure]
    scale, digits = (1, 3) if excess else (100, 2)

    def of_mean(row: Replaced, how: str) -> str:
        return interval((row.excess if excess else row.illegal)[how], scale, digits)

    stand_ins = _stand_ins(found)
    rows = [["nothing", of_mean(found[0], "nothing"), *[""] * len(stand_ins)]]
    for row in found:
        back = row.ce_back if excess else row.top1_back
        rows.append([row.name, of_mean(row, "mean"), *(_back(back[how]) for how in stand_ins)])
    headings = (f"with the mean: {name}", *(f"back %: {name}" for name in stand_ins.values()))
    return Table(title, ("replaced",), headings, rows)


def necessity_table(found: Sequence[Necessity]) -> Table:
    """One row a group of layers, with 95 % intervals."""
    rows = [
        [
            lost.layers,
            str(lost.patterns),
            f"{lost.neurons:.1f}",
            *(interval(e, 1, 4) for e in lost.excess.values()),
            f"{lost.times:.1f}" if isfinite(lost.times) else "",
            *(interval(e, 100, 2) for e in lost.illegal.values()),
            interval(lost.square, 1, 2),
        ]
        for lost in found
    ]
    headings = (
        "patterns", "neurons", "CE lost, it applies", "CE lost, elsewhere", "times",
        "illegal % more", "elsewhere", "its square falls",
    )  # fmt: skip
    title = "A pattern's neurons taken out, one pattern at a time"
    return Table(title, ("layers",), headings, rows)


def draw_replacement(found: Sequence[Replaced], title: str, path: Path) -> None:
    """The share of lost cross-entropy that comes back, by layer, a panel a kind of set; below, what
    the mean loses. Where it loses next to nothing, nothing is drawn."""
    families = list(dict.fromkeys(row.family for row in found))
    figure, drawn = panels(
        2, len(families), (3.1 * len(families), 5.4), sharex=True, sharey="row",
        height_ratios=(3, 1),
    )  # fmt: skip
    for family, above, below in zip(families, *drawn, strict=True):
        rows = [row for row in found if row.family == family]
        _shares(above, rows)
        lost = [row.excess["mean"].value - row.excess["nothing"].value for row in rows]
        below.bar([row.layer for row in rows], [max(x, 1e-3) for x in lost], color="0.6", width=0.7)
        below.set(yscale="log", xlabel="layer", xticks=[row.layer for row in rows])
        above.set_title(family, fontsize=10)
    drawn[0, 0].set_ylabel("share of lost cross-entropy\nthat comes back")
    drawn[1, 0].set_ylabel("lost by the\nmean, nats")
    legend_below(figure, drawn[0, :1])
    figure.suptitle(title, fontsize=11)
    save(figure, path)


def _shares(axes: Axes, rows: Sequence[Replaced]) -> None:
    stand_ins = _stand_ins(rows)
    middle = (len(stand_ins) - 1) / 2
    shift = {how: 0.14 * (number - middle) for number, how in enumerate(stand_ins)}
    for (how, name), colour in zip(stand_ins.items(), MODEL_COLOURS, strict=False):
        known = [(row.layer, e) for row in rows if (e := row.ce_back[how]) is not None]
        x = [layer + shift[how] for layer, _ in known]
        y = [e.value for _, e in known]
        spread = [[e.value - e.low for _, e in known], [e.high - e.value for _, e in known]]
        axes.errorbar(x, y, yerr=spread, fmt="o", ms=4, lw=1.2, color=colour, label=name)
    axes.axhline(0, color="0.5", lw=0.8)
    axes.axhline(1, color="0.5", lw=0.8, ls=":")
    axes.set_ylim(-0.5, 1.7)  # more than all comes back where a true board mends mistakes
    axes.grid(alpha=0.25, axis="y")
