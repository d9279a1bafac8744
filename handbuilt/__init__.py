"""A transformer of Othello-GPT's shape whose weights are compiled from rules."""

from handbuilt.recipes import RECIPES, build
from handbuilt.transformer import OthelloGPT, Shape

__all__ = ["RECIPES", "OthelloGPT", "Shape", "build"]
