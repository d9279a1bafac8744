"""Boards as SVG, for notebooks and pages: they show themselves, without matplotlib.

Colours as everywhere: squares are tinted from red (below zero) through white to blue, a gold dot is
a legal move, a ring the likeliest one, a cross the same where it is illegal.
"""

from dataclasses import dataclass
from html import escape
from math import isqrt

from torch import Tensor

from extracted_rules.othello.geometry import Geometry

#: Pixels of a square, and of the margin where rows and columns are named.
SQUARE, MARGIN = 34, 18
RED, BLUE, OCCUPIED, BLANK = (178, 24, 43), (33, 102, 172), "#e0e0db", "#ffffff"


@dataclass(frozen=True)
class Picture:
    """A board, and what there is to say of its squares, that draws itself in a notebook.

    discs: int8 [n_squares], +1 black, -1 white; legal: bool [n_squares], squares to dot. tint:
    float [n_squares], drawn on the empty squares, full at ``limit`` and zero in white; wrong: bool
    [n_squares], discs to mark; likeliest: a square to ring, or to cross where it is not legal;
    frame: one to point at; -1 for none.
    """

    discs: Tensor
    legal: Tensor | None = None
    title: str = ""
    tint: Tensor | None = None
    limit: float = 6.0
    wrong: Tensor | None = None
    likeliest: int = -1
    frame: int = -1

    @property
    def geometry(self) -> Geometry:
        return Geometry(isqrt(len(self.discs)))

    def _repr_svg_(self) -> str:
        return self.svg()

    def svg(self) -> str:
        """The picture as an ``<svg>`` element, with a title for those who cannot see it."""
        across = self.geometry.size
        size = across * SQUARE + 2 * MARGIN
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
        style = 'font-size="10" text-anchor="middle" fill="#555"'
        for number, label in enumerate(self.geometry.labels[:across]):
            x, y = MARGIN + (number + 0.5) * SQUARE, top + (number + 0.5) * SQUARE
            parts.append(f'<text x="{x}" y="{top - 5}" {style}>{label[0]}</text>')
            parts.append(f'<text x="{MARGIN / 2}" y="{y + 4}" {style}>{number + 1}</text>')
        for square in range(self.geometry.n_squares):
            parts += self._square(square, top)
        return "".join([*parts, "</svg>"])

    def _square(self, square: int, top: int) -> list[str]:
        row, column = divmod(square, self.geometry.size)
        x, y = MARGIN + column * SQUARE, top + row * SQUARE
        middle = f'cx="{x + SQUARE / 2}" cy="{y + SQUARE / 2}"'
        disc = int(self.discs[square])
        legal = self.legal is not None and bool(self.legal[square])
        fill = OCCUPIED if disc else self._shade(square)
        drawn = [
            f'<rect x="{x}" y="{y}" width="{SQUARE}" height="{SQUARE}" fill="{fill}" '
            f'stroke="#999" stroke-width="0.7"><title>{self.geometry.labels[square]}</title></rect>'
        ]
        if disc:
            face = "#1a1a1a" if disc > 0 else "#ffffff"
            drawn.append(f'<circle {middle} r="12.5" fill="{face}" stroke="#1a1a1a"/>')
        if self.wrong is not None and bool(self.wrong[square]):
            drawn.append(
                f'<circle {middle} r="14.5" fill="none" stroke="#d55e00" stroke-width="3"/>'
            )
        if legal:
            drawn.append(f'<circle {middle} r="4" fill="#ffd700" stroke="#1a1a1a"/>')
        if square == self.likeliest and legal:
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


def side_by_side(*pictures: Picture) -> str:
    """Several boards in a row, as HTML."""
    row = "".join(f"<div>{picture.svg()}</div>" for picture in pictures)
    return f'<div style="display:flex;flex-wrap:wrap;gap:12px">{row}</div>'
