"""Studies: questions about one model, each answered by a command."""
