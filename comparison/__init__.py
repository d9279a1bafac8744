"""Models side by side, hand-built, trained and baselines; and the command line.

In a notebook::

    import comparison
    from extracted_rules import Position
    Position.after("f5d6c3")
    comparison.explainer("calibrated").after("f5d6c3d3c4")
"""

from comparison.shortcuts import error_sets, explainer
from comparison.training.models import load_model

__all__ = ["error_sets", "explainer", "load_model"]
