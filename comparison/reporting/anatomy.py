"""One layer of a hand-built model: who reads and writes what, found in the weights, and drawn.

Nothing here knows the rules. The layout lends the names of directions, heads and neurons; what
they read and write are the rows and columns of their weights that are not zero.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import torch
from matplotlib.axes import Axes
from matplotlib.patches import FancyBboxPatch, Rectangle
from torch import Tensor

from comparison.reporting.figures import DIVERGING, MODEL_COLOURS
from extracted_rules.files import whole_file
from extracted_rules.othello.game import random_games
from extracted_rules.othello.notation import LABELS, N_SQUARES
from handbuilt import OthelloGPT
from handbuilt.network.layout import Family, LayoutError

#: Directions that only keep LayerNorm exact: everything reads them, nothing is said there.
PLUMBING = ("ballast.plus", "ballast.minus", "zero")
#: Where a layer's lanes are looked at: before it, between its halves, behind it.
STATIONS = ("hook_resid_pre", "hook_resid_mid", "hook_resid_post")


@dataclass(frozen=True)
class Part:
    """A family of heads or neurons, by the lanes that its weights touch.

    count: heads or neurons that are not silent. reads: what is carried on; asks: what decides
    where a head looks (empty for neurons); writes: what is added to.
    """

    name: str
    count: int
    reads: tuple[str, ...]
    asks: tuple[str, ...]
    writes: tuple[str, ...]


@dataclass(frozen=True)
class Anatomy:
    """A layer: its lanes, the named subspaces of the residual stream that it touches, and parts."""

    layer: int
    lanes: tuple[Family, ...]
    heads: tuple[Part, ...]
    neurons: tuple[Part, ...]

    def lines(self) -> list[str]:
        """The same as text: a line for all that read and write alike."""
        lines = [
            f"layer {self.layer} touches "
            + ", ".join(f"{lane.name} ({len(lane.members)})" for lane in self.lanes)
        ]
        for kind, parts in (("heads", self.heads), ("neurons", self.neurons)):
            for group in alike(parts):
                names = ", ".join(
                    part.name if kind == "heads" else f"{part.name} x{part.count}" for part in group
                )
                first = group[0]
                asked = f", looking by {' '.join(first.asks)}" if first.asks else ""
                if len(group) > 1 and _renews(first):
                    lines.append(f"  {kind} {names}: each rewrites its own lane{asked}")
                    continue
                reads, writes = " ".join(first.reads), " ".join(first.writes)
                lines.append(f"  {kind} {names}: {reads} -> {writes}{asked}")
        return lines


def layer_anatomy(model: OthelloGPT, layer: int) -> Anatomy:
    """What a layer of a hand-built model consists of.

    Raises CheckpointError for a model without names, LayoutError for a layer that does not exist.
    """
    layout = model.layout
    if not 0 <= layer < len(layout.heads):
        raise LayoutError(f"layer {layer} does not exist; there are {len(layout.heads)}")
    start = f"blocks.{layer}."
    weights = {
        name.removeprefix(start): value
        for name, value in model.state_dict().items()
        if name.startswith(start)
    }
    families = [f for f in layout.directions.families.values() if f.name not in PLUMBING]
    heads = [_head(weights, f, families) for f in layout.heads[layer].families.values()]
    neurons = [_neurons(weights, f, families) for f in layout.neurons[layer].families.values()]
    found = [tuple(part for part in parts if part.writes) for parts in (heads, neurons)]
    touched = {name for parts in found for p in parts for name in (*p.reads, *p.asks, *p.writes)}
    lanes = tuple(family for family in families if family.name in touched)
    return Anatomy(layer, lanes, *found)


def _head(weights: dict[str, Tensor], family: Family, lanes: Sequence[Family]) -> Part:
    """A family of heads. Channels that lead nowhere do not count."""
    here = family.places
    carried = weights["attn.W_V"][here] @ weights["attn.W_O"][here]  # [heads, d_model, d_model]
    # A channel of queries matters where keys have something for it, and the other way round.
    asks, tells = weights["attn.W_Q"][here] != 0, weights["attn.W_K"][here] != 0
    asked = asks.any(1) | (weights["attn.b_Q"][here] != 0)
    told = tells.any(1) | (weights["attn.b_K"][here] != 0)
    looks = (asks & told[:, None]).any(-1) | (tells & asked[:, None]).any(-1)
    speaks = (carried != 0).flatten(1).any(1)
    return Part(
        family.name,
        int(speaks.sum()),
        _touched((carried != 0).any(-1).any(0), lanes),
        _touched(looks[speaks].any(0), lanes),
        _touched((carried != 0).any(1).any(0), lanes),
    )


def _neurons(weights: dict[str, Tensor], family: Family, lanes: Sequence[Family]) -> Part:
    """A family of neurons. One that hears nothing or says nothing does not count."""
    hears = weights["mlp.W_in"].T[family.places] != 0
    says = weights["mlp.W_out"][family.places] != 0
    live = hears.any(-1) & says.any(-1)
    return Part(
        family.name,
        int(live.sum()),
        _touched(hears[live].any(0), lanes),
        (),
        _touched(says[live].any(0), lanes),
    )


def _touched(directions: Tensor, lanes: Iterable[Family]) -> tuple[str, ...]:
    """Names of the lanes in which ``directions``, bool [d_model], is true somewhere."""
    return tuple(lane.name for lane in lanes if bool(directions[lane.places].any()))


def _renews(part: Part) -> bool:
    """Whether all that a part does is to rewrite one lane by what stands there."""
    return len(part.writes) == 1 and part.reads == part.writes


def alike(parts: Iterable[Part]) -> list[list[Part]]:
    """Parts that read, ask and write the same, together; so are those that renew one lane each."""
    groups: dict[object, list[Part]] = {}
    for part in parts:
        key = (part.asks, "renews" if _renews(part) else (part.reads, part.writes))
        groups.setdefault(key, []).append(part)
    return list(groups.values())


def worked_moves() -> Tensor:
    """int64 [40]: the first moves of the bench's first long game, as in the worked example."""
    games = next(random_games(64, seed=1))
    lengths = (games != 0).sum(-1)
    return games[int(lengths.clamp(max=41).argmax()), :40].long()


@torch.inference_mode()
def held(model: OthelloGPT, layer: int, tokens: Tensor) -> Tensor:
    """[3, d_model]: the residual stream at STATIONS of a layer, at the last of tokens int64 [T]."""
    _, cache = model.run_with_cache(tokens[None])
    return torch.stack([cache[f"blocks.{layer}.{name}"][0, -1] for name in STATIONS])


# -------------------------------------------------------------------------------- drawing

#: Inches. A lane of many directions has room for a small board, one of few for a number.
WIDE, NARROW, COLUMN, STATION, MARGIN, EDGE = 0.62, 0.34, 0.86, 0.74, 1.24, 0.1
#: The width that the key needs.
KEY = 8.8
#: Of a small board and of a line of text in a box.
BOARD, LINE = 0.54, 0.142
READ, WRITE = MODEL_COLOURS[:2]
#: How the lines of a box are written.
STYLES: dict[str, dict[str, Any]] = {
    "first": {"fontsize": 9.5, "weight": "bold"},
    "rest": {"fontsize": 8.5},
    "number": {"fontsize": 8.5, "color": "0.4"},
}
#: The strongest tints stand for this much: a disc known for certain is 1.
STRONGEST = 1.2


def draw_layer(anatomy: Anatomy, path: Path, values: Tensor | None = None) -> None:
    """The layer as a diagram of wires: lanes run from left to right, parts read and write them.

    values: float [3, d_model], what the lanes hold for one position (:func:`held`): drawn in front
    of the layer and wherever a half of it has written. Raises OSError.
    """
    halves = (
        ("heads carry between positions", alike(anatomy.heads)),
        ("neurons work within one position", alike(anatomy.neurons)),
    )
    middle, bottom = {}, 0.0
    for lane in anatomy.lanes:
        height = WIDE if _is_wide(lane) else NARROW
        middle[lane.name] = bottom - height / 2
        bottom -= height
    columns = [group for _, groups in halves for group in groups]
    width = max(MARGIN + 3 * STATION + COLUMN * len(columns) + EDGE, KEY)
    box = LINE * max((len(_label(group)) for group in columns), default=1) + 0.2
    top = 0.3 + box + 0.4
    figure = plt.figure(figsize=(width, top - bottom + 0.42))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0, width), ylim=(bottom - 0.42, top))
    axes.axis("off")
    axes.text(EDGE, top - 0.1, f"layer {anatomy.layer}", va="top", fontsize=13, weight="bold")
    for lane in anatomy.lanes:
        _draw_lane(axes, lane, middle[lane.name], width)
    _draw_station(axes, MARGIN, "before", anatomy.lanes, middle, values, 0)
    x = MARGIN + STATION
    for half, (title, groups) in enumerate(halves, start=1):
        centre = x + COLUMN * len(groups) / 2
        axes.text(centre, top - 0.12, title, ha="center", va="top", fontsize=10, weight="bold")
        for group in groups:
            _draw_column(axes, x + COLUMN / 2, box, group, middle)
            x += COLUMN
        written = {name for group in groups for part in group for name in part.writes}
        lanes = [lane for lane in anatomy.lanes if lane.name in written]
        _draw_station(axes, x, ("between", "after")[half - 1], lanes, middle, values, half)
        x += STATION
    _draw_key(axes, bottom - 0.24, values is not None)
    with whole_file(path) as partial:
        figure.savefig(partial, dpi=160, facecolor="white")
    plt.close(figure)


def _is_wide(lane: Family) -> bool:
    return len(lane.members) > 8


def _draw_lane(axes: Axes, lane: Family, y: float, width: float) -> None:
    """A lane: a band as thick as it has directions."""
    count = len(lane.members)
    thick = max(0.4 * count / N_SQUARES, 0.02)
    axes.add_patch(
        Rectangle((MARGIN, y - thick / 2), width - MARGIN - EDGE, thick, fc="0.92", ec="none")
    )
    axes.text(MARGIN - 0.4, y, lane.name, ha="right", va="center", fontsize=10)
    axes.text(MARGIN - 0.1, y, str(count), ha="right", va="center", fontsize=8.5, color="0.5")


def _draw_station(
    axes: Axes,
    x: float,
    title: str,
    lanes: Iterable[Family],
    middle: dict[str, float],
    values: Tensor | None,
    station: int,
) -> None:
    """What lanes hold at a station that begins at x."""
    if values is None:
        return
    centre = x + STATION / 2
    axes.text(centre, 0.08, title, ha="center", va="bottom", fontsize=8.5, color="0.4")
    for lane in lanes:
        _draw_values(axes, lane, centre, middle[lane.name], values[station])


def _draw_values(axes: Axes, lane: Family, x: float, y: float, stream: Tensor) -> None:
    """A board for a lane of squares, a number for one direction, else a strip; zero is white."""
    values = stream[lane.places].double().cpu()
    if len(values) == 1:
        box = {"boxstyle": "round,pad=0.2", "fc": "white", "ec": "0.6", "lw": 0.6}
        text = f"{float(values):.2f}".replace("-", "−")
        axes.text(x, y, text, ha="center", va="center", fontsize=8.5, bbox=box, zorder=4)
        return
    if _is_wide(lane) and set(lane.members) <= set(LABELS):
        board = values.new_zeros(N_SQUARES)
        board[[LABELS.index(member) for member in lane.members]] = values
        shown, high = board.view(8, 8), BOARD
    else:
        shown, high = values[None], BOARD / 4
    rows, across = shown.shape
    axes.pcolormesh(
        [x + BOARD * (i / across - 0.5) for i in range(across + 1)],
        [y - high * (i / rows - 0.5) for i in range(rows + 1)],
        shown.numpy(), cmap=DIVERGING, vmin=-STRONGEST, vmax=STRONGEST, zorder=4,
    )  # fmt: skip
    axes.add_patch(
        Rectangle((x - BOARD / 2, y - high / 2), BOARD, high, fc="none", ec="0.5", lw=0.7, zorder=5)
    )


def _draw_column(
    axes: Axes, x: float, height: float, group: Sequence[Part], middle: dict[str, float]
) -> None:
    """A box of parts; a line up to it from what they read, one down from it to what they write.

    Where a head both reads a lane and looks by it, its reading is marked.
    """
    low = 0.3
    axes.add_patch(
        FancyBboxPatch(
            (x - COLUMN / 2 + 0.06, low), COLUMN - 0.12, height,
            boxstyle="round,pad=0,rounding_size=0.07", fc="white", ec="0.35", lw=1, zorder=3,
        )
    )  # fmt: skip
    lines = _label(group)
    for number, (text, style) in enumerate(lines):
        y = low + height / 2 + LINE * ((len(lines) - 1) / 2 - number)
        axes.text(x, y, text, ha="center", va="center_baseline", zorder=4, **STYLES[style])
    reads = {middle[name] for part in group for name in part.reads}
    asks = {middle[name] for part in group for name in part.asks} - reads
    writes = {middle[name] for part in group for name in part.writes}
    left, right = x - 0.13, x + 0.13
    axes.plot([left, left], [min(reads | asks, default=low), low - 0.05], color=READ, lw=1.2)
    axes.plot([left], [low - 0.06], marker="^", ms=5.5, color=READ)
    axes.plot([right, right], [min(writes), low], color=WRITE, lw=1.7)
    for y in asks:
        axes.plot([left], [y], "o", ms=5.5, mfc="white", mec=READ, mew=1.2, zorder=3)
    for y in reads:
        axes.plot([left], [y], "o", ms=6.5, color=READ, zorder=3)
    for y in writes:
        _draw_plus(axes, right, y)


def _draw_plus(axes: Axes, x: float, y: float) -> None:
    axes.plot([x], [y], "o", ms=9.5, mfc="white", mec=WRITE, mew=1.5, zorder=3)
    axes.plot([x], [y], "+", ms=9, color=WRITE, mew=1.5, zorder=3)


def _label(group: Sequence[Part]) -> list[tuple[str, str]]:
    """What a box says, as (line, style): first words of names once, what follows them, numbers."""
    lines, above = [], ""
    for part in group:
        first, _, rest = part.name.partition("-")
        if first != above:
            lines.append((first, "first"))
        if rest:
            lines.append((f"-{rest}", "rest"))
        if not part.asks:
            lines.append((f"× {part.count}", "number"))
        above = first
    return lines


def _draw_key(axes: Axes, y: float, boards: bool) -> None:
    """What the marks mean."""
    x = MARGIN + 0.15
    axes.plot([x], [y], "o", ms=6.5, color=READ)
    axes.plot([x + 0.8], [y], "o", ms=5.5, mfc="white", mec=READ, mew=1.2)
    _draw_plus(axes, x + 1.95, y)
    words = [(0.14, "reads"), (0.94, "looks by it"), (2.11, "adds to it")]
    if boards:
        words.append((3.3, "small boards: what one position holds; blue +1, white 0, red −1"))
    for right, text in words:
        axes.text(x + right, y, text, va="center", fontsize=9)
