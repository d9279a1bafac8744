"""Benches: games, what their positions ask, and statistics with the game as the unit."""
