"""The rules of the game as properties of any model.

``from comparison.properties import check, PROPERTIES``
"""

from comparison.properties.checking import PROPERTIES, Finding, Report, check
from comparison.properties.definition import PropertyError
from comparison.reading.board_reader import board_reader
from extracted_rules.benches.made_games import plans

__all__ = ["PROPERTIES", "Finding", "PropertyError", "Report", "board_reader", "check", "plans"]
