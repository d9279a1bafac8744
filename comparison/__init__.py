"""Models side by side, hand-built, trained and baselines; and the command line.

In a notebook::

    import comparison
    comparison.Board.after("f5d6c3")
    comparison.explainer("calibrated").after("f5d6c3d3c4")
"""

from comparison.drawing.svg import Board
from comparison.shortcuts import error_sets, explainer
from comparison.training.models import load_model

__all__ = ["Board", "error_sets", "explainer", "load_model"]
