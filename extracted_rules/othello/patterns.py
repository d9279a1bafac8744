"""The lines of the usual board, for what has not yet learnt to ask a geometry for them."""

from extracted_rules.othello.geometry import Geometry, Pattern

__all__ = ["Pattern"]

_USUAL = Geometry()
ALL_PATTERNS, PATTERNS, BRACKETS = _USUAL.all_patterns, _USUAL.patterns, _USUAL.brackets
MAX_DISTANCE = _USUAL.max_distance
RAYS, SYMMETRIES, START_SYMMETRIES = _USUAL.rays, _USUAL.symmetries, _USUAL.start_symmetries
PAIRS, PAIR_CLASS = _USUAL.pairs, _USUAL.pair_class
ray, transform_tokens = _USUAL.ray, _USUAL.transform_tokens
