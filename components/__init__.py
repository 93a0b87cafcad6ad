"""What runs in a container: data sets, training, reporting and promotion, each a package of plain functions."""
