"""Lines of a figure, as plain data: whoever has some need not load what draws them."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Curve:
    """What validation found in the course of training.

    games: seen so far. illegal: top-1 illegal rates. excess: excess cross-entropies, nats. colour:
    a number into the colours of models, or None for grey.
    """

    name: str
    games: list[int]
    illegal: list[float]
    excess: list[float]
    colour: int | None = None
    dashed: bool = False
