"""Rules drawn on boards: what a neuron asks of which squares."""

from collections.abc import Sequence
from pathlib import Path
from textwrap import fill
from typing import Any

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle

from extracted_rules.catalogue import RULES, Neuron
from extracted_rules.conditions import parse_part
from extracted_rules.drawing.boards import draw_disc, draw_squares, middle
from extracted_rules.drawing.pictures import panels, save
from extracted_rules.othello.geometry import Geometry, Pattern

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
    figure, drawn = panels(rows, columns, (2.7 * columns, 3.1 * rows + 1))
    for axes in drawn.flatten()[len(neurons) :]:
        axes.set_visible(False)
    for axes, neuron in zip(drawn.flatten(), neurons, strict=False):
        draw_squares(axes, geometry)
        axes.tick_params(labelsize=6, pad=1)
        axes.spines[:].set(color="0.7", linewidth=0.6)
        _draw_rule(axes, geometry, neuron)
    figure.suptitle(title, fontsize=11)
    figure.legend(handles=_key(), loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    save(figure, path)


def _draw_rule(axes: Axes, geometry: Geometry, neuron: Neuron) -> None:
    fits = f"F1 {neuron.f1:.2f}" if neuron.other else f"r2 {neuron.r2 or 0:.2f}"
    axes.set_title(f"{neuron.place}: {neuron.rule}, {fits}", fontsize=8)
    if neuron.rule == "tree":
        for label, state, holds in highest_path(neuron.tree):
            _draw_state(axes, geometry, geometry.square_of(label), state, holds)
        return
    if not neuron.parts:
        half = geometry.size / 2
        axes.text(half, half, fill(RULES[neuron.rule], 22), ha="center", va="center")
        return
    for part in neuron.parts:
        parsed = parse_part(neuron.rule, part, geometry)
        # Of a bracket, one of its two senses: the other has both ends exchanged.
        if parsed.patterns:
            core = neuron.core is not None and part in neuron.core_parts
            _draw_pattern(axes, geometry, parsed.patterns[0], neuron.rule, core)
        else:
            state = "empty" if parsed.state == "blank" else parsed.state
            _draw_state(axes, geometry, parsed.square, state, True)


def _draw_pattern(axes: Axes, geometry: Geometry, pattern: Pattern, rule: str, core: bool) -> None:
    """The start, a line to the end, and the discs on it: of a flip, as they were before."""
    ends = [middle(geometry, square) for square in (pattern.start, pattern.end)]
    axes.plot(*zip(*ends, strict=True), **(CORE if core else LINE))
    start, run, end = ON_LINES.get(rule, ON_LINES["pattern"])
    _draw_state(axes, geometry, pattern.start, start, True)
    for square, state in [(pattern.end, end), *((square, run) for square in pattern.run)]:
        _draw_state(axes, geometry, square, state, True)


def _draw_state(axes: Axes, geometry: Geometry, square: int, state: str, holds: bool) -> None:
    x, y = middle(geometry, square)
    if state in DISCS:
        dashed = "--" if state.endswith("before") else "-"
        style = {"fc": DISCS[state], "ec": "0.3", "ls": dashed, "lw": 1, "zorder": 2}
        draw_disc(axes, geometry, square, 0.33, **style)
    elif state == "turned":
        draw_disc(axes, geometry, square, 0.3, fc="white", ec=THEIRS, lw=2.5, zorder=2)
    elif state == "played":
        axes.add_patch(Rectangle((x - 0.3, y - 0.3), 0.6, 0.6, fc=MOVE, ec="none", zorder=3))
    else:
        draw_disc(axes, geometry, square, 0.28, fc="white", ec="0.2", ls=":", lw=1.2, zorder=2)
    if not holds:
        axes.plot(x, y, "x", color="black", ms=9, mew=1.6, zorder=4)


def highest_path(tree: Any) -> list[tuple[str, str, bool]]:
    """(square, state, whether it is so) on the way to a nested tree's highest leaf."""

    def highest(node: Any) -> tuple[float, list[tuple[str, str, bool]]]:
        if not isinstance(node, list | tuple):
            return float(node), []
        feature, *branches = node
        label, _, state = feature.partition(" ")
        ways = []
        for holds, branch in zip((False, True), branches, strict=True):
            value, way = highest(branch)
            ways.append((value, [(label, state, holds), *way]))
        return max(ways, key=lambda way: way[0])

    return highest(tree)[1]


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
