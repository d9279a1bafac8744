"""Pictures of error sets: who errs together, how near to errors, where boards part, weak rules."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

from comparison.errors.analysis import Analysis
from comparison.errors.layers import WrongDiscs
from comparison.reporting.error_report import BOARDS, MARGINS, RULES, TOGETHER
from comparison.scoring.matched import Pair
from comparison.scoring.records import ALL_KINDS, Records
from extracted_rules.catalogue.failures import LEAST_CASES, RuleErrors
from extracted_rules.drawing.pictures import MODEL_COLOURS, legend_below, panel, panels, plain, save

KIND_WORDS = {
    "top-1": "illegal move on top",
    "set": "wrong legal set",
    "near": "largest margins (1 %)",
}


def together(pairs: Sequence[Pair], path: Path) -> None:
    """Matched odds ratios of each model's erring where another does, with intervals; hollow: the
    control. One panel a kind of error, rows the same in each."""
    rows = list(dict.fromkeys((pair.a, pair.b) for pair in pairs))
    figure, drawn = panels(1, len(ALL_KINDS), (11, 1.6 + 0.34 * len(rows)), sharey=True)
    for axes, kind in zip(drawn[0], ALL_KINDS, strict=True):
        for row, names in enumerate(rows):
            table = next(p for p in pairs if (p.a, p.b) == names and p.kind == kind).strata["all"]
            colour = MODEL_COLOURS[row % len(MODEL_COLOURS)]
            for estimate, shift, style in (
                (table.matched, 0.0, {"marker": "o", "color": colour}),
                (table.control, 0.25, {"marker": "o", "color": "0.6", "mfc": "white"}),
            ):
                if estimate.low > 0:  # which a logarithmic axis can show
                    spread = [[estimate.value - estimate.low], [estimate.high - estimate.value]]
                    axes.errorbar(
                        estimate.value, row + shift, xerr=spread, ms=5, lw=1.4, capsize=2, **style
                    )
                elif not shift:
                    axes.text(1.1, row, f"too few: {table.both} both", va="center", fontsize=8)
        axes.axvline(1, color="0.4", lw=0.8, ls=":")
        axes.set(xscale="log", title=KIND_WORDS[kind], xlabel="matched odds ratio")
        axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axes.xaxis.set_major_formatter(lambda ratio, _: f"{ratio:g}")
        axes.xaxis.set_minor_formatter(NullFormatter())
        axes.grid(alpha=0.25, axis="x")
    labels = [f"{plain(b)}, where {plain(a)} errs" for a, b in rows]
    drawn[0, 0].set_yticks(range(len(rows)), labels)
    drawn[0, 0].set_ylim(len(rows) - 0.4, -0.6)
    figure.suptitle("Do they err together? Hollow: the permutation null")
    save(figure, path)


def margins(records: Records, path: Path) -> None:
    """The share of positions whose margin lies above a value: at 0 the top move is illegal."""
    figure, axes = panel((8, 4.4))
    n = len(records.positions)
    for answers, colour in zip(records.answers, MODEL_COLOURS * 3, strict=False):
        margin = np.sort(answers.columns.margin)[::-1]
        share = np.arange(1, n + 1) / n
        # Ten thousand points draw the same line as a million.
        step = np.unique(np.geomspace(1, n, 10_000).astype(int)) - 1
        label = plain(answers.model)
        axes.step(margin[step], share[step], where="post", color=colour, lw=1.4, label=label)
    axes.axvline(0, color="0.4", lw=0.8, ls=":")
    axes.set(yscale="log", xlim=(-12, 5), ylim=(0.5 / n, 1.2), ylabel="share of positions above")
    axes.set_xlabel("margin: log p of the likeliest illegal move less that of the likeliest legal")
    axes.set_title("How near to an illegal move; right of 0 it is the likeliest")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False)
    save(figure, path)


def boards(found: Sequence[WrongDiscs], path: Path) -> None:
    """The share of discs decoded wrongly by layer, where a model makes illegal moves likeliest and
    elsewhere; one panel a model whose board is read, one row a model whose errors they are."""
    shown = [wrong for wrong in found if wrong.kind == "top-1"]
    readers, errs = (list(dict.fromkeys(getattr(w, x) for w in shown)) for x in ("reader", "errs"))
    size = (3 * len(readers) + 0.6, 3 * len(errs) + 0.5)
    figure, drawn = panels(len(errs), len(readers), size, sharey=True)
    for wrong in shown:
        axes = drawn[errs.index(wrong.errs), readers.index(wrong.reader)]
        _by_layer(axes, wrong)
        axes.set_title(f"board of {plain(wrong.reader)}", fontsize=10)
    for row, name in zip(drawn, errs, strict=True):
        row[0].set_ylabel(f"discs wrong %, errors of {plain(name)}")
        row[0].set_ylim(bottom=0)
    legend_below(figure, drawn[0, :1])
    save(figure, path)


def _by_layer(axes: Axes, wrong: WrongDiscs) -> None:
    drawn = (
        ("errs", "an illegal move is likeliest", MODEL_COLOURS[1]),
        ("matched", "matched positions", MODEL_COLOURS[0]),
        ("all", "all positions", "0.5"),
    )
    for group, label, colour in drawn:
        shares = wrong.shares[group]
        layers = range(len(shares))
        value, low, high = ([100 * getattr(e, x) for e in shares] for x in ("value", "low", "high"))
        axes.plot(layers, value, marker=".", color=colour, lw=1.3, label=label)
        axes.fill_between(layers, low, high, color=colour, alpha=0.15, lw=0)
    axes.set(xlabel="layer", xticks=list(layers))
    axes.grid(alpha=0.25)


def weak_rules(rules: RuleErrors, path: Path) -> None:
    """Each pattern's best F1 against how often squares that need it are left out, and squares that
    it nearly makes legal are taken; colours are lengths."""
    figure, drawn = panels(1, 2, (10.5, 4.4))
    # A pattern is named by its start, direction and length.
    length, best = np.array([int(n[-1]) for n in rules.patterns]), rules.by_pattern["best F1"]
    shown = (
        (drawn[0, 0], "needed", "left_out", "legal squares that need it, left out %"),
        (drawn[0, 1], "tempting", "taken", "illegal squares it nearly makes legal, taken %"),
    )
    for axes, cases, wrong, label in shown:
        known = rules.by_pattern[cases] >= LEAST_CASES
        rate = 100 * rules.by_pattern[wrong][known] / rules.by_pattern[cases][known]
        dots = axes.scatter(
            best[known], rate, c=length[known], s=10, cmap="viridis", alpha=0.7, vmin=1, vmax=6
        )
        axes.set(xlabel="F1 of the best neuron (0: none names the pattern)", ylabel=label)
        axes.set_yscale("symlog", linthresh=1)
        axes.yaxis.set_major_formatter(lambda percent, _: f"{percent:g}")
        axes.grid(alpha=0.25)
    figure.colorbar(dots, ax=drawn[0].tolist(), label="discs in the run", pad=0.01)
    figure.suptitle(
        f"{plain(rules.model)}: {len(rules.patterns)} patterns, their rules and its errors"
    )
    save(figure, path)


def draw(analysis: Analysis, folder: Path) -> None:
    """All pictures there is something for, under the names that the report gives them."""
    margins(analysis.records, folder / MARGINS)
    if analysis.pairs:
        together(analysis.pairs, folder / TOGETHER)
    if analysis.wrong_discs:
        boards(analysis.wrong_discs, folder / BOARDS)
    for number, rules in enumerate(analysis.rules, start=1):
        weak_rules(rules, folder / RULES.format(number))
