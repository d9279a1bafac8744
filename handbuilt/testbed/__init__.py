"""Models with known truth: a hand-built one in disguise, and the key that tells what is where."""
