"""Rules drawn on boards: what a neuron asks of which squares."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Circle, Rectangle

from comparison.reporting.figures import save_figure
from extracted_rules.catalogue import RULES, Neuron
from extracted_rules.conditions import parse_part
from extracted_rules.othello.geometry import Geometry, Pattern
from extracted_rules.othello.notation import COLUMNS, N_SQUARES, square_of

MINE, THEIRS, MOVE = "#0072B2", "#D55E00", "#009E73"
ANY = "0.7"
#: What a square is asked for, and how its disc is drawn.
DISCS = {
    "mine": MINE,
    "mine before": MINE,
    "theirs": THEIRS,
    "theirs before": THEIRS,
    "occupied": ANY,
}
#: How lines are drawn: those of a union's core, and all others.
CORE: dict[str, Any] = {"color": "0.1", "lw": 2.2, "zorder": 1.5}
LINE: dict[str, Any] = {"color": "0.6", "lw": 1, "zorder": 1}
#: What start, run and end of a pattern are asked for. The side that moved is "theirs" now; before
#: it moved, the run was the next mover's.
ON_LINES = {
    "pattern": ("empty", "theirs", "mine"),
    "flip": ("played", "turned", "theirs"),
    "closed": ("played", "occupied", "occupied"),
}
COLUMNS_OF_BOARDS = 5


def draw_rules(neurons: Sequence[Neuron], geometry: Geometry, title: str, path: Path) -> None:
    """A board a neuron, with what its rule asks of squares; of a tree, the way to its highest leaf.

    Raises OSError.
    """
    columns = max(1, min(COLUMNS_OF_BOARDS, len(neurons)))
    rows = max(1, -(-len(neurons) // columns))
    figure, panels = plt.subplots(
        rows, columns, figsize=(2.7 * columns, 3.1 * rows + 1), squeeze=False, layout="constrained"
    )
    for number, axes in enumerate(panels.flatten()):
        if number >= len(neurons):
            axes.set_visible(False)
            continue
        _draw_board(axes)
        _draw_rule(axes, neurons[number], geometry)
    figure.suptitle(title, fontsize=11)
    figure.legend(handles=_key(), loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    save_figure(figure, path)


def _draw_board(axes: Axes) -> None:
    for square in range(N_SQUARES):
        row, column = divmod(square, 8)
        axes.add_patch(Rectangle((column, row), 1, 1, fc="0.97", ec="0.75", lw=0.6))
    axes.set(xlim=(0, 8), ylim=(8, 0), aspect="equal")
    axes.set_xticks([c + 0.5 for c in range(8)], list(COLUMNS), fontsize=6)
    axes.set_yticks([r + 0.5 for r in range(8)], [str(r + 1) for r in range(8)], fontsize=6)
    axes.tick_params(length=0, pad=1)
    axes.spines[:].set_visible(False)


def _draw_rule(axes: Axes, neuron: Neuron, geometry: Geometry) -> None:
    fits = f"F1 {neuron.f1:.2f}" if neuron.other else f"r2 {neuron.r2 or 0:.2f}"
    axes.set_title(f"{neuron.place}: {neuron.rule}, {fits}", fontsize=8)
    if neuron.rule == "tree":
        for square, state, holds in highest_path(neuron.tree):
            _draw_state(axes, square, state, holds)
        return
    if not neuron.parts:
        axes.text(4, 4, "\n".join(_wrapped(RULES[neuron.rule])), ha="center", va="center")
        return
    for part in neuron.parts:
        parsed = parse_part(neuron.rule, part, geometry)
        # Of a bracket, one of its two senses: the other has both ends exchanged.
        if parsed.patterns:
            core = neuron.core is not None and part in neuron.core_parts
            _draw_pattern(axes, parsed.patterns[0], neuron.rule, core)
        else:
            state = "empty" if parsed.state == "blank" else parsed.state
            _draw_state(axes, parsed.square, state, True)


def _draw_pattern(axes: Axes, pattern: Pattern, rule: str, core: bool) -> None:
    """The start, a line to the end, and the discs on it: of a flip, as they were before."""
    (y0, x0), (y1, x1) = (divmod(square, 8) for square in (pattern.start, pattern.end))
    style = CORE if core else LINE
    axes.plot([x0 + 0.5, x1 + 0.5], [y0 + 0.5, y1 + 0.5], **style)
    start, run, end = ON_LINES.get(rule, ON_LINES["pattern"])
    _draw_state(axes, pattern.start, start, True)
    for square, state in [(pattern.end, end), *((square, run) for square in pattern.run)]:
        _draw_state(axes, square, state, True)


def _draw_state(axes: Axes, square: int, state: str, holds: bool) -> None:
    row, column = divmod(square, 8)
    centre = (column + 0.5, row + 0.5)
    if state in DISCS:
        dashed = "--" if state.endswith("before") else "-"
        axes.add_patch(Circle(centre, 0.33, fc=DISCS[state], ec="0.3", ls=dashed, lw=1, zorder=2))
    elif state == "turned":
        axes.add_patch(Circle(centre, 0.3, fc="white", ec=THEIRS, lw=2.5, zorder=2))
    elif state == "played":
        axes.add_patch(Rectangle((column + 0.2, row + 0.2), 0.6, 0.6, fc=MOVE, ec="none", zorder=3))
    else:
        axes.add_patch(Circle(centre, 0.28, fc="white", ec="0.2", ls=":", lw=1.2, zorder=2))
    if not holds:
        axes.plot(*centre, "x", color="black", ms=9, mew=1.6, zorder=4)


def highest_path(tree: Any) -> list[tuple[int, str, bool]]:
    """(square, state, whether it is so) on the way to a nested tree's highest leaf."""

    def highest(node: Any) -> tuple[float, list[tuple[int, str, bool]]]:
        if not isinstance(node, list | tuple):
            return float(node), []
        feature, *branches = node
        label, _, state = feature.partition(" ")
        ways = []
        for holds, branch in zip((False, True), branches, strict=True):
            value, way = highest(branch)
            ways.append((value, [(square_of(label), state, holds), *way]))
        return max(ways, key=lambda way: way[0])

    return highest(tree)[1]


def _wrapped(text: str, width: int = 22) -> list[str]:
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) >= width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return lines


def _key() -> list[Line2D]:
    def dot(label: str, marker: str = "o", **style: Any) -> Line2D:
        return Line2D([], [], ls="", marker=marker, ms=8, label=label, **style)

    return [
        dot("mine, for the side that moves next", color=MINE),
        dot("theirs", color=THEIRS),
        dot("a disc, whoever owns it", color=ANY),
        dot("just turned to theirs", mfc="white", mec=THEIRS, mew=2.5),
        dot("just played", "s", color=MOVE),
        dot("empty", mfc="white", mec="0.2"),
        dot("crossed out: not so", "x", color="black"),
        Line2D([], [], label="excites it most", **CORE),
    ]
