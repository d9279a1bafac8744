"""A trained model written down in names, neuron by neuron: the transcript, its program, its fit."""
