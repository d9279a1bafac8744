"""``from extracted_rules.game import random_games, replay`` works as it always has; the game itself
lives in ``extracted_rules.othello.game``."""

from extracted_rules.othello.game import (
    IllegalGameError,
    Replay,
    count_sequences,
    flipped_by,
    legal_moves,
    random_games,
    replay,
    stream_seed,
    unpack,
)

__all__ = [
    "IllegalGameError",
    "Replay",
    "count_sequences",
    "flipped_by",
    "legal_moves",
    "random_games",
    "replay",
    "stream_seed",
    "unpack",
]
