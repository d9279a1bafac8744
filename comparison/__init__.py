"""Models side by side: baselines, checkpoints, measures, error sets, figures, the command line."""

from comparison.trained.models import load_model

__all__ = ["load_model"]
