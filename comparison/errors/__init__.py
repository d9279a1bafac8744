"""Error sets at scale: which positions models fail at, together and apart, and why."""
