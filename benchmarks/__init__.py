"""Headstart beside the notebook one would write instead, on the same data and machine in one run."""
