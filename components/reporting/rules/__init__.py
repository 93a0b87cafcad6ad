"""The rules of `verify`, by what they look at: runs, likeness of the arms, the clock, the images."""
