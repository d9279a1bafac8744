"""A transformer of Othello-GPT's shape whose weights are compiled from rules."""

from handbuilt.network.shape import Shape
from handbuilt.network.transformer import OthelloGPT
from handbuilt.recipes import RECIPES, build

__all__ = ["RECIPES", "OthelloGPT", "Shape", "build"]
