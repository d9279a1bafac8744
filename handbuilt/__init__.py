"""A transformer of Othello-GPT's shape whose weights are compiled from rules."""

from handbuilt.compiler import compile
from handbuilt.network.shape import Shape
from handbuilt.network.transformer import OthelloGPT
from handbuilt.programs import Program
from handbuilt.recipes import RECIPES, build, program
from handbuilt.strengths import Strengths, load_strengths

__all__ = [
    "RECIPES",
    "OthelloGPT",
    "Program",
    "Shape",
    "Strengths",
    "build",
    "compile",
    "load_strengths",
    "program",
]
