"""Follows a run to its end: asks for its state, shows the tasks, survives a connection that comes back."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from rich.live import Live
from rich.table import Table
from rich.text import Text

from headstart.components.console import Console
from headstart.components.errors import HeadstartError
from headstart.pipelines.packages import Package
from headstart.pipelines.submission import runs
from headstart.pipelines.submission.connection import Connection, LostConnectionError, UnauthorisedError

POLL_SECONDS = 5.0
# How long the API may stay silent before we say that we no longer know.
PATIENCE_SECONDS = 600.0


class WaitedTooLongError(HeadstartError):
    """The time that was given for waiting is over; the run goes on."""

    exit_status = 4


@dataclass(frozen=True)
class TaskProgress:
    """One task of a pipeline: in a loop it stands for all its iterations."""

    title: str
    state: str
    finished: int
    failed: int
    total: int
    seconds: float | None


class Watcher(Protocol):
    """What is told how a run goes."""

    def show(self, state: str, tasks: list[TaskProgress]) -> None:
        """Be told the state of the run and of its tasks, at every look."""

    def note(self, text: str) -> None:
        """Be told something worth a line."""


def summarise_tasks(run: dict[str, Any], package: Package | None, now: datetime | None = None) -> list[TaskProgress]:
    """Put the task details of a run together by task, in the order in which they began.

    The API lists every node of the workflow beneath: drivers, executors, iterations. Only what the package calls a
    task is shown, loops through the tasks in them. Without a package, drivers and inner nodes are left out by name.
    """
    titles = package.display_names() if package else None
    loops = set(package.loops()) if package else set()
    details: dict[str, list[dict[str, Any]]] = {}
    workflow = _workflow_name(run)
    for detail in (run.get("run_details") or {}).get("task_details") or []:
        name = str(detail.get("display_name") or "")
        if name in loops or (titles is not None and name not in titles):
            continue
        if titles is None and (_is_inner(name) or name == workflow):
            continue
        details.setdefault(name, []).append(detail)
    ordered = sorted(details.items(), key=lambda item: min(str(d.get("start_time") or "~") for d in item[1]))
    return [_progress((titles or {}).get(name, name), each, now) for name, each in ordered]


def _is_inner(name: str) -> bool:
    # An attempt, report(0), stands beside the task that it is an attempt of.
    inner = name.endswith("-driver") or name.startswith(("executor", "iteration", "for-loop"))
    return not name or name == "root" or inner or _ATTEMPT.search(name) is not None


def _workflow_name(run: dict[str, Any]) -> str:
    """Name of the Argo workflow behind a run, whose nodes' names begin with it; empty where no task has begun."""
    for detail in (run.get("run_details") or {}).get("task_details") or []:
        for child in detail.get("child_tasks") or []:
            if child.get("pod_name"):
                return str(child["pod_name"]).rsplit("-", 1)[0]
    return ""


def _progress(title: str, details: list[dict[str, Any]], now: datetime | None) -> TaskProgress:
    states = [str(detail.get("state") or "PENDING") for detail in details]
    finished = sum(state in runs.FINAL_STATES for state in states)
    failed = states.count("FAILED")
    for state in ("RUNNING", "FAILED", "CANCELED", "PENDING", "SUCCEEDED"):
        if state in states:
            break
    else:
        state = states[0]
    begun = [t for t in (_time(detail.get("start_time")) for detail in details) if t]
    ended = [t for t in (_time(detail.get("end_time")) for detail in details) if t]
    seconds = None
    if begun:
        last = max(ended) if finished == len(states) and ended else (now or datetime.now(UTC))
        seconds = max((last - min(begun)).total_seconds(), 0.0)
    return TaskProgress(title, state, finished, failed, len(states), seconds)


def _time(text: Any) -> datetime | None:
    """Read a time of the API; it writes 1970 where there is none yet."""
    try:
        value = datetime.fromisoformat(str(text).replace("Z", "+00:00"))
    except ValueError:
        return None
    return value if value.year > 1970 and value.tzinfo else None


@dataclass
class Follower:
    """Waits for one run.

    Attributes:
        connection: the API.
        package: the pipeline that runs, for the names of its tasks; None where it is not at hand.
        watcher: is told how it goes.
        timeout_seconds: how long to wait; 0: as long as it takes.
    """

    connection: Connection
    package: Package | None
    watcher: Watcher
    timeout_seconds: float = 0.0

    def wait(self, run_id: str) -> dict[str, Any]:
        """Return the run once its state is final.

        Raises:
            WaitedTooLongError: it was not final within `timeout_seconds`.
            LostConnectionError: the API was silent for PATIENCE_SECONDS.
            UnauthorisedError: the API no longer accepts us, most often because a token expired.
        """
        began = answered = time.monotonic()
        silent = False
        while True:
            try:
                run = runs.get_run(self.connection, run_id)
            except LostConnectionError as error:
                unheard = time.monotonic() - answered
                if unheard > PATIENCE_SECONDS:
                    raise LostConnectionError(
                        f"{error.message} Nothing has been heard of run {run_id} for {_span(unheard)}.",
                        f"It may still go on. Once the API answers again: headstart submit --attach {run_id}",
                    ) from error
                if not silent:
                    self.watcher.note(f"{error.message} Trying on; the run does not need us.")
                silent = True
            except UnauthorisedError as error:
                raise UnauthorisedError(
                    f"{error.message} Run {run_id} goes on without us.",
                    f"{error.remedy} Then: headstart submit --attach {run_id}",
                    error.status,
                ) from error
            else:
                if silent:
                    self.watcher.note("The API answers again.")
                answered, silent = time.monotonic(), False
                state = runs.state_of(run)
                self.watcher.show(state, summarise_tasks(run, self.package))
                if state in runs.FINAL_STATES:
                    return run
            if self.timeout_seconds and time.monotonic() - began >= self.timeout_seconds:
                raise WaitedTooLongError(
                    f"Run {run_id} has not ended after {_span(self.timeout_seconds)} of waiting; it goes on.",
                    f"Wait on with: headstart submit --attach {run_id}",
                )
            self.connection.pause(POLL_SECONDS)


def _span(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min" if hours else f"{minutes} min {rest:02d} s" if minutes else f"{rest} s"


_ATTEMPT = re.compile(r"\(\d+\)$")
_COLOURS = {"SUCCEEDED": "green", "FAILED": "red", "CANCELED": "yellow", "RUNNING": "cyan"}


class TerminalWatcher:
    """Shows a table that renews itself on a terminal, and a line a change where the output goes into a file."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=4, transient=False) if console.is_terminal else None
        self._said: dict[str, tuple[str, int]] = {}

    def __enter__(self) -> TerminalWatcher:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, state: str, tasks: list[TaskProgress]) -> None:
        """Draw the table anew, or print what changed."""
        if self._live:
            self._live.update(task_table(state, tasks), refresh=True)
            return
        for task in tasks:
            if self._said.get(task.title) != (task.state, task.finished):
                self._said[task.title] = (task.state, task.finished)
                of = f"  {task.finished} of {task.total}" if task.total > 1 else ""
                self._console.print(f"{datetime.now():%H:%M:%S}  {task.state:<9}  {task.title}{of}", highlight=False)

    def note(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, style="yellow", highlight=False)


def task_table(state: str, tasks: list[TaskProgress]) -> Table:
    """Return the tasks of a run as a table."""
    table = Table(box=None, pad_edge=False, title=None)
    table.add_column("State")
    table.add_column("Task")
    table.add_column("Done", justify="right")
    table.add_column("Time", justify="right")
    for task in tasks:
        done = f"{task.finished}/{task.total}" + (f" ({task.failed} failed)" if task.failed else "")
        time_text = "" if task.seconds is None else _span(task.seconds)
        table.add_row(Text(task.state, style=_COLOURS.get(task.state, "")), task.title, done, time_text)
    table.add_section()
    table.add_row(Text(state, style=_COLOURS.get(state, "")), "Run", "", "", style="bold")
    return table
