"""The lines of the usual board, for what has not yet learnt to ask a geometry for them."""

from extracted_rules.othello.geometry import Geometry

_USUAL = Geometry()
PATTERNS, RAYS, transform_tokens = _USUAL.patterns, _USUAL.rays, _USUAL.transform_tokens
START_SYMMETRIES = _USUAL.start_symmetries
