"""What a model represents of the board: read by names or by probes, and edited."""
