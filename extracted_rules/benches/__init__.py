"""Benches: games, what each of their positions asks, and intervals with the game as the unit."""
