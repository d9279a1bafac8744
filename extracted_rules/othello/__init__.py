"""The game on tensors: squares, tokens, the engine, lines, game files."""
