"""Trained models: training, files of all formats, and the one that the project holds."""
