"""One layer of a hand-built model, read from its program: who reads and writes what, as text and as
a picture."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle
from torch import Tensor

from extracted_rules.drawing.boards import draw_squares
from extracted_rules.drawing.pictures import DIVERGING, MODEL_COLOURS, save
from extracted_rules.othello.game import random_games
from extracted_rules.othello.geometry import Geometry
from handbuilt import OthelloGPT
from handbuilt.network.layout import LayoutError
from handbuilt.programs import Directions, Head, Neurons
from handbuilt.programs.read_back import read_back

#: Where a layer's lanes are looked at: before it, between its halves, behind it.
STATIONS = ("hook_resid_pre", "hook_resid_mid", "hook_resid_post")


@dataclass(frozen=True)
class Part:
    """A family of heads or neurons, by the lanes that it touches.

    count: heads or neurons that are not silent. reads: what is carried on; asks: what decides
    where a head looks (empty for neurons); writes: what is added to.
    """

    name: str
    count: int
    reads: tuple[str, ...]
    asks: tuple[str, ...]
    writes: tuple[str, ...]

    @classmethod
    def of(cls, record: Head | Neurons, over: Mapping[str, str]) -> "Part":
        """over: the lanes whose places others have between the halves, by those others' names."""
        reads, writes = (tuple(x.name for x in of) for of in (record.reads, record.writes))
        if isinstance(record, Head):
            return cls(record.name, 1, reads, tuple(record.asks), writes)
        if len(reads) == 1 and writes == (over.get(reads[0]),):
            writes = reads
        count = len(record.members)
        hears, says = np.zeros((2, count), dtype=np.bool_)
        for link in record.reads:
            hears |= link.weights.any(0)
        for link in record.writes:
            says |= link.weights.any(1)
        return cls(record.name, int((hears & says).sum()), reads, (), writes)

    @property
    def renews(self) -> bool:
        """Whether all that it does is to rewrite one lane by what stands there."""
        return len(self.writes) == 1 and self.reads == self.writes


@dataclass(frozen=True)
class Anatomy:
    """A layer: its lanes, the named subspaces of the residual stream that it touches, and parts."""

    geometry: Geometry
    layer: int
    lanes: tuple[Directions, ...]
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
                if len(group) > 1 and first.renews:
                    lines.append(f"  {kind} {names}: each rewrites its own lane{asked}")
                    continue
                reads, writes = " ".join(first.reads), " ".join(first.writes)
                lines.append(f"  {kind} {names}: {reads} -> {writes}{asked}")
        return lines


def layer_anatomy(model: OthelloGPT, layer: int) -> Anatomy:
    """What a layer of a hand-built model consists of.

    Raises CheckpointError for a model without names, LayoutError for a layer that does not exist.
    """
    program = read_back(model)
    if not 0 <= layer < program.layers:
        raise LayoutError(f"layer {layer} does not exist; there are {program.layers}")
    over = {lane.name: lane.over for lane in program.directions if lane.over}
    heads, neurons = (
        tuple(
            part
            for record in records
            if record.layer == layer
            if (part := Part.of(record, over)).count and part.reads and part.writes
        )
        for records in (program.heads, program.neurons)
    )
    touched = {name for p in (*heads, *neurons) for name in (*p.reads, *p.asks, *p.writes)}
    lanes = tuple(lane for lane in program.directions if lane.name in touched)
    return Anatomy(program.geometry, layer, lanes, heads, neurons)


def alike(parts: Iterable[Part]) -> list[list[Part]]:
    """Parts that read, ask and write the same, together; so are those that renew one lane each."""
    groups: dict[object, list[Part]] = {}
    for part in parts:
        key = (part.asks, "renews" if part.renews else (part.reads, part.writes))
        groups.setdefault(key, []).append(part)
    return list(groups.values())


def worked_moves(geometry: Geometry) -> Tensor:
    """int64 [moves]: two thirds of a game, of the bench's first long one; in the worked example,
    too."""
    games = next(random_games(20, seed=1, board=geometry.size))
    late = 2 * geometry.max_plies // 3
    lengths = (games != 0).sum(-1)
    return games[int(lengths.clamp(max=late + 1).argmax()), :late].long()


#: Of a lane, by its name: float [3, members], what it holds at each of the STATIONS.
Values = Mapping[str, Tensor]


@torch.inference_mode()
def values_of(model: OthelloGPT, layer: int, tokens: Tensor) -> Values:
    """What lanes hold around a layer at the last of tokens int64 [T]."""
    names = [f"blocks.{layer}.{name}" for name in STATIONS]
    _, cache = model.run_with_cache(tokens[None], names_filter=names)
    streams = torch.stack([cache[name][0, -1] for name in names]).double().cpu()
    families = model.layout.directions.families.values()
    return {family.name: streams[:, family.places] for family in families}


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


def draw_layer(anatomy: Anatomy, path: Path, values: Values | None = None) -> None:
    """The layer as a diagram of wires: lanes run from left to right, parts read and write them.

    values: what the lanes hold for one position (:func:`values_of`): drawn in front of the layer
    and wherever a half of it has written. Raises OSError.
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
    figure = Figure(figsize=(width, top - bottom + 0.42))
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set(xlim=(0, width), ylim=(bottom - 0.42, top))
    axes.axis("off")
    axes.text(EDGE, top - 0.1, f"layer {anatomy.layer}", va="top", fontsize=13, weight="bold")
    for lane in anatomy.lanes:
        _draw_lane(axes, lane, middle[lane.name], width, anatomy.geometry)
    stations = _Stations(axes, anatomy.geometry, middle, values)
    stations.draw(MARGIN, 0, "before", anatomy.lanes)
    x = MARGIN + STATION
    for half, (title, groups) in enumerate(halves, start=1):
        centre = x + COLUMN * len(groups) / 2
        axes.text(centre, top - 0.12, title, ha="center", va="top", fontsize=10, weight="bold")
        for group in groups:
            _draw_column(axes, x + COLUMN / 2, box, group, middle)
            x += COLUMN
        written = {name for group in groups for part in group for name in part.writes}
        lanes = [lane for lane in anatomy.lanes if lane.name in written]
        stations.draw(x, half, ("between", "after")[half - 1], lanes)
        x += STATION
    _draw_key(axes, bottom - 0.24, values is not None)
    save(figure, path, dpi=160, bbox_inches=None, facecolor="white")


def _is_wide(lane: Directions) -> bool:
    return len(lane.members) > 8


def _draw_lane(axes: Axes, lane: Directions, y: float, width: float, geometry: Geometry) -> None:
    """A lane: a band as thick as it has directions."""
    count = len(lane.members)
    thick = max(0.4 * count / geometry.n_squares, 0.02)
    axes.add_patch(
        Rectangle((MARGIN, y - thick / 2), width - MARGIN - EDGE, thick, fc="0.92", ec="none")
    )
    axes.text(MARGIN - 0.4, y, lane.name, ha="right", va="center", fontsize=10)
    axes.text(MARGIN - 0.1, y, str(count), ha="right", va="center", fontsize=8.5, color="0.5")


@dataclass(frozen=True)
class _Stations:
    """What lanes hold at a few places along them: a board for a lane of squares, a number for one
    direction, else a strip; zero is white. middle: a lane's height."""

    axes: Axes
    geometry: Geometry
    middle: Mapping[str, float]
    values: Values | None

    def draw(self, x: float, station: int, title: str, lanes: Iterable[Directions]) -> None:
        """One of the STATIONS, which begins at x."""
        if self.values is None:
            return
        centre = x + STATION / 2
        self.axes.text(centre, 0.08, title, ha="center", va="bottom", fontsize=8.5, color="0.4")
        for lane in lanes:
            if lane.over and station != 1:
                continue  # others have its places there
            self._draw_lane(lane, centre, self.middle[lane.name], self.values[lane.name][station])

    def _draw_lane(self, lane: Directions, x: float, y: float, values: Tensor) -> None:
        if len(values) == 1:
            box = {"boxstyle": "round,pad=0.2", "fc": "white", "ec": "0.6", "lw": 0.6}
            text = f"{float(values):.2f}".replace("-", "−")
            self.axes.text(x, y, text, ha="center", va="center", fontsize=8.5, bbox=box, zorder=4)
            return
        squares = _is_wide(lane) and set(lane.members) <= set(self.geometry.labels)
        high = BOARD if squares else BOARD / 4
        bounds = (x - BOARD / 2, y - high / 2, BOARD, high)
        inset = self.axes.inset_axes(bounds, transform=self.axes.transData)
        if squares:
            board = values.new_zeros(self.geometry.n_squares)
            board[[self.geometry.square_of(member) for member in lane.members]] = values
            draw_squares(inset, self.geometry, board, STRONGEST, lines=0)
        else:
            limits = Normalize(-STRONGEST, STRONGEST)
            inset.pcolormesh(values[None].numpy(), cmap=DIVERGING, norm=limits)
        inset.set(xticks=[], yticks=[])
        inset.spines[:].set(color="0.5", linewidth=0.7)


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
        if part.count > 1:
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
