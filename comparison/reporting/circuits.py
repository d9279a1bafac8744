"""What heads and whole layers do, as tables and as a picture, from catalogues."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from comparison.reporting.figures import MODEL_COLOURS, save_figure
from extracted_rules.catalogue import ROLES, Catalogue, Kernel
from extracted_rules.discovery.heads import EVENTS, WHERE

HEAD_HEADINGS = (*ROLES, "even less odd, by head", "most variance across games")
LAYER_HEADINGS = (
    "claims r2", "control", "claim by length 1..6",
    "MLP to logits r2", "control", "promoted %",
    "attention to logits r2", "control", "promoted %",
)  # fmt: skip
#: Lags of a kernel that are drawn.
DRAWN = 24


def head_rows(known: Catalogue) -> list[list[str]]:
    """One row a layer under HEAD_HEADINGS: how many heads have each role, and their figures."""
    rows = []
    for layer in sorted({head.layer for head in known.heads}):
        heads = [head for head in known.heads if head.layer == layer]
        counts = [str(sum(head.role == role for head in heads)) for role in ROLES]
        sides = " ".join(f"{head.figures['even less odd']:+.2f}" for head in heads)
        spread = max(head.figures["variance across games"] for head in heads)
        rows.append([str(layer), *counts, sides, f"{spread:.4f}"])
    return rows


def layer_rows(known: Catalogue) -> list[list[str]]:
    """One row a layer under LAYER_HEADINGS; r2 on games that slopes were not found on."""
    rows = []
    for layer in sorted({found.layer for found in known.layers}):
        found = {f.what: f for f in known.layers if f.layer == layer}
        row = [str(layer)]
        for what in ("claims", "counts of mlp", "counts of attention"):
            if what not in found:
                row += [""] * 3
                continue
            of = found[what]
            row += [f"{of.figures['r2']:.3f}", f"{of.control['r2']:.3f}"]
            if what == "claims":
                row.append(" ".join(f"{x:+.2f}" for x in of.tables["by length"]))
            else:
                promoted = of.figures.get("promoted")
                row.append("" if promoted is None else f"{100 * promoted:.0f}")
        rows.append(row)
    return rows


def draw_kernels(catalogues: Sequence[Catalogue], path: Path) -> None:
    """Lag kernels, a row an event and a column a layer: what it adds to "mine less theirs" in each
    model; inner squares as lines, the rim dashed, dots for the control."""
    layers = sorted({kernel.layer for known in catalogues for kernel in known.kernels})
    figure, panels = plt.subplots(
        len(EVENTS), len(layers), figsize=(2.3 * len(layers) + 1, 1.9 * len(EVENTS) + 0.8),
        squeeze=False, sharex=True, sharey="row", layout="constrained",
    )  # fmt: skip
    for known, colour in zip(catalogues, MODEL_COLOURS * 3, strict=False):
        for kernel in known.kernels:
            if kernel.event in EVENTS and kernel.where in WHERE:
                axes = panels[EVENTS.index(kernel.event), layers.index(kernel.layer)]
                _curve(axes, kernel, colour, known.header.model)
    for row, event in enumerate(EVENTS):
        panels[row, 0].set_ylabel(event)
        for column, layer in enumerate(layers):
            panels[row, column].axhline(0, color="0.6", lw=0.6)
            if row == 0:
                panels[row, column].set_title(f"layer {layer}", fontsize=10)
            if row == len(EVENTS) - 1:
                panels[row, column].set_xlabel("plies ago")
    lines = {line.get_label(): line for axes in panels.flatten() for line in axes.get_lines()}
    named = {name: line for name, line in lines.items() if not str(name).startswith("_")}
    figure.legend(
        list(named.values()), [str(name) for name in named],
        loc="outside lower center", ncols=4, frameon=False, fontsize=9,
    )  # fmt: skip
    figure.suptitle("What an event so many plies ago adds to a square's mine less theirs")
    save_figure(figure, path)


def _curve(axes: Axes, kernel: Kernel, colour: str, model: str) -> None:
    drawn = [(n, v) for n, v in zip(kernel.lags, kernel.by_lag, strict=True) if n < DRAWN]
    style = "--" if kernel.where == "rim" else "-"
    name = f"{model}, {kernel.where}"
    axes.plot([n for n, _ in drawn], [v for _, v in drawn], style, color=colour, lw=1.2, label=name)
    if kernel.control and kernel.where != "rim":
        axes.plot(
            [n for n, _ in drawn], kernel.control[: len(drawn)], ".", ms=2, color=colour, alpha=0.5,
            label=f"{model}, control",
        )  # fmt: skip
