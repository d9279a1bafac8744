"""Finds rules in activations and weights: tensors in, findings of the catalogue out."""
