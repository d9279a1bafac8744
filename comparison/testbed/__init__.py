"""What a tool found in a model with known truth, scored against its key."""
