"""Trained weights: made, adopted, and found by name or path."""
