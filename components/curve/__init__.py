"""Learning curves: the sizes that are run, and the prepared models that they start from."""
