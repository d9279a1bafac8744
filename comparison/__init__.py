"""Models side by side: baselines, checkpoints, measures, error sets, figures, the command line.

In a notebook::

    import comparison
    comparison.Board.after("f5d6c3")
    comparison.explainer("calibrated").after("f5d6c3d3c4")
"""

from comparison.shortcuts import error_sets, explainer
from comparison.showing.svg import Board
from comparison.trained.models import load_model

__all__ = ["Board", "error_sets", "explainer", "load_model"]
