"""The process in which `kfp.local` runs a pipeline: `python -m headstart.pipelines.local_worker SPEC.json`.

A process of its own, because the local runner writes its log to the standard streams and holds global state; the
command line reads that log, keeps it in a file and shows a person what matters of it.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
import warnings
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from headstart.components.errors import HeadstartError, SettingError
from headstart.components.machine import die_with
from headstart.components.training.preloading import SEPARATE
from headstart.pipelines.long_arguments import through_files
from headstart.pipelines.task_template import Template

_ERROR = re.compile(r"([A-Za-z_][\w.]*(?:Error|Exception|Interrupt))\b")
_FINAL = {f"{error.__module__}.{error.__name__}" for error in (HeadstartError, SettingError)}
_last = threading.local()  # `error`: the one that the task of this thread printed last; iterations are threads


def _start_nothing_more(template: Template | None, _signal: int, _frame: object) -> None:
    # The running task is told to end as well and gets time to write its checkpoint. The local runner would then
    # start its next attempt; here nothing can be started any more, so the pipeline ends as failed.
    def refuse(*_: object, **__: object) -> None:
        raise RuntimeError("interrupted; no further task is started")

    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if template is not None:
        template.close()
    subprocess.Popen = refuse  # type: ignore[misc, assignment]
    # The command line tells the whole group. Where it was killed outright, the signal comes from the kernel and
    # reaches this process alone, so it is passed on.
    if os.getpgid(0) == os.getpid():
        os.killpg(0, signal.SIGTERM)


def _runner(spec: dict[str, Any], template: Template | None) -> Any:
    from kfp import local

    if not spec["docker"]:
        from kfp.local import subprocess_task_handler as handler

        run_task = through_files(handler.run_local_subprocess)
        handler.run_local_subprocess = template.around(run_task) if template is not None else run_task
        return local.SubprocessRunner(use_venv=False)
    from docker.types import DeviceRequest, Mount

    # The image must work for a platform that trusts nothing: numeric user, read-only root, no capabilities.
    gpus = spec["docker"]["accelerators"]
    return local.DockerRunner(
        user=spec["docker"]["user"],
        read_only=True,
        tmpfs={"/tmp": "exec,mode=1777"},
        network_mode=spec["docker"]["network"],
        cap_drop=["ALL"],
        security_opt=["no-new-privileges"],
        # As on a cluster (`placement._mount`): the devices exchange gradients through it.
        shm_size="1g" if gpus > 1 else None,
        device_requests=[DeviceRequest(count=gpus, capabilities=[["gpu"]])] if gpus else None,
        mounts=[Mount(folder, folder, type="bind", read_only=True) for folder in spec["docker"]["mounts"]],
    )


class _Output:
    """Standard output of the runner, read along."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        if error := _ERROR.match(text):
            _last.error = error[1]
        return self._stream.write(text)


class _FinalError(Exception):
    """Leaves the loop in which `kfp.local` retries."""


def _try_final_failures_once() -> None:
    """Have `kfp.local` try a task no further whose last error is a HeadstartError that is not temporary.

    By itself it retries whatever failed. The runner knows what the task printed, whichever way that was started: fork,
    process or container.
    """
    from kfp.local import status, task_dispatcher
    from kfp.local.orchestrator import task_executor

    attempt, with_retries = task_dispatcher.run_single_task_implementation, task_executor.execute_single_task

    def attempt_once(*values: Any, **named: Any) -> Any:
        _last.error = ""
        outputs, ended = attempt(*values, **named)
        if ended == status.Status.FAILURE and _last.error in _FINAL:
            raise _FinalError
        return outputs, ended

    def execute(*values: Any, **named: Any) -> Any:
        try:
            return with_retries(*values, **named)
        except _FinalError:
            return {}, status.Status.FAILURE

    sys.stdout = _Output(sys.stdout)
    task_dispatcher.run_single_task_implementation, task_executor.execute_single_task = attempt_once, execute


def run(spec: dict[str, Any], template: Template | None) -> None:
    """Build the pipeline that `spec` names and run it; raises RuntimeError where a task failed.

    `template` forks the tasks; None: each is a fresh process.
    """
    from kfp import local

    # Resource requests and display names mean nothing here, and kfp says so for every task.
    warnings.filterwarnings("ignore", message=".*have no effect in the current local runner.*")
    warnings.filterwarnings("ignore", message=".*custom or non-Python base image.*")
    local.init(_runner(spec, template), pipeline_root=spec["pipeline_root"], enable_caching=False)
    _try_final_failures_once()
    module, function = spec["builder"].split(":")
    build = getattr(importlib.import_module(module), function)
    placement = importlib.import_module("headstart.pipelines.placement").Placement(**spec["placement"])
    build(placement, **spec["build"])(**spec["arguments"])


def main() -> None:
    """Read the specification named on the command line and run it."""
    # Should the command line be killed outright, nobody is left to read what is computed here.
    die_with(os.getppid(), signal.SIGTERM)
    # kfp shows its log while a task runs and hides it between tasks, where it says that one is tried again or skipped.
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(asctime)s - %(levelname)s - %(message)s")
    spec = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    forks = sys.platform == "linux" and not spec["docker"] and not os.environ.get(SEPARATE)
    template = Template() if forks else None
    signal.signal(signal.SIGTERM, partial(_start_nothing_more, template))
    try:
        run(spec, template)
    finally:
        if template is not None:
            template.end()


if __name__ == "__main__":
    main()
