"""Measures how much of a head start transfer learning gives, what preparing it costs, and when that pays."""
