"""Tools of interpretability, run on a model; each writes a result for the test bed."""
