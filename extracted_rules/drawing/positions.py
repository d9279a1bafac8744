"""Figures of positions: as models answer them, as boards are decoded layer by layer, and what moves
say of the discs around them."""

from collections.abc import Sequence
from pathlib import Path

import torch
from matplotlib import colormaps
from torch import Tensor

from extracted_rules.drawing.boards import draw_board, draw_disc, draw_squares, middle
from extracted_rules.drawing.pictures import DIVERGING, colour_bar, panel, panels, plain, save
from extracted_rules.othello.geometry import Geometry
from extracted_rules.othello.svg import Picture


def boards(pictures: Sequence[Picture], caption: str, path: Path) -> None:
    """Positions as models answer them, side by side."""
    count = len(pictures)
    figure, drawn = panels(1, count, (3.1 * count + 0.6, 3.9))
    for axes, picture in zip(drawn[0], pictures, strict=True):
        draw_board(axes, picture)
    colour_bar(figure, drawn, pictures[0].limit, "log p − log tau (nats)", shrink=0.75)
    figure.suptitle(caption, fontsize=11)
    save(figure, path)


def layer_by_ply(values: Tensor, title: str, label: str, path: Path) -> None:
    """Heat map of shares [layers, positions] in 0..1, from one move seen on."""
    figure, axes = panel((9, 2.8))
    layers, positions = values.shape
    image = axes.imshow(
        values.cpu().numpy(), aspect="auto", cmap="viridis", vmin=0, vmax=1, origin="lower",
        extent=(0.5, positions + 0.5, -0.5, layers - 0.5),
    )  # fmt: skip
    axes.set(xlabel="moves seen", ylabel="layer", title=plain(title))
    axes.set_yticks(range(layers))
    figure.colorbar(image, ax=axes, label=label, pad=0.01)
    save(figure, path)


def worked_position(
    geometry: Geometry, board: Tensor, beliefs: Tensor, replies: Tensor, title: str, path: Path
) -> None:
    """What a hand-built model believes of one position, layer by layer, beside the truth.

    board: int8 [squares], +1 mine and -1 theirs, in the next mover's frame; beliefs:
    float [layers, squares]; replies: bool [squares], truly legal for the next mover.
    """
    count = len(beliefs) + 1
    figure, drawn = panels(2, (count + 1) // 2, (13, 6.2))
    shades = colormaps[DIVERGING]
    for number, axes in enumerate(drawn.flatten()):
        if number >= count:
            axes.set_visible(False)
            continue
        truth = number == count - 1
        values = (board if truth else beliefs[number]).double().cpu()
        draw_squares(axes, geometry)
        wrong = (values * board <= 0) & (board != 0)
        for square in board.nonzero().flatten().tolist():
            edge = {"ec": "black", "lw": 2.2} if wrong[square] else {"ec": "0.4", "lw": 0.6}
            shade = shades((float(values[square].clamp(-1, 1)) + 1) / 2)
            draw_disc(axes, geometry, square, 0.38, fc=shade, **edge)
        for square in (replies & truth).nonzero().flatten().tolist():
            axes.plot(*middle(geometry, square), "o", ms=5, mfc="gold", mec="0.1", mew=0.7)
        missed = int(wrong.sum())
        name = f"after layer {number}: {missed} disc{'s' * (missed != 1)} wrong"
        name = "the true board" if truth else name
        axes.set_title(name, fontsize=10)
    figure.suptitle(title, fontsize=11)
    colour_bar(figure, drawn, 1, "belief: theirs (red) to mine (blue)", shrink=0.6)
    save(figure, path)


def what_moves_say(
    geometry: Geometry, rows: Sequence[Sequence[tuple[str, Tensor]]], title: str, path: Path
) -> None:
    """What moves say of the discs around them: a row of (title, values [squares]) for every head.

    Values are drawn in units of their row's median over the squares of which something is said.
    """
    columns, limit = len(rows[0]), 4.0
    figure, drawn = panels(len(rows), columns, (2.6 * columns + 0.8, 2.8 * len(rows) + 0.4))
    for line, row in zip(drawn, rows, strict=True):
        loudness = torch.stack([values for _, values in row]).abs()
        unit = loudness[loudness > 0].median()
        for axes, (name, values) in zip(line, row, strict=True):
            draw_squares(axes, geometry, (values / unit).cpu(), limit)
            axes.set_title(name, fontsize=10)
    figure.suptitle(title, fontsize=11)
    colour_bar(figure, drawn, limit, "theirs (red) to mine (blue)", shrink=0.7, extend="both")
    save(figure, path)
