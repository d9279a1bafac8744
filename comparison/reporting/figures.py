"""Figures: error rates with intervals, boards with discs and scores, overlap of error sets."""

from collections.abc import Sequence
from math import inf
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Rectangle
from torch import Tensor

from comparison.drawing.answers import Answer
from comparison.drawing.curves import Curve
from comparison.scoring.bench import Result
from comparison.scoring.error_sets import Overlap
from comparison.scoring.records import KINDS
from extracted_rules.files import whole_file
from extracted_rules.othello.notation import COLUMNS, LABELS, N_SQUARES, SQUARE_OF_TOKEN

#: Colour-blind safe (Okabe and Ito), in the order in which models are named.
MODEL_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
#: Squares are tinted from red (below zero) through white to blue.
DIVERGING = "RdBu"
#: Log odds, in nats, that are drawn as strongly as any.
ANSWER_LIMIT = 6.0
#: Colour of a frame around a square that is pointed at.
POINTING = "#E69F00"


def save_figure(figure: Figure, path: Path) -> None:
    """Write a picture, whole or not at all, and forget it. Raises OSError."""
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=150, bbox_inches="tight")
    plt.close(figure)


def plain(name: str) -> str:
    """A model's name as text: no mathematics between dollars, no label hidden by an underscore."""
    return "\u200b" + name.replace("$", r"\$")


def error_by_ply(results: Sequence[Result], path: Path) -> None:
    """Top-1 illegal rate by the ply to predict, one line a model, 95 % intervals as bands.

    A rate of zero, which has no place on a logarithmic axis, is a hollow dot on a line of its own;
    instead of a band, one dashed line says what it may be at most.
    """
    figure, axes = plt.subplots(figsize=(9, 4.8))
    floor = min(1e-4, 0.5 / results[0].games)  # no rate of a ply but zero lies below it
    zero = floor / 2
    at_most = 0.0
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
    if at_most:
        axes.axhline(at_most, color="0.4", lw=0.8, ls="--")
        words = f"none may be up to {100 * at_most:.2g} %"
        axes.text(60.8, at_most, words, ha="right", va="bottom", fontsize=8, color="0.3")
    axes.axhline(floor, color="0.6", lw=0.8, ls=":")
    axes.set(yscale="log", ylim=(0.8 * zero, 1.05), xlim=(1, 61))
    ticks = {zero: "none", 1e-4: "0.01 %", 1e-3: "0.1 %", 1e-2: "1 %", 1e-1: "10 %", 1: "100 %"}
    axes.set_yticks(list(ticks), list(ticks.values()))
    axes.minorticks_off()
    axes.set(xlabel="ply of the move to predict", ylabel="top-1 illegal rate")
    axes.set_title(f"How often the most likely move is illegal ({results[0].games:,} games)")
    axes.grid(alpha=0.25)
    axes.legend(frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.0))
    save_figure(figure, path)


def _frame(axes: Axes) -> None:
    """Limits and labels of a board."""
    axes.set(xlim=(0, 8), ylim=(8, 0), aspect="equal")
    axes.set_xticks([c + 0.5 for c in range(8)], list(COLUMNS))
    axes.set_yticks([r + 0.5 for r in range(8)], [str(r + 1) for r in range(8)])
    axes.tick_params(length=0, labelsize=8)


def draw_board(axes: Axes, board: Tensor, values: Tensor, limit: float, title: str) -> None:
    """One board: squares tinted by ``values`` (float [64], zero in white), discs on top.

    board: int8 [64] with +1 black, -1 white. Occupied squares are left grey and untinted.
    """
    colours = plt.get_cmap(DIVERGING)
    for square in range(N_SQUARES):
        row, column = divmod(square, 8)
        disc = int(board[square])
        shade = 0.5 + float(values[square]) / (2 * limit)
        tint = (0.88, 0.88, 0.86, 1.0) if disc else colours(min(max(shade, 0.0), 1.0))
        axes.add_patch(Rectangle((column, row), 1, 1, facecolor=tint, edgecolor="0.6", lw=0.6))
        if disc:
            face = "0.1" if disc > 0 else "white"
            axes.add_patch(Circle((column + 0.5, row + 0.5), 0.36, facecolor=face, edgecolor="0.1"))
    _frame(axes)
    axes.set_title(title, fontsize=10)


def draw_answer(axes: Axes, answer: Answer) -> None:
    """One answer as a board.

    Blue squares are held for legal, red ones are not. A dot marks the truly legal squares; the
    likeliest move has a ring where it is legal, a cross where it is not; a frame is the square to
    point at.
    """
    on_board = torch.full((N_SQUARES,), -torch.inf, dtype=torch.float64)
    on_board[SQUARE_OF_TOKEN[1:]] = answer.log_odds.double().cpu()
    draw_board(axes, answer.board, on_board, ANSWER_LIMIT, plain(answer.title))
    for square in answer.legal.nonzero().squeeze(-1).tolist():
        row, column = divmod(square, 8)
        axes.plot(column + 0.5, row + 0.5, marker="o", ms=5, mfc="gold", mec="0.1", mew=0.7)
    row, column = divmod(top := int(on_board.argmax()), 8)
    if answer.legal[top]:
        axes.add_patch(Circle((column + 0.5, row + 0.5), 0.3, fill=False, ec="0.1", lw=1.6))
    else:
        for colour, width in (("white", 5.0), ("0.1", 2.2)):  # to be seen on discs, too
            axes.plot(column + 0.5, row + 0.5, marker="x", ms=13, color=colour, mew=width)
    if answer.square >= 0:
        row, column = divmod(answer.square, 8)
        frame = Rectangle((column + 0.04, row + 0.04), 0.92, 0.92, fill=False, lw=2.6, zorder=5)
        frame.set_edgecolor(POINTING)
        axes.add_patch(frame)


def answers(panels: Sequence[Answer], caption: str, path: Path) -> None:
    """Positions as models answer them, side by side, each as in :func:`draw_answer`."""
    count, limit = len(panels), ANSWER_LIMIT
    figure, drawn = plt.subplots(
        1, count, figsize=(3.1 * count + 0.6, 3.9), squeeze=False, layout="constrained"
    )
    for axes, answer in zip(drawn[0], panels, strict=True):
        draw_answer(axes, answer)
    mappable = ScalarMappable(Normalize(-limit, limit), plt.get_cmap(DIVERGING))
    bar = figure.colorbar(mappable, ax=drawn[0].tolist(), shrink=0.75, pad=0.01)
    bar.set_label("log p − log tau (nats)")
    figure.suptitle(caption, fontsize=11)
    save_figure(figure, path)


def error_overlap(
    names: Sequence[str], overlaps: dict[tuple[str, str], list[Overlap]], path: Path
) -> None:
    """Jaccard index of every two models' error sets, one matrix an error kind."""
    count, labels = len(names), [plain(name) for name in names]
    figure, panels = plt.subplots(
        1,
        len(KINDS),
        figsize=(1.5 * count * len(KINDS) + 2, 1.2 * count + 1.2),
        layout="constrained",
    )
    for axes, kind in zip(panels, KINDS, strict=True):
        for row, a in enumerate(names):
            for column, b in enumerate(names):
                if a == b:
                    value, text = 1.0, "same"
                else:
                    pair = overlaps.get((a, b)) or overlaps[b, a]
                    found = next(o for o in pair if o.kind == kind)
                    value, text = found.jaccard, f"{found.jaccard:.2f}\n({found.both} both)"
                shade = plt.get_cmap("Blues")(0.0 if value != value or a == b else 0.9 * value)
                axes.add_patch(Rectangle((column, row), 1, 1, facecolor=shade, edgecolor="white"))
                ink = "white" if value > 0.6 and a != b else "0.15"
                axes.text(
                    column + 0.5, row + 0.5, text, ha="center", va="center", fontsize=8, color=ink
                )
        axes.set(xlim=(0, count), ylim=(count, 0), title=f"errors of kind {kind!r}")
        axes.set_xticks(
            [i + 0.5 for i in range(count)], labels, rotation=30, ha="right", fontsize=8
        )
        axes.set_yticks([i + 0.5 for i in range(count)], labels, fontsize=8)
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    figure.suptitle("Overlap of error sets (Jaccard index)")
    save_figure(figure, path)


def layer_by_ply(values: Tensor, title: str, label: str, path: Path) -> None:
    """Heat map of shares [layers, positions] in 0..1, from one move seen on."""
    figure, axes = plt.subplots(figsize=(9, 2.8), layout="constrained")
    layers, positions = values.shape
    image = axes.imshow(
        values.cpu().numpy(), aspect="auto", cmap="viridis", vmin=0, vmax=1, origin="lower",
        extent=(0.5, positions + 0.5, -0.5, layers - 0.5),
    )  # fmt: skip
    axes.set(xlabel="moves seen", ylabel="layer", title=plain(title))
    axes.set_yticks(range(layers))
    figure.colorbar(image, ax=axes, label=label, pad=0.01)
    save_figure(figure, path)


def worked_position(
    board: Tensor, beliefs: Tensor, replies: Tensor, title: str, path: Path
) -> None:
    """What a hand-built model believes of one position, layer by layer, beside the truth.

    board: int8 [64], +1 mine and -1 theirs, in the next mover's frame; beliefs: float [layers, 64];
    replies: bool [64], squares that are truly legal for the next mover.
    """
    count = len(beliefs) + 1
    figure, panels = plt.subplots(2, (count + 1) // 2, figsize=(13, 7.2), layout="constrained")
    shades = plt.get_cmap(DIVERGING)
    for number, axes in enumerate(panels.flatten()):
        _frame(axes)
        if number >= count:
            axes.set_visible(False)
            continue
        truth = number == count - 1
        values = board.double() if truth else beliefs[number].double().cpu()
        wrong = 0
        for square in range(N_SQUARES):
            row, column = divmod(square, 8)
            axes.add_patch(Rectangle((column, row), 1, 1, fc="0.96", ec="0.75", lw=0.6))
            if board[square]:
                bad = float(values[square]) * int(board[square]) <= 0
                wrong += bad
                shade = 0.5 + max(-1.0, min(1.0, float(values[square]))) / 2
                axes.add_patch(
                    Circle(
                        (column + 0.5, row + 0.5), 0.38, fc=shades(shade),
                        ec="black" if bad else "0.4", lw=2.2 if bad else 0.6,
                    )
                )  # fmt: skip
            elif truth and replies[square]:
                axes.plot(column + 0.5, row + 0.5, "o", ms=5, mfc="gold", mec="0.1", mew=0.7)
        axes.set_title("truth" if truth else f"layer {number}: {wrong} discs wrong", fontsize=10)
    figure.suptitle(title, fontsize=11)
    bar = figure.colorbar(
        ScalarMappable(Normalize(-1, 1), shades), ax=panels.flatten().tolist(), shrink=0.6, pad=0.01
    )
    bar.set_label("belief: theirs (red) to mine (blue)")
    save_figure(figure, path)


def what_moves_say(panels: Sequence[Sequence[tuple[str, Tensor]]], title: str, path: Path) -> None:
    """What moves say of the discs around them: a row of (title, values [64]) for every head.

    Values are drawn in units of their row's median over the squares of which something is said.
    """
    rows, columns = len(panels), len(panels[0])
    figure, axes = plt.subplots(
        rows, columns, figsize=(2.6 * columns + 0.8, 2.8 * rows + 0.4), squeeze=False,
        layout="constrained",
    )  # fmt: skip
    limit, shades = 4.0, plt.get_cmap(DIVERGING)
    for line, row in zip(axes, panels, strict=True):
        loudness = torch.stack([values for _, values in row]).abs().cpu()
        unit = float(loudness[loudness > 0].median())
        for board, (name, values) in zip(line, row, strict=True):
            scaled = (values.cpu() / unit).view(8, 8)
            board.pcolormesh(
                range(9), range(9), scaled.numpy(), cmap=shades, vmin=-limit, vmax=limit,
                edgecolors="0.8", linewidth=0.4,
            )  # fmt: skip
            _frame(board)
            board.set_title(name, fontsize=10)
    figure.suptitle(title, fontsize=11)
    mappable = ScalarMappable(Normalize(-limit, limit), shades)
    bar = figure.colorbar(mappable, ax=axes.flatten().tolist(), shrink=0.7, pad=0.01, extend="both")
    bar.set_label("theirs (red) to mine (blue)")
    save_figure(figure, path)


def accuracy_by_scalars(points: Sequence[tuple[int, float, float, float]], path: Path) -> None:
    """Top-1 illegal rate, 1 - F1 and excess cross-entropy against the number of fitted numbers."""
    figure, axes = plt.subplots(figsize=(6.4, 4), layout="constrained")
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
    save_figure(figure, path)


def training_curve(curves: Sequence[Curve], path: Path) -> None:
    """Validation by games seen, both axes logarithmic; a rate of zero is a gap."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
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
    for axes, title, values in (
        (left, "top-1 illegal %", illegal),
        (right, "excess cross-entropy (nats)", excess),
    ):
        axes.set(xscale="log", xlabel="games seen", title=title)
        if any(0 < x < inf for x in values):
            axes.set(yscale="log")
        axes.xaxis.set_major_formatter(lambda games, _: f"{games:,.0f}")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("{x:g}")
        axes.tick_params(which="minor", labelsize=7)
        axes.grid(alpha=0.25, which="both")
    if curves:
        figure.legend(loc="outside lower center", ncols=4, frameon=False, fontsize=9)
    save_figure(figure, path)


def caption_of(squares: list[int]) -> str:
    """The last few moves of an example, to name it in a figure."""
    tail = " ".join(LABELS[s] for s in squares[-4:])
    return f"after {len(squares)} moves (… {tail})"
