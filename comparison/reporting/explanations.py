"""Pictures of explanations and of patching."""

from pathlib import Path

import torch
from matplotlib.axes import Axes

from comparison.explaining.explanation import (
    COLOUR,
    LITTLE,
    Explanation,
    SquareReasons,
    boards,
    why,
)
from extracted_rules.drawing.boards import draw_board
from extracted_rules.drawing.pictures import DIVERGING, panels, save
from handbuilt.analysis.patching import PLACES, Patched

FOR, AGAINST = "#2166ac", "#b2182b"
#: Bars of a square's logit: the largest are drawn, the others summed.
BARS = 16


def draw_explanation(e: Explanation, path: Path) -> None:
    """The answer, the board as it is decoded, and what makes the logit of the square asked about
    (of the likeliest where none is). Raises OSError."""
    figure, drawn = panels(1, 3, (13, 4.6), width_ratios=(1, 1, 1.25))
    left, middle, right = drawn[0]
    for axes, picture in zip((left, middle), boards(e), strict=False):
        draw_board(axes, picture)
    if e.final is None:
        middle.text(0.5, 0.5, "nothing reads a board here", ha="center", transform=middle.transAxes)
        middle.axis("off")
    _draw_bars(right, e.chief)
    said = why(e)[:1]
    title = f"Before move {e.ply}, {COLOUR[e.mover]} to move"
    figure.suptitle("\n".join([title, *said]), fontsize=11)
    save(figure, path)


def _draw_bars(axes: Axes, square: SquareReasons) -> None:
    """What each layer's heads and kinds of neurons add, in the order of layers."""
    bars = [("embeddings, constants", square.constant)]
    for layer, (heads, _) in enumerate(square.by_layer):
        bars.append((f"{layer} heads", heads))
        bars += [(f"{layer} {family}", v) for at, family, v in square.families if at == layer]
    large = sorted(bars, key=lambda bar: -abs(bar[1]))[:BARS]
    shown = [bar for bar in bars if bar in large and abs(bar[1]) > LITTLE]
    others = square.logit - sum(value for _, value in shown)
    shown.append(("all others", others))
    places = range(len(shown))
    values = [value for _, value in shown]
    axes.barh(places, values, color=[FOR if value > 0 else AGAINST for value in values])
    axes.set_yticks(places, [name.replace("$", r"\$") for name, _ in shown], fontsize=8)
    axes.invert_yaxis()
    axes.axvline(0, color="0.3", lw=0.8)
    axes.set_title(f"what makes {square.square}'s logit of {square.logit:.2f}", fontsize=10)
    axes.set_xlabel("logit, by layer and kind of part")
    axes.grid(axis="x", alpha=0.25)


def draw_patched(found: Patched, model: str, path: Path) -> None:
    """What comes back of one game's answer when its activations are put into another, by layer and
    by head. Raises OSError."""
    figure, drawn = panels(1, 3, (13, 4.2), width_ratios=(0.7, 1, 1.2))
    left, middle, right = drawn[0]
    layers = torch.stack(list(found.layers.values()), 1)
    style = {"cmap": DIVERGING, "vmin": -1, "vmax": 1, "aspect": "auto", "origin": "lower"}
    left.imshow(layers.numpy(), **style)
    left.set_xticks(range(len(PLACES)), list(PLACES), fontsize=8)
    left.set(ylabel="layer", title="whole layers")
    image = middle.imshow(found.heads.numpy(), **style)
    middle.set(xlabel="head", ylabel="layer", title="heads")
    for axes, values in ((left, layers), (middle, found.heads)):
        for (row, column), value in zip(
            torch.cartesian_prod(*map(torch.arange, values.shape)).tolist(),
            values.flatten().tolist(),
            strict=True,
        ):
            if abs(value) >= LITTLE:
                ink = "white" if abs(value) > 0.6 else "0.15"
                axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7,
                          color=ink)  # fmt: skip
    shown = found.neurons[:BARS][::-1]
    shares = [neuron.share for neuron in shown]
    right.barh(range(len(shown)), shares, color=[FOR if s > 0 else AGAINST for s in shares])
    right.set_yticks(range(len(shown)), [neuron.name for neuron in shown], fontsize=8)
    right.axvline(0, color="0.3", lw=0.8)
    right.set(title="single neurons", xlabel="share that comes back")
    figure.colorbar(image, ax=middle, shrink=0.8, label="share that comes back")
    only = " and ".join(
        f"{' '.join(squares)} legal {where}"
        for squares, where in ((found.only_here, "here"), (found.only_there, "there"))
        if squares
    )
    figure.suptitle(f"{model}: {only}", fontsize=11)
    save(figure, path)
