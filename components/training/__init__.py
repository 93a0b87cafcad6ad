"""Training: the network, its stages and recipes, the clock, what a run writes."""

import os

# Keras reads it when it is imported; whatever another project has put there (jax, torch), this one computes with this.
os.environ["KERAS_BACKEND"] = "tensorflow"
