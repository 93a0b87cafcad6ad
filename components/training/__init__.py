"""Training: the network, its stages and recipes, the clock, what a run writes. Only this package imports TensorFlow."""
