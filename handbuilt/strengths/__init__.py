"""The numbers of the recipes: what they are, their files, and how `logic` is spread out."""

from handbuilt.strengths.carrying import carry_over
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
    StrengthsError,
    axes_of,
)
from handbuilt.strengths.files import (
    ARGUED,
    FITTED,
    FOLDER,
    dump,
    holds_strengths,
    load_strengths,
    parse,
    put_strengths,
    read_strengths,
    strengths_of,
)
from handbuilt.strengths.thresholds import keep_threshold, kept_threshold, read_thresholds

__all__ = [
    "ARGUED",
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
    "axes_of",
    "carry_over",
    "dump",
    "holds_strengths",
    "keep_threshold",
    "kept_threshold",
    "load_strengths",
    "parse",
    "put_strengths",
    "read_strengths",
    "read_thresholds",
    "strengths_of",
]
