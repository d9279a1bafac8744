"""Figures of what was measured: rates with intervals, overlaps of error sets, training."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from math import inf
from pathlib import Path

import torch

from comparison.scoring.bench import Result
from comparison.scoring.error_sets import Overlap
from comparison.scoring.records import KINDS
from extracted_rules.benches.intervals import Estimate
from extracted_rules.drawing.curves import Curve
from extracted_rules.drawing.pictures import (
    MODEL_COLOURS,
    legend_below,
    panel,
    panels,
    plain,
    save,
)


def error_by_ply(results: Sequence[Result], path: Path) -> None:
    """Top-1 illegal rate by the ply to predict, one line a model, 95 % intervals as bands.

    A rate of zero, which has no place on a logarithmic axis, is a hollow dot on a line of its own;
    instead of a band, one dashed line says what it may be at most.
    """
    figure, axes = panel((9, 4.8))
    floor = min(1e-4, 0.5 / results[0].games)  # no rate of a ply but zero lies below it
    zero = floor / 2
    at_most, last = 0.0, 1
    for result, colour in zip(results, MODEL_COLOURS * 3, strict=False):
        by_ply = {int(ply): m for ply, m in result.strata["ply"].items() if m.positions}
        plies, rates = list(by_ply), [m.illegal.rate() for m in by_ply.values()]
        some = [rate.value > 0 for rate in rates]
        axes.plot(
            plies, [rate.value or zero for rate in rates], color=colour, lw=1.4,
            marker=".", markevery=some, label=plain(result.model),
        )  # fmt: skip
        none = [ply for ply, there in zip(plies, some, strict=True) if not there]
        axes.plot(none, [zero] * len(none), "o", ms=4, mfc="white", mec=colour)
        low, high = ([getattr(rate, end) for rate in rates] for end in ("low", "high"))
        axes.fill_between(
            plies, [max(x, floor) for x in low], high, where=some, color=colour, alpha=0.15, lw=0
        )
        at_most = max([at_most, *(rate.high for rate in rates if not rate.value)])
        last = max([last, *plies])
    if at_most:
        axes.axhline(at_most, color="0.4", lw=0.8, ls="--")
        words = f"none may be up to {100 * at_most:.2g} %"
        axes.text(last + 0.8, at_most, words, ha="right", va="bottom", fontsize=8, color="0.3")
    axes.axhline(floor, color="0.6", lw=0.8, ls=":")
    axes.set(yscale="log", ylim=(0.8 * zero, 1.05), xlim=(1, last + 1))
    ticks = {zero: "none", 1e-4: "0.01 %", 1e-3: "0.1 %", 1e-2: "1 %", 1e-1: "10 %", 1: "100 %"}
    axes.set_yticks(list(ticks), list(ticks.values()))
    axes.minorticks_off()
    axes.set(xlabel="ply of the move to predict", ylabel="top-1 illegal rate")
    axes.set_title(f"How often the most likely move is illegal ({results[0].games:,} games)")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    save(figure, path)


def error_overlap(
    names: Sequence[str], overlaps: dict[tuple[str, str], list[Overlap]], path: Path
) -> None:
    """Jaccard index of every two models' error sets, one matrix an error kind."""
    count, labels = len(names), [plain(name) for name in names]
    size = (1.5 * count * len(KINDS) + 2, 1.2 * count + 1.2)
    figure, drawn = panels(1, len(KINDS), size)
    for number, (axes, kind) in enumerate(zip(drawn[0], KINDS, strict=True)):
        jaccard = torch.zeros(count, count)
        for row, a in enumerate(names):
            for column, b in enumerate(names):
                text, value = "same", 0.0
                if a != b:
                    found = (overlaps.get((a, b)) or overlaps[b, a])[number]
                    text, value = f"{found.jaccard:.2f}\n({found.both} both)", found.jaccard
                    jaccard[row, column] = value if value == value else 0.0
                ink = "white" if value > 0.6 else "0.15"
                axes.text(column, row, text, ha="center", va="center", fontsize=8, color=ink)
        axes.imshow(jaccard.numpy(), cmap="Blues", vmin=0, vmax=1 / 0.9, aspect="auto")
        axes.set_title(f"errors of kind {kind!r}")
        axes.set_xticks(range(count), labels, rotation=30, ha="right", fontsize=8)
        axes.set_yticks(range(count), labels, fontsize=8)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    figure.suptitle("Overlap of error sets (Jaccard index)")
    save(figure, path)


def accuracy_by_scalars(points: Sequence[tuple[int, float, float, float]], path: Path) -> None:
    """Top-1 illegal rate, 1 - F1 and excess cross-entropy against the number of fitted numbers."""
    figure, axes = panel((6.4, 4))
    numbers = [p[0] for p in points]
    drawn = (
        # A rate of zero has no place on a logarithmic axis.
        ("top-1 illegal rate", [p[1] or float("nan") for p in points]),
        ("1 − legal-set F1", [1 - p[2] for p in points]),
        ("excess cross-entropy (nats)", [p[3] for p in points]),
    )
    for (label, values), colour in zip(drawn, MODEL_COLOURS, strict=False):
        axes.plot(numbers, values, marker="o", color=colour, label=label)
    axes.set(xscale="log", yscale="log", xlabel="fitted numbers (the first: argued by hand)")
    axes.set_title("What more numbers buy (pass-free positions)")
    axes.grid(alpha=0.25, which="both")
    axes.legend(frameon=False)
    save(figure, path)


def training_curve(curves: Sequence[Curve], path: Path) -> None:
    """Validation by games seen, both axes logarithmic; a rate of zero is a gap."""
    figure, drawn = panels(1, 2, (11, 4.2))
    left, right = drawn[0]
    for curve in curves:
        colour = "0.55"
        if curve.colour is not None:
            colour = MODEL_COLOURS[curve.colour % len(MODEL_COLOURS)]
        style = {"color": colour, "ls": "--" if curve.dashed else "-", "lw": 1.3, "marker": "."}
        percent = [100 * rate or float("nan") for rate in curve.illegal]
        left.plot(curve.games, percent, ms=4, label=plain(curve.name), **style)
        right.plot(curve.games, curve.excess, ms=4, **style)
    illegal = [rate for curve in curves for rate in curve.illegal]
    excess = [nats for curve in curves for nats in curve.excess]
    games = [number for curve in curves for number in curve.games] or [0]
    for axes, title, values in (
        (left, "top-1 illegal %", illegal),
        (right, "excess cross-entropy (nats)", excess),
    ):
        axes.set(xscale="log", xlabel="games seen", title=title)
        if any(0 < x < inf for x in values):
            axes.set(yscale="log")
        axes.xaxis.set_major_formatter("{x:,.0f}")
        if max(games) < 10 * min(games):  # there may be no whole power of ten to label
            axes.xaxis.set_minor_formatter("{x:,.0f}")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
        axes.tick_params(which="minor", labelsize=7)
        axes.grid(alpha=0.25, which="both")
    if curves:
        legend_below(figure, drawn[0])
    save(figure, path)


@dataclass(frozen=True)
class Depth:
    """Rules of one size: top-1 illegal rates, one a panel."""

    recipe: str
    board: str
    layers: int
    rates: Sequence[Estimate]


def error_by_depth(found: Sequence[Depth], titles: Sequence[str], path: Path) -> None:
    """Top-1 illegal rate by layers, one panel a title, a colour a board and a dash a recipe.

    A rate of zero, which has no place on a logarithmic axis, is a hollow triangle at the most that
    it may be.
    """
    figure, drawn = panels(1, len(titles), (5.2 * len(titles), 4.6), sharey=True)
    boards = list(dict.fromkeys(d.board for d in found))
    recipes = list(dict.fromkeys(d.recipe for d in found))
    for number, (axes, title) in enumerate(zip(drawn[0], titles, strict=True)):
        for recipe, board in product(recipes, boards):
            line = [d for d in found if (d.recipe, d.board) == (recipe, board)]
            style = {"color": MODEL_COLOURS[boards.index(board)], "lw": 1.4}
            some = [(d.layers, d.rates[number]) for d in line if d.rates[number].value]
            none = [(d.layers, d.rates[number]) for d in line if not d.rates[number].value]
            dash = ("--", "-")[recipes.index(recipe) % 2]
            axes.plot(
                [layers for layers, _ in some], [100 * rate.value for _, rate in some],
                marker="o", ms=4, ls=dash, label=f"{recipe}, {board}", **style,
            )  # fmt: skip
            for layers, rate in some:
                axes.plot([layers] * 2, [100 * rate.low, 100 * rate.high], **style | {"lw": 0.8})
            for layers, rate in none:
                axes.plot(layers, 100 * rate.high, "v", ms=6, mfc="white", **style)
        axes.axhline(0.01, color="0.4", lw=0.8, ls=":")
        axes.set(yscale="log", xlabel="layers", title=title)
        axes.set_xticks(sorted({d.layers for d in found}))
        axes.yaxis.set_major_formatter("{x:g}")
        axes.grid(alpha=0.25)
    drawn[0][0].set_ylabel("top-1 illegal %")
    legend_below(figure, drawn[0])
    save(figure, path)
