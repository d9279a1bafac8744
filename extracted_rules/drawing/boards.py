"""Boards on matplotlib's axes, of any size; colours and signs are those of the boards as SVG."""

from typing import Any

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.patches import Circle, Rectangle
from torch import Tensor

from extracted_rules.drawing.pictures import DIVERGING, plain
from extracted_rules.othello.geometry import Geometry
from extracted_rules.othello.svg import Picture

#: Of a taken square, which shows a disc and no tint.
TAKEN = (0.88, 0.88, 0.86, 1.0)
WRONG, POINTING = "#D55E00", "#E69F00"


def draw_squares(
    axes: Axes,
    geometry: Geometry,
    values: Tensor | None = None,
    limit: float = 1.0,
    taken: Tensor | None = None,
    lines: float = 0.6,
) -> None:
    """An empty board with its rows and columns named: squares are tinted by ``values``, float
    [n_squares], full at ``limit`` and zero in white; but those ``taken``, bool [n_squares].
    lines: the width of those between them."""
    n = geometry.size
    known = [0.0] * geometry.n_squares if values is None else values.tolist()
    tints = np.array(colormaps[DIVERGING](Normalize(-limit, limit)(known)))
    if values is None:
        tints[:] = 1.0
    if taken is not None:
        tints[taken.numpy()] = TAKEN
    edges = range(n + 1)
    axes.pcolormesh(
        edges,
        edges,
        tints.reshape(n, n, 4),
        edgecolors="0.7" if lines else "none",
        linewidth=lines,
        antialiased=lines > 0,
    )
    axes.set(xlim=(0, n), ylim=(n, 0), aspect="equal")
    middles = [k + 0.5 for k in range(n)]
    axes.set_xticks(middles, [label[0] for label in geometry.labels[:n]])
    axes.set_yticks(middles, [str(k + 1) for k in range(n)])
    axes.tick_params(length=0, labelsize=8)


def draw_disc(axes: Axes, geometry: Geometry, square: int, radius: float, **style: Any) -> None:
    """A circle on a square, whose side is 1."""
    axes.add_patch(Circle(middle(geometry, square), radius, **style))


def middle(geometry: Geometry, square: int) -> tuple[float, float]:
    """(x, y) of a square on a board's axes."""
    row, column = divmod(square, geometry.size)
    return column + 0.5, row + 0.5


def draw_board(axes: Axes, picture: Picture) -> None:
    """A board as its picture says: discs, tints of empty squares, dots on legal ones, rings around
    discs decoded wrongly; the likeliest move has a ring where it is legal, else a cross."""
    discs = picture.discs.cpu()
    geometry = picture.geometry
    tint = None if picture.tint is None else picture.tint.double().cpu()
    draw_squares(axes, geometry, tint, picture.limit, discs != 0)
    axes.set_title(plain(picture.title), fontsize=10)
    for square, disc in enumerate(discs.tolist()):
        x, y = middle(geometry, square)
        legal = picture.legal is not None and bool(picture.legal[square])
        if disc:
            face = "0.1" if disc > 0 else "white"
            draw_disc(axes, geometry, square, 0.36, fc=face, ec="0.1")
        if picture.wrong is not None and bool(picture.wrong[square]):
            draw_disc(axes, geometry, square, 0.43, fill=False, ec=WRONG, lw=3)
        if legal:
            axes.plot(x, y, marker="o", ms=5, mfc="gold", mec="0.1", mew=0.7)
        if square == picture.likeliest and legal:
            draw_disc(axes, geometry, square, 0.3, fill=False, ec="0.1", lw=1.6)
        elif square == picture.likeliest:
            for colour, width in (("white", 5.0), ("0.1", 2.2)):  # to be seen on discs, too
                axes.plot(x, y, marker="x", ms=13, color=colour, mew=width)
        if square == picture.frame:
            corner = (x - 0.46, y - 0.46)
            axes.add_patch(Rectangle(corner, 0.92, 0.92, fill=False, lw=2.6, ec=POINTING, zorder=5))
