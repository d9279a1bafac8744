"""The game, and what is known of playing it: rules by name, rules found in models; no model.

Nothing here knows a model class: everything works on tensors of tokens, squares and boards::

    from extracted_rules import Position
    Position.after("f5d6c3").legal_moves
"""

from extracted_rules.errors import UserError
from extracted_rules.othello.game import (
    IllegalGameError,
    Replay,
    count_sequences,
    random_games,
    replay,
)
from extracted_rules.othello.game_files import GameFileError, load_games, write_transcripts
from extracted_rules.othello.geometry import STANDARD, BoardError, Geometry, NotationError
from extracted_rules.othello.notation import (
    format_transcript,
    parse_transcript,
    squares_from_tokens,
    tokens_from_squares,
)
from extracted_rules.othello.position import Position

__all__ = [
    "STANDARD",
    "BoardError",
    "GameFileError",
    "Geometry",
    "IllegalGameError",
    "NotationError",
    "Position",
    "Replay",
    "UserError",
    "count_sequences",
    "format_transcript",
    "load_games",
    "parse_transcript",
    "random_games",
    "replay",
    "squares_from_tokens",
    "tokens_from_squares",
    "write_transcripts",
]
