"""The numbers of the recipes: what they are, their files, and how `logic` is spread out."""

from handbuilt.strengths.definition import (
    AXES,
    CLAIMING,
    LAGS,
    LENGTHS,
    LINE_VOICES,
    MEMORIES,
    NEVER,
    SOURCES,
    TOLD,
    VOICES,
    Strengths,
    fitted,
)
from handbuilt.strengths.files import FOLDER, StrengthsError, dump, load_strengths, parse

__all__ = [
    "AXES",
    "CLAIMING",
    "FOLDER",
    "LAGS",
    "LENGTHS",
    "LINE_VOICES",
    "MEMORIES",
    "NEVER",
    "SOURCES",
    "TOLD",
    "VOICES",
    "Strengths",
    "StrengthsError",
    "dump",
    "fitted",
    "load_strengths",
    "parse",
]
