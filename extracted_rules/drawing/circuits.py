"""What heads and whole layers do, as tables and as a picture, from catalogues."""

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from matplotlib.axes import Axes

from extracted_rules.catalogue import ROLES, Catalogue, Kernel
from extracted_rules.discovery.heads import EVENTS, WHERE
from extracted_rules.drawing.pictures import MODEL_COLOURS, legend_below, panels, plain, save
from extracted_rules.drawing.tables import Table

LAYER_HEADINGS = (
    "claims r2", "claims: control", "claim by length",
    "MLP to logits r2", "MLP: control", "MLP: promoted %", "MLP: a pattern adds",
    "attention to logits r2", "attention: control", "attention: promoted %",
    "attention: a pattern adds",
)  # fmt: skip
#: Lags of a kernel that are drawn.
DRAWN = 24
#: Lags of a kernel that a table has: those of the other side's positions.
LISTED = range(1, 10, 2)


def head_table(known: Catalogue) -> Table:
    """One row a layer: how many heads have each role, and their figures."""
    rows = []
    for layer in sorted({head.layer for head in known.heads}):
        heads = [head for head in known.heads if head.layer == layer]
        counts = [str(sum(head.role == role for head in heads)) for role in ROLES]
        sides = " ".join(f"{head.figures['even less odd']:+.2f}" for head in heads)
        spread = max(head.figures["variance across games"] for head in heads)
        rows.append([str(layer), *counts, sides, f"{spread:.4f}"])
    headings = (*ROLES, "even less odd, by head", "most variance across games")
    return Table(f"{known.header.model}: heads by what they look at", ("layer",), headings, rows)


def layer_table(known: Catalogue) -> Table:
    """One row a layer; r2 on games that slopes were not found on."""
    rows = []
    for layer in sorted({found.layer for found in known.layers}):
        found = {f.what: f for f in known.layers if f.layer == layer}
        row = [str(layer)]
        for what in ("claims", "counts of mlp", "counts of attention"):
            if what not in found:
                row += [""] * (3 if what == "claims" else 4)
                continue
            of = found[what]
            row += [f"{of.figures['r2']:.3f}", f"{of.control['r2']:.3f}"]
            if what == "claims":
                row.append(" ".join(f"{x:+.2f}" for x in of.tables["by length"]))
            else:
                promoted, adds = of.figures.get("promoted"), of.figures.get("mean slope")
                row.append("" if promoted is None else f"{100 * promoted:.0f}")
                row.append("" if adds is None else f"{adds:.2f}")
        rows.append(row)
    title = f"{known.header.model}: what brackets and patterns explain of layers' writes"
    return Table(title, ("layer",), LAYER_HEADINGS, rows)


def kernel_table(known: Catalogue) -> Table:
    """One row a layer and event, on inner squares: what it adds to "mine less theirs"."""
    rows = [
        [str(kernel.layer), kernel.event, *(f"{of_lag[lag]:.2f}" for lag in LISTED)]
        for kernel in known.kernels
        if kernel.event in EVENTS and kernel.where == "inner"
        for of_lag in [defaultdict(float, zip(kernel.lags, kernel.by_lag, strict=True))]
    ]
    headings = [f"{lag} plies ago" if lag > 1 else "last ply" for lag in LISTED]
    return Table(f"{known.header.model}: lag kernels", ("layer", "event"), headings, rows)


def draw_kernels(catalogues: Sequence[Catalogue], path: Path) -> None:
    """Lag kernels, a row an event and a column a layer: what it adds to "mine less theirs" in each
    model; inner squares as lines, the rim dashed, dots for the control."""
    layers = sorted({kernel.layer for known in catalogues for kernel in known.kernels})
    size = (2.3 * len(layers) + 1, 1.9 * len(EVENTS) + 0.8)
    figure, drawn = panels(len(EVENTS), len(layers), size, sharex=True, sharey="row")
    for known, colour in zip(catalogues, MODEL_COLOURS * 3, strict=False):
        for kernel in known.kernels:
            if kernel.event in EVENTS and kernel.where in WHERE:
                axes = drawn[EVENTS.index(kernel.event), layers.index(kernel.layer)]
                _curve(axes, kernel, colour, plain(known.header.model))
    for row, event in zip(drawn, EVENTS, strict=True):
        row[0].set_ylabel(event)
        for axes in row:
            axes.axhline(0, color="0.6", lw=0.6)
    for layer, above, below in zip(layers, drawn[0], drawn[-1], strict=True):
        above.set_title(f"layer {layer}", fontsize=10)
        below.set_xlabel("plies ago")
    legend_below(figure, drawn.flatten())
    figure.suptitle("What an event so many plies ago adds to a square's mine less theirs")
    save(figure, path)


def _curve(axes: Axes, kernel: Kernel, colour: str, model: str) -> None:
    lags = [lag for lag in kernel.lags if lag < DRAWN]
    style = "--" if kernel.where == "rim" else "-"
    name = f"{model}, {kernel.where}"
    axes.plot(lags, kernel.by_lag[: len(lags)], style, color=colour, lw=1.2, label=name)
    if kernel.control and kernel.where != "rim":
        name = f"{model}, control"
        axes.plot(lags, kernel.control[: len(lags)], ".", ms=2, color=colour, alpha=0.5, label=name)
