"""The lines of the usual board, for what has not yet learnt to ask a geometry for them."""

from extracted_rules.othello.geometry import Geometry

PATTERNS = Geometry().patterns
