"""Runs a pipeline on this machine through `kfp.local`, and tells a listener what happens.

The runner works in a process of its own (`local_worker.py`). Its log goes to a file, whole; this module reads
the same lines and turns them into calls of a `Listener`: which task began or ended, and the events that components
print (`headstart.components.progress`).
"""

from __future__ import annotations

import contextlib
import datetime
import os
import re
import signal
import subprocess
import sys
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

from headstart.components import progress
from headstart.components.atomic_files import write_json
from headstart.components.foreign_text import printable
from headstart.components.training.stages import NO_CONTAINER

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_STARTED = re.compile(r"Executing task '([^']+)'")
_ENDED = re.compile(r"Task '([^']+)' finished with status (\w+)")
_RETRIED = re.compile(r"Task (\S+) failed \(attempt \d+/\d+\)\. Retrying in")
_RAN = "Wrote executor output file"
_ERROR = re.compile(r"\s*[\w.]*(Error|Exception|Interrupt)\b.*:")
_OURS = re.compile(r"^headstart\.components\.errors\.(Headstart|Setting|Temporary)Error: ")
_AFTER_ERROR = re.compile(r"\[KFP Executor|Traceback \(|During handling|The above exception")
GRACE_SECONDS = 25.0


class Listener(Protocol):
    """What wants to know how a run goes."""

    def task_started(self, task: str) -> None:
        """Be told that a task began; a task in a loop is named once per iteration."""

    def task_ended(self, task: str, succeeded: bool) -> None:
        """Be told that a task ended."""

    def task_retried(self, task: str) -> None:
        """Be told that a task that failed is tried again."""

    def event(self, task: str, fields: dict[str, str]) -> None:
        """Be told what the running task printed as an event."""

    def log_line(self, line: str) -> None:
        """Be told every line of the log."""

    def interrupted(self) -> None:
        """Be told that the run is being ended, which can take as long as a checkpoint needs."""


@dataclass
class LocalRun:
    """What to run, and where.

    Attributes:
        builder: `module:function` of the pipeline builder, for example `headstart.pipelines.experiment:experiment`.
        arguments: the pipeline's parameters.
        pipeline_root: absolute path of an empty folder for what tasks write.
        log: file that the runner's whole log goes to.
        build: keyword arguments of the builder.
        placement: fields of `headstart.pipelines.placement.Placement`.
        docker: None for a subprocess per task in this environment, or `user`, `network` and `mounts` (host folders
            that containers may read) for a container per task.
        keep_open: file descriptors that the runner's process keeps open as long as it lives: a lock's.
    """

    builder: str
    arguments: dict[str, Any]
    pipeline_root: Path
    log: Path
    build: dict[str, Any] = field(default_factory=dict)
    placement: dict[str, Any] = field(default_factory=dict)
    docker: dict[str, Any] | None = None
    keep_open: tuple[int, ...] = ()


@dataclass
class LocalResult:
    """How it ended: `failed_task` is the task whose last attempt failed, `message` the error that it ended with."""

    succeeded: bool
    failed_task: str = ""
    message: str = ""


def new_run_id() -> str:
    """Return a name for a run on this machine: its beginning in UTC and six random digits."""
    return f"{datetime.datetime.now(datetime.UTC):%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:6]}"


def run_locally(run: LocalRun, listener: Listener) -> LocalResult:
    """Run a pipeline and return how it ended; KeyboardInterrupt ends every process of it and is raised again."""
    specification = run.pipeline_root / "run.json"
    write_json(
        specification,
        {
            "builder": run.builder,
            "arguments": run.arguments,
            "build": run.build,
            "placement": run.placement,
            "pipeline_root": str(run.pipeline_root),
            "docker": run.docker,
        },
    )
    with _Log(run.log) as log:
        worker = subprocess.Popen(
            # -P: nothing in the working directory can be taken for a module.
            [sys.executable, "-P", "-m", "headstart.pipelines.local_worker", str(specification)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env=_environment(run),
            # A group of its own: Ctrl-C reaches us alone, and we end the group in order.
            start_new_session=True,
            pass_fds=run.keep_open,
        )
        try:
            return _follow(worker, log, listener)
        except KeyboardInterrupt:
            listener.interrupted()
            raise
        finally:
            _end_group(worker, log)


class _Log:
    """The file that the runner's log goes to; where it cannot be written, the run goes on without it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[str] | None = None

    def __enter__(self) -> _Log:
        try:
            self._file = self._path.open("a", encoding="utf-8", buffering=1)
        except OSError as error:
            self._give_up(error)
        return self

    def write(self, text: str) -> None:
        try:
            if self._file is not None:
                self._file.write(text)
        except OSError as error:
            self._give_up(error)

    def _give_up(self, error: OSError) -> None:
        self.__exit__()
        with contextlib.suppress(OSError):
            sys.stderr.write(f"{self._path}: the log ends here: {error.strerror}.\n")

    def __exit__(self, *_: object) -> None:
        file, self._file = self._file, None
        with contextlib.suppress(OSError):
            if file is not None:
                file.close()


def _environment(run: LocalRun) -> dict[str, str]:
    """Return the environment of the runner and of all that it starts."""
    temporary = run.pipeline_root / "tmp"
    temporary.mkdir(parents=True, exist_ok=True)
    environment = {
        **os.environ,
        "PYTHONUNBUFFERED": "1",
        # kfp's components call `python3`; it must be the one that has Headstart installed.
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        # kfp starts them as `python3 -m`, which would look for modules in the working directory first.
        "PYTHONSAFEPATH": "1",
        # Removed with the pipeline's folder: each of kfp's tasks leaves a folder of its own in it.
        "TMPDIR": str(temporary),
    }
    if run.docker is None:
        environment[NO_CONTAINER] = "1"
    # An empty or relative entry, as `PYTHONPATH=:/x` has one, is the working directory too.
    path = [entry for entry in environment.pop("PYTHONPATH", "").split(os.pathsep) if Path(entry).is_absolute()]
    return {**environment, "PYTHONPATH": os.pathsep.join(path)} if path else environment


class _Tasks:
    """Follows the tasks through the lines of the log; a task that is tried again has not failed."""

    def __init__(self, listener: Listener) -> None:
        self.current = ""
        self.failures: list[tuple[str, str]] = []  # task and error, the first one first
        self._listener, self._ran, self._lines = listener, False, list[str]()

    def line(self, line: str) -> None:
        """Take in one line of the log."""
        plain = _ANSI.sub("", line)
        if started := _STARTED.search(plain):
            self.current, self._ran, self._lines = started[1], False, []
            self._listener.task_started(self.current)
        elif ended := _ENDED.search(plain):
            self._ended(ended[1], ended[2] == "SUCCESS")
        elif retried := _RETRIED.search(plain):
            if self.failures:
                # Where iterations run side by side, another's failure may have come between.
                own = [number for number, (task, _) in enumerate(self.failures) if task == retried[1]]
                task, _ = self.failures.pop(max(own, default=-1))
                self._listener.task_retried(task)
        elif fields := progress.parse(plain):
            self._listener.event(self.current, fields)
        elif _RAN in plain:
            self._ran = True
        elif plain.strip():
            self._lines.append(plain.rstrip())
            del self._lines[:-20]

    def error(self) -> str:
        """Return the error in the lines since the last task began, such as the runner's own."""
        return _error(self._lines)

    def _ended(self, task: str, succeeded: bool) -> None:
        message = _error(self._lines)
        if succeeded and not self._ran:
            # The container runner takes a container that is gone at once for a success.
            succeeded, message = False, "the task ended without having run; does its image hold Headstart?"
        if not succeeded:
            unsaid = "its process ended without an error message, as one does that is killed"
            self.failures.append((task, message or unsaid))
        self._listener.task_ended(task, succeeded)


def _follow(worker: subprocess.Popen[str], log: _Log, listener: Listener) -> LocalResult:
    tasks = _Tasks(listener)
    assert worker.stdout is not None
    for raw in worker.stdout:
        line = _shown(raw.rstrip("\n"))
        log.write(line + "\n")
        listener.log_line(line)
        tasks.line(line)
    status = worker.wait()
    if tasks.failures:
        return LocalResult(False, *tasks.failures[0])
    if status == 0:
        return LocalResult(succeeded=True)
    how = f"was killed by signal {-status}" if status < 0 else f"ended with status {status}"
    while_ = f" while {tasks.current} ran" if tasks.current else ""
    return LocalResult(False, "", tasks.error() or f"it {how}{while_}")


def _shown(text: str) -> str:
    """Return output of the worker, printable and without the colours that kfp gives its own lines."""
    return printable(_ANSI.sub("", text), lines=True, longest=100_000)


def _error(lines: list[str]) -> str:
    """Return the error in a task's last lines: what its exception says, not the traceback above it; empty if none."""
    for number in range(len(lines) - 1, -1, -1):
        if _ERROR.match(lines[number]):
            words = []
            for line in lines[number : number + 6]:
                if _AFTER_ERROR.search(line):
                    break
                words.append(line.strip())
            return _OURS.sub("", " ".join(words))
    return ""


def _end_group(worker: subprocess.Popen[str], log: _Log) -> None:
    """Ask the worker and all it started to end, wait while they write checkpoints, then insist."""
    for sent in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(worker.pid, sent)
        except ProcessLookupError:
            break
        # The pipe ends when the last process that holds it has ended.
        try:
            rest, _ = worker.communicate(timeout=GRACE_SECONDS)
        except (subprocess.TimeoutExpired, KeyboardInterrupt):
            continue  # too slow, or asked a second time: insist
        log.write(_shown(rest or ""))
    worker.wait()
