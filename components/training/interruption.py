"""What a training loop raises where it is asked to stop within an epoch."""


class Interrupted(Exception):  # noqa: N818 - it is an outcome, not an error
    """An epoch was left unfinished because it was asked to be; the weights are those of no epoch."""
