"""Follows a run to its end: asks for its state, shows the tasks, survives a connection that comes back."""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.live import Live
from rich.table import Table
from rich.text import Text

from headstart.components.console import Console
from headstart.components.errors import HeadstartError
from headstart.pipelines.packages import Package
from headstart.pipelines.submission import runs
from headstart.pipelines.submission.answers import Run
from headstart.pipelines.submission.connection import (
    Connection,
    LostConnectionError,
    NotTheApiError,
    ServiceError,
    UnauthorisedError,
    is_away,
)
from headstart.pipelines.submission.workflow import TaskState, Workflow, fetch_workflow, meaning_of

POLL_SECONDS = 5.0
# How many looks at the run there are to one at its workflow, which is a megabyte with many runs.
WORKFLOW_LOOKS = 3
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
    waits: str = ""
    """What its pods wait for, as Kubernetes puts it; empty where none waits."""


def summarise_tasks(
    run: Run, package: Package | None, now: datetime | None = None, *, going: bool = True
) -> list[TaskProgress]:
    """Put the task details of a run together by task, in the order in which they began; `going`: the run goes on.

    The API lists every node of the workflow beneath: drivers, executors, iterations. Only what the package calls a
    task is shown, loops through the tasks in them. Without a package, drivers and inner nodes are left out by name.
    """
    titles = package.display_names() if package else None
    loops = set(package.loops()) if package else set()
    tasks: list[TaskState] = []
    workflow = _workflow_name(run)
    for detail in (run.get("run_details") or {}).get("task_details") or []:
        name = str(detail.get("display_name") or "")
        if name in loops or (titles is not None and name not in titles):
            continue
        if titles is None and (_is_inner(name) or name == workflow):
            continue
        state, start, end = (str(detail.get(key) or "") for key in ("state", "start_time", "end_time"))
        tasks.append(TaskState(name, state or "PENDING", start, end, 0, ""))
    return _together(tasks, titles or {}, now, going)


def package_of(run: Run) -> Package | None:
    """Return the pipeline of a run as the API keeps it, for the titles of its tasks; None where it does not."""
    document = run.get("pipeline_spec") or {}
    inner = document.get("pipeline_spec", document)
    if not isinstance(inner, dict) or not isinstance(inner.get("root"), dict):
        return None
    package = Package(Path(), inner, {})
    try:
        return package if package.display_names() else None
    except (AttributeError, TypeError):
        return None


def _is_inner(name: str) -> bool:
    # An attempt, report(0), is beside the task that it is an attempt of.
    inner = name.endswith("-driver") or name.startswith(("executor", "iteration", "for-loop"))
    return not name or name == "root" or inner or _ATTEMPT.search(name) is not None


def _workflow_name(run: Run) -> str:
    """Name of the Argo workflow behind a run, whose nodes' names begin with it; empty where no task has begun."""
    for detail in (run.get("run_details") or {}).get("task_details") or []:
        for child in detail.get("child_tasks") or []:
            if child.get("pod_name"):
                return str(child["pod_name"]).rsplit("-", 1)[0]
    return ""


def tasks_of_workflow(
    workflow: Workflow, package: Package | None, now: datetime | None = None, *, going: bool = True
) -> list[TaskProgress]:
    """Put the tasks of a workflow together, in the order in which they began; `going`: its run goes on.

    This is the state to go by: the API's own task details stop changing once Argo packs the nodes of a workflow, which
    it does from about 1 MiB on, and they do not say of how many iterations a loop will consist.
    """
    titles = package.display_names() if package else {}
    return _together((task for task in workflow.tasks() if not titles or task.name in titles), titles, now, going)


def _together(
    tasks: Iterable[TaskState], titles: dict[str, str], now: datetime | None, going: bool
) -> list[TaskProgress]:
    found: dict[str, list[TaskState]] = {}
    for task in tasks:
        found.setdefault(task.name, []).append(task)
    ordered = sorted(found.items(), key=lambda item: min(task.started or "~" for task in item[1]))
    return [_progress(titles.get(name, name), each, now, going) for name, each in ordered]


def _progress(title: str, tasks: list[TaskState], now: datetime | None, going: bool) -> TaskProgress:
    states = [task.state for task in tasks]
    finished = sum(state in runs.FINAL_STATES for state in states)
    failed = states.count("FAILED")
    total = max(len(tasks), *(task.iterations for task in tasks))
    order = ("RUNNING", "FAILED", "CANCELED", "PENDING", "SUCCEEDED")
    state = next((state for state in order if state in states), states[0])
    if going and finished < total and state in ("SUCCEEDED", "FAILED"):
        state = "RUNNING"  # between two iterations of its loop, which goes on after one that failed
    begun = [at for task in tasks if (at := _time(task.started))]
    ended = [at for task in tasks if (at := _time(task.finished))]
    seconds = None
    if begun:
        last = max(ended) if finished == total and ended else (now or datetime.now(UTC))
        seconds = max((last - min(begun)).total_seconds(), 0.0)
    waits = next((task.waits for task in tasks if task.waits), "")
    return TaskProgress(title, state, finished, failed, total, seconds, waits)


def _time(text: str) -> datetime | None:
    """Read a time of the API; it writes 1970 where there is none yet."""
    try:
        value = datetime.fromisoformat(text)
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
    watcher: TerminalWatcher
    timeout_seconds: float = 0.0

    def __post_init__(self) -> None:
        self.workflow: Workflow | None = None
        """The workflow as it was last seen; it is removed from the cluster some time after its end."""
        self.waited: dict[str, str] = {}
        """What each task was last seen to wait for, by title."""
        self._noted: set[tuple[str, str]] = set()

    def wait(self, run_id: str) -> Run:
        """Return the run once its state is final.

        Raises:
            WaitedTooLongError: it was not final within `timeout_seconds`.
            LostConnectionError: the API was silent for PATIENCE_SECONDS.
            UnauthorisedError: the API no longer accepts us, most often because a token expired.
        """
        began = answered = time.monotonic()
        silent = False
        looks = 0
        if self.timeout_seconds:
            self.connection.deadline = began + self.timeout_seconds
        while True:
            try:
                run = runs.get_run(self.connection, run_id)
                state = runs.state_of(run)
                if looks % WORKFLOW_LOOKS == 0 or state in runs.FINAL_STATES:
                    self.workflow = fetch_workflow(self.connection, run_id) or self.workflow
                looks += 1
            except UnauthorisedError as error:
                raise UnauthorisedError(
                    f"{error.message} Run {run_id} goes on without us.",
                    f"{error.remedy} Then: headstart submit --attach {run_id}",
                    error.status,
                ) from error
            except (LostConnectionError, ServiceError) as error:
                if not isinstance(error, NotTheApiError) and not is_away(error):
                    raise
                unheard = time.monotonic() - answered
                if unheard > PATIENCE_SECONDS:
                    raise LostConnectionError(
                        f"{error.message} Nothing has been heard of run {run_id} for {_span(unheard)}.",
                        f"It may still go on. Once the API answers again: headstart submit --attach {run_id}",
                    ) from error
                if not silent:
                    self.watcher.note(f"{error.message} Trying on; the run does not need us.")
                silent = True
            else:
                if silent:
                    self.watcher.note("The API answers again.")
                answered, silent = time.monotonic(), False
                self.package = self.package or package_of(run)
                self._show(state, run)
                if state in runs.FINAL_STATES:
                    return run
            if self.timeout_seconds and time.monotonic() - began >= self.timeout_seconds:
                raise WaitedTooLongError(
                    f"Run {run_id} has not ended after {_span(self.timeout_seconds)} of waiting; it goes on.",
                    f"Wait on with: headstart submit --attach {run_id}",
                )
            self.connection.pause(POLL_SECONDS)

    def _show(self, state: str, run: Run) -> None:
        going = state not in runs.FINAL_STATES
        tasks: list[TaskProgress] = []
        if self.workflow and self.workflow.nodes:
            tasks = tasks_of_workflow(self.workflow, self.package, going=going)
        tasks = tasks or summarise_tasks(run, self.package, going=going)
        for task in tasks:
            if not task.waits:
                continue
            self.waited[task.title] = task.waits
            # Kubernetes says in turn that it cannot fetch an image and that it waits before it tries again.
            if (task.title, task.waits) not in self._noted:
                self._noted.add((task.title, task.waits))
                self.watcher.note(f"{task.title} waits: {task.waits}")
                if meaning := meaning_of(task.waits):
                    self.watcher.note(f"  {meaning}")
        self.watcher.show(state, tasks)


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
        self._shown: dict[str, tuple[str, int]] = {}

    def __enter__(self) -> TerminalWatcher:
        if self._live:
            self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self._live:
            self._live.stop()

    def show(self, state: str, tasks: list[TaskProgress]) -> None:
        """Redraw the table, or print what changed."""
        if self._live:
            self._live.update(task_table(state, tasks), refresh=True)
            return
        for task in tasks:
            if self._shown.get(task.title) != (task.state, task.finished):
                self._shown[task.title] = (task.state, task.finished)
                of = f"  {task.finished} of {task.total}" if task.total > 1 else ""
                of += f", {task.failed} failed" if of and task.failed else ""
                self._console.print(f"{datetime.now():%H:%M:%S}  {task.state:<9}  {task.title}{of}")

    def note(self, text: str) -> None:
        """Print a line."""
        self._console.print(text, style="yellow")


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
