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
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Protocol

from headstart.components import progress
from headstart.components.atomic_files import write_json
from headstart.components.credentials import masked

_ANSI = re.compile(r"\x1b\[[0-9;]*m")
_STARTED = re.compile(r"Executing task '([^']+)'")
_ENDED = re.compile(r"Task '([^']+)' finished with status (\w+)")
_RAN = "Wrote executor output file"
GRACE_SECONDS = 25.0


class Listener(Protocol):
    """What wants to know how a run goes."""

    def task_started(self, task: str) -> None:
        """Be told that a task began; a task in a loop is named once per iteration."""

    def task_ended(self, task: str, succeeded: bool) -> None:
        """Be told that a task ended."""

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
    """How it ended: `failed_task` is the first task that failed, `message` the last words of its log."""

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
            [sys.executable, "-m", "headstart.pipelines.local_worker", str(specification)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            env={**os.environ, "PYTHONUNBUFFERED": "1", "PATH": _path_with_this_python()},
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
        sys.stderr.write(f"{self._path}: the log ends here: {error.strerror}.\n")

    def __exit__(self, *_: object) -> None:
        file, self._file = self._file, None
        with contextlib.suppress(OSError):
            if file is not None:
                file.close()


def _path_with_this_python() -> str:
    # kfp's components call `python3`; it must be the one that has Headstart installed.
    return f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"


def _follow(worker: subprocess.Popen[str], log: _Log, listener: Listener) -> LocalResult:
    current, failed, ran, tail = "", "", False, list[str]()
    task_lines: list[str] = []
    for line in _lines(worker):
        log.write(line + "\n")
        listener.log_line(line)
        plain = _ANSI.sub("", line)
        if started := _STARTED.search(plain):
            current, ran, task_lines = started[1], False, []
            listener.task_started(current)
        elif ended := _ENDED.search(plain):
            succeeded = ended[2] == "SUCCESS"
            if succeeded and not ran:
                # The container runner takes a container that is gone at once for a success.
                succeeded = False
                task_lines.append("the task ended without having run; does its image hold Headstart?")
            if not succeeded and not failed:
                failed, tail = ended[1], list(task_lines)
            listener.task_ended(ended[1], succeeded)
        elif fields := progress.parse(plain):
            listener.event(current, fields)
        elif _RAN in plain:
            ran = True
        elif plain.strip():
            task_lines.append(plain.rstrip())
            del task_lines[:-20]
    status = worker.wait()
    if status == 0 and not failed:
        return LocalResult(succeeded=True)
    return LocalResult(False, failed or current, _last_words(tail or task_lines))


def _lines(worker: subprocess.Popen[str]) -> Iterator[str]:
    assert worker.stdout is not None
    for line in worker.stdout:
        yield masked(line.rstrip("\n"))


def _last_words(lines: list[str]) -> str:
    """Return the error in a task's last lines: what its exception says, not the traceback above it."""
    for number in range(len(lines) - 1, -1, -1):
        if re.match(r"\s*[\w.]*(Error|Exception|Interrupt)\b.*:", lines[number]):
            words = " ".join(line.strip() for line in lines[number : number + 6])
            return words.removeprefix("headstart.components.errors.").removeprefix("HeadstartError: ")
    return lines[-1].strip() if lines else ""


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
        log.write(masked(rest or ""))
    worker.wait()
