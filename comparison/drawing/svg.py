"""Boards as SVG, for notebooks and pages: they show themselves, without matplotlib.

Colours as everywhere: squares are tinted from red (below zero) through white to blue, a gold dot is
a legal move, a ring the likeliest one, a cross the same where it is illegal.
"""

from dataclasses import dataclass, field
from html import escape

import torch
from torch import Tensor

from extracted_rules.othello.game import replay
from extracted_rules.othello.notation import (
    COLUMNS,
    LABELS,
    N_SQUARES,
    parse_transcript,
    tokens_from_squares,
)

#: Pixels of a square, and of the margin where rows and columns are named.
SQUARE, MARGIN = 34, 18
RED, BLUE, OCCUPIED, BLANK = (178, 24, 43), (33, 102, 172), "#e0e0db", "#ffffff"


@dataclass(frozen=True)
class Board:
    """A position that draws itself in a notebook.

    discs: int8 [64], +1 black, -1 white; legal: bool [64], squares to dot. tint: float [64], drawn
    on the empty squares, full at ``limit`` and zero in white; wrong: bool [64], discs to mark;
    likeliest: a square to ring, or to cross where it is not legal; frame: one to point at; -1 for
    none.
    """

    discs: Tensor
    legal: Tensor = field(default_factory=lambda: torch.zeros(N_SQUARES, dtype=torch.bool))
    title: str = ""
    tint: Tensor | None = None
    limit: float = 6.0
    wrong: Tensor | None = None
    likeliest: int = -1
    frame: int = -1

    @classmethod
    def after(cls, transcript: str = "") -> "Board":
        """The board after a game's moves, such as ``"f5d6c3"``, with the legal ones dotted.

        Raises NotationError or IllegalGameError.
        """
        squares = parse_transcript(transcript)
        played = replay(tokens_from_squares([squares]))
        moves = len(squares)
        counted = "1 move" if moves == 1 else f"{moves} moves"
        mover = {1: "black to move", -1: "white to move", 0: "the game is over"}
        return cls(
            played.boards[0, moves],
            played.legal[0, moves],
            f"after {counted}: {mover[int(played.movers[0, moves])]}",
        )

    def _repr_svg_(self) -> str:
        return self.svg()

    def svg(self) -> str:
        """The picture as an ``<svg>`` element, with a title for those who cannot see it."""
        size = 8 * SQUARE + 2 * MARGIN
        top = MARGIN + (16 if self.title else 0)
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{size}" height="{size + top - MARGIN}"'
            f' viewBox="0 0 {size} {size + top - MARGIN}" role="img" font-family="sans-serif">',
            f"<title>{escape(self.title or 'an Othello board')}</title>",
            f'<rect width="{size}" height="{size + top - MARGIN}" fill="#fff"/>',
        ]
        if self.title:
            parts.append(
                f'<text x="{size / 2}" y="13" font-size="12" text-anchor="middle" fill="#222">'
                f"{escape(self.title)}</text>"
            )
        for number, name in enumerate(COLUMNS):
            across, down = MARGIN + (number + 0.5) * SQUARE, top + (number + 0.5) * SQUARE
            style = 'font-size="10" text-anchor="middle" fill="#555"'
            parts.append(f'<text x="{across}" y="{top - 5}" {style}>{name}</text>')
            parts.append(f'<text x="{MARGIN / 2}" y="{down + 4}" {style}>{number + 1}</text>')
        for square in range(N_SQUARES):
            parts += self._square(square, top)
        return "".join([*parts, "</svg>"])

    def _square(self, square: int, top: int) -> list[str]:
        row, column = divmod(square, 8)
        x, y = MARGIN + column * SQUARE, top + row * SQUARE
        middle = f'cx="{x + SQUARE / 2}" cy="{y + SQUARE / 2}"'
        disc = int(self.discs[square])
        fill = OCCUPIED if disc else self._shade(square)
        drawn = [
            f'<rect x="{x}" y="{y}" width="{SQUARE}" height="{SQUARE}" fill="{fill}" '
            f'stroke="#999" stroke-width="0.7"><title>{LABELS[square]}</title></rect>'
        ]
        if disc:
            face = "#1a1a1a" if disc > 0 else "#ffffff"
            drawn.append(f'<circle {middle} r="12.5" fill="{face}" stroke="#1a1a1a"/>')
        if self.wrong is not None and bool(self.wrong[square]):
            drawn.append(
                f'<circle {middle} r="14.5" fill="none" stroke="#d55e00" stroke-width="3"/>'
            )
        if bool(self.legal[square]):
            drawn.append(f'<circle {middle} r="4" fill="#ffd700" stroke="#1a1a1a"/>')
        if square == self.likeliest and bool(self.legal[square]):
            drawn.append(
                f'<circle {middle} r="10.5" fill="none" stroke="#1a1a1a" stroke-width="1.8"/>'
            )
        elif square == self.likeliest:
            low, high = 9, SQUARE - 9
            drawn.append(
                f'<path d="M{x + low} {y + low} L{x + high} {y + high} M{x + high} {y + low} '
                f'L{x + low} {y + high}" stroke="#1a1a1a" stroke-width="2.6"/>'
            )
        if square == self.frame:
            drawn.append(
                f'<rect x="{x + 1.5}" y="{y + 1.5}" width="{SQUARE - 3}" height="{SQUARE - 3}" '
                'fill="none" stroke="#e69f00" stroke-width="3"/>'
            )
        return drawn

    def _shade(self, square: int) -> str:
        if self.tint is None:
            return BLANK
        share = max(-1.0, min(1.0, float(self.tint[square]) / self.limit))
        end = BLUE if share > 0 else RED
        mixed = (round(255 + (c - 255) * abs(share)) for c in end)
        return "#" + "".join(f"{c:02x}" for c in mixed)


def side_by_side(*boards: Board) -> str:
    """Several boards in a row, as HTML."""
    row = "".join(f"<div>{board.svg()}</div>" for board in boards)
    return f'<div style="display:flex;flex-wrap:wrap;gap:12px">{row}</div>'
