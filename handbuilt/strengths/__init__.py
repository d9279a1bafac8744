"""The numbers of the recipes: what they are, their files, and how `logic` is spread out."""

from handbuilt.strengths.definition import (
    AXES,
    LINE_VOICES,
    MEMORIES,
    NAMES,
    NEVER,
    SOURCES,
    TOLD,
    VOICES,
    Axes,
    Strengths,
    axes_of,
)
from handbuilt.strengths.files import FOLDER, StrengthsError, dump, load_strengths, parse

__all__ = [
    "AXES",
    "FOLDER",
    "LINE_VOICES",
    "MEMORIES",
    "NAMES",
    "NEVER",
    "SOURCES",
    "TOLD",
    "VOICES",
    "Axes",
    "Strengths",
    "StrengthsError",
    "axes_of",
    "dump",
    "load_strengths",
    "parse",
]
