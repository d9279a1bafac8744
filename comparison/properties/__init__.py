"""The rules of the game as properties of any model.

``from comparison.properties import check, PROPERTIES``
"""

from comparison.properties.checking import PROPERTIES, Finding, Report, check
from comparison.properties.definition import PropertyError
from comparison.properties.games import plans
from comparison.reading.board_reader import board_reader

__all__ = ["PROPERTIES", "Finding", "PropertyError", "Report", "board_reader", "check", "plans"]
