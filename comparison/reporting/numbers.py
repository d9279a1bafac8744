"""Figures in words, as all tables have them."""

from math import isnan

from comparison.scoring.intervals import Estimate


def interval(estimate: Estimate, scale: float = 1.0, digits: int | None = None) -> str:
    """``"0.76 [0.75, 0.77]"``, or the value alone where there is no interval, or nothing; with
    ``digits`` behind the point, or such that three or so tell."""

    def write(x: float) -> str:
        x *= scale
        places = digits if digits is not None else 2 if abs(x) < 10 else 1 if abs(x) < 100 else 0
        return f"{x:,.{places}f}"

    if isnan(estimate.value):
        return ""
    if isnan(estimate.low):
        return write(estimate.value)
    return f"{write(estimate.value)} [{write(estimate.low)}, {write(estimate.high)}]"
