"""The process that a local run's tasks are forked from, so that none imports kfp, Headstart or TensorFlow again.

`Template` belongs to the runner (`local_worker.py`), which starts the process and hands it one task after the other
over a socket. The process, `python -P -m headstart.pipelines.task_template FD`, executes nothing itself. It ends when
the socket does. A task that it cannot start, because it has been killed for example, gets a fresh process as before.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headstart.components import forking
from headstart.components.training import environment, preloading

# What kfp has a shell do for a component: its source into a file, kfp's executor on that file.
_SCRIPT = re.compile(
    r'program_path=\$\(mktemp -d\) printf "%s" "\$0" > "\$program_path/ephemeral_component\.py" '
    r"_KFP_RUNTIME=true \S+ -m kfp\.dsl\.executor_main --component_module_path "
    r'"\$program_path/ephemeral_component\.py" "\$@"'
)
_TRAINS = "headstart.components.training.shells"  # in the source of a component that starts training processes
_HEADER = 8
_asked_to_end: list[int] = []


class Template:
    """The runner's side: starts the process and has it fork tasks."""

    def __init__(self) -> None:
        """Start the process, which imports while the runner does its own imports."""
        self._channel, theirs = socket.socketpair()
        self._environ, self._lock, self._closed = dict(os.environ), threading.Lock(), False
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", __name__, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                # kfp then imports only what its executor needs.
                env={**os.environ, "_KFP_RUNTIME": "true"},
            )

    def close(self) -> None:
        """Start nothing more."""
        self._closed = True

    def end(self) -> None:
        """Let the process end and wait for it, so that what its forks took is counted with what the runner took."""
        self._channel.close()
        self.process.wait()

    def around(self, run: Callable[..., int]) -> Callable[..., int]:
        """Return the local runner's function `run`, which starts a task's process, with the fork in its place."""

        def fork_or_run(full_command: list[str], env_vars: dict[str, str] | None = None) -> int:
            if not self._closed:
                status = self._fork(full_command, env_vars or {})
                if status is not None:
                    return status
            return run(full_command=full_command, env_vars=env_vars)

        return fork_or_run

    def _fork(self, command: list[str], variables: dict[str, str]) -> int | None:
        """Run a task and print what it prints; return its status, or None if the process has not started it."""
        if command[:2] != ["sh", "-ec"] or not _SCRIPT.fullmatch(" ".join(command[2].split())):
            return None
        if {**os.environ, **variables} != self._environ:
            return None
        task = {"source": command[3], "arguments": command[4:], "folder": str(Path.cwd())}
        content = json.dumps(task).encode()
        printed, output = os.pipe()
        answered, answer = os.pipe()
        with os.fdopen(printed, encoding="utf-8", errors="replace") as lines, os.fdopen(answered) as reply:
            try:
                with self._lock:
                    header = len(content).to_bytes(_HEADER, "big")
                    socket.send_fds(self._channel, [header], [output, answer])
                    self._channel.sendall(content)
            except OSError:
                return None
            finally:
                os.close(output)
                os.close(answer)
            if not reply.readline():
                return None
            for line in lines:
                print(line, end="")
            # As kfp ends a task's output.
            print("\n")
            # Without a status, the process that waited for the task was killed.
            return int(reply.read() or -signal.SIGKILL)


def serve(channel: socket.socket) -> None:
    """Fork the tasks that come over `channel`, until it ends."""
    while request := _receive(channel):
        task, output, answer = request
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass
        if _TRAINS in task["source"] and not preloading.loaded() and not preloading.load():
            return
        if _asked_to_end:
            return
        with contextlib.suppress(OSError):
            # It waits for the task, as the shell does that kfp starts, and outlives this process.
            if not os.fork():
                try:
                    channel.close()
                    _keep(task, output, answer)
                finally:
                    os._exit(0)
        os.close(output)
        os.close(answer)


def _receive(channel: socket.socket) -> tuple[dict[str, Any], int, int] | None:
    header, files, _, _ = socket.recv_fds(channel, _HEADER, 2)
    if len(header) < _HEADER or len(files) != 2:
        return None
    size, content = int.from_bytes(header, "big"), b""
    while len(content) < size:
        if not (part := channel.recv(size - len(content))):
            return None
        content += part
    return json.loads(content), *files


def _keep(task: dict[str, Any], output: int, answer: int) -> None:
    child = forking.start(lambda: _run(task), name="headstart-task", stdout=output, stderr=output)
    if _asked_to_end:  # just now, and the task may have come too late to hear it
        os.kill(child, signal.SIGTERM)
    os.close(output)
    os.write(answer, b"started\n")
    _, status = os.waitpid(child, 0)
    os.write(answer, str(os.waitstatus_to_exitcode(status)).encode())


def _run(task: dict[str, Any]) -> int:
    from kfp.dsl import executor_main

    os.chdir(task["folder"])
    os.environ["_KFP_RUNTIME"] = "true"
    file = Path(tempfile.mkdtemp(), "ephemeral_component.py")
    file.write_text(task["source"], encoding="utf-8")
    sys.argv = [executor_main.__file__, "--component_module_path", str(file), *task["arguments"]]
    try:
        executor_main.executor_main()
    finally:
        # What Python does at its end, and a fork leaves out.
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    return 0


def main() -> None:
    """Import what every task needs and serve the socket whose file descriptor is the argument."""
    # The whole group is told to end at once; the tasks end in their own way, and what waits for them waits on.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda received, _: _asked_to_end.append(received))
    import kfp.dsl.executor_main  # noqa: F401

    import headstart.components.training.shells  # noqa: F401

    environment.versions()
    del os.environ["_KFP_RUNTIME"]
    gc.freeze()
    with socket.socket(fileno=int(sys.argv[1])) as channel:
        serve(channel)
    with contextlib.suppress(ChildProcessError):
        while os.wait():
            pass


if __name__ == "__main__":
    main()
