"""Whether processes that a test started, or that what it started has started, are still there."""

from collections.abc import Iterable
from pathlib import Path


def alive(processes: Iterable[int]) -> list[int]:
    """Those of `processes` that have not ended."""
    living = []
    for process in processes:
        try:
            state = (Path("/proc") / str(process) / "stat").read_text().rsplit(") ", 1)[1].split()[0]
        except OSError:
            continue
        if state != "Z":
            living.append(process)
    return living
