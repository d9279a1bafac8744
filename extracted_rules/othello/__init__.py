"""The game: squares, tokens, the bitboard engine, game files, patterns; and files as such."""
