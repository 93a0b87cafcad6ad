"""Data sets: where images come from, how they are read, checked, selected and packed."""
