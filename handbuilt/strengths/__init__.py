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
from handbuilt.strengths.files import (
    FITTED,
    FOLDER,
    StrengthsError,
    adopt_strengths,
    dump,
    holds_strengths,
    load_strengths,
    parse,
    read_strengths,
)
from handbuilt.strengths.thresholds import keep_threshold, kept_threshold, read_thresholds

__all__ = [
    "AXES",
    "FITTED",
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
    "adopt_strengths",
    "axes_of",
    "dump",
    "holds_strengths",
    "keep_threshold",
    "kept_threshold",
    "load_strengths",
    "parse",
    "read_strengths",
    "read_thresholds",
]
