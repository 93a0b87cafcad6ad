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


def _holds(process: int, command: bytes, name: str) -> bool:
    """Whether it is a fresh process with `command` in its command line, or a fork of the name."""
    folder = Path("/proc") / str(process)
    try:
        line = (folder / "cmdline").read_bytes()
        # A fork has its parent's command line; a shell that starts Python has Python's in its own.
        return (folder / "comm").read_text().strip() == name or (b"python" in line.split(b"\0")[0] and command in line)
    except OSError:
        return False


def trains(process: int) -> bool:
    """Whether it trains."""
    return _holds(process, b"headstart.components.training.process", "headstart-train")


def is_task(process: int) -> bool:
    """Whether it is the process of a pipeline's task."""
    return _holds(process, b"kfp.dsl.executor_main", "headstart-task")
