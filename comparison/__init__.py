"""Models side by side, hand-built, trained and baselines; and the command line.

In a notebook::

    import comparison
    model = comparison.load_model("reference")
    comparison.explainer("calibrated").after("f5d6c3d3c4")
    comparison.check(model, examples=20)
"""

from comparison.properties import check
from comparison.scoring.bench import choose_threshold, evaluate
from comparison.scoring.error_sets import overlap
from comparison.shortcuts import error_sets, explainer
from comparison.training.models import load_model

__all__ = [
    "check",
    "choose_threshold",
    "error_sets",
    "evaluate",
    "explainer",
    "load_model",
    "overlap",
]
