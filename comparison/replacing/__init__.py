"""Rules found in a model's parts, and what they account for."""
