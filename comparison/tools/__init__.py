"""Tools of interpretability, run on a model: each gives a result that the test bed scores."""
