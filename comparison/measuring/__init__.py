"""Measuring any model on games: benches, measures, boards, probes, error sets, baselines."""
