"""The game on tensors: geometries, the engine, positions, how games are written and drawn."""
