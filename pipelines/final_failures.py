"""A task of a local run fails at once where a retry cannot help; `kfp.local` by itself retries whatever failed.

Of a task that failed, the runner knows what it printed, whichever way it was started: fork, process or container.
"""

from __future__ import annotations

import re
import sys
import threading
from typing import Any, TextIO

from headstart.components.errors import HeadstartError, SettingError

_ERROR = re.compile(r"([A-Za-z_][\w.]*(?:Error|Exception|Interrupt))\b")
_FINAL = {f"{error.__module__}.{error.__name__}" for error in (HeadstartError, SettingError)}
_last = threading.local()  # `error`: the one that the task of this thread printed last; iterations are threads


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


def end_their_task() -> None:
    """Have `kfp.local` try a task no further whose last error is a HeadstartError that is not temporary."""
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
