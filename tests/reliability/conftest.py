"""Fixtures of faults; what they are made of is in `faults`."""

from __future__ import annotations

import http.server
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults import Disk, Faults, FaultyServer, failing_handler


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Callable[[str], Disk]]:
    """A function that mounts a disk of the given size; skipped where that is not permitted."""
    mounted: list[Disk] = []

    def mount(size: str) -> Disk:
        folder = tmp_path / f"disk-{len(mounted)}"
        folder.mkdir()
        done = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)],
            check=False, capture_output=True, text=True,
        )  # fmt: skip
        if done.returncode:
            pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
        mounted.append(Disk(folder))
        return mounted[-1]

    yield mount
    for each in mounted:
        subprocess.run(["umount", "--lazy", str(each.folder)], check=False)


@pytest.fixture
def read_only(disk: Callable[[str], Disk]) -> Disk:
    """An empty disk that cannot be written."""
    mounted = disk("1m")
    mounted.remount("ro")
    return mounted


@pytest.fixture
def in_front_of() -> Iterator[Callable[[str, int], FaultyServer]]:
    servers: list[http.server.ThreadingHTTPServer] = []

    def start(host: str, port: int) -> FaultyServer:
        faults = Faults()
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), failing_handler(host, port, faults))
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return FaultyServer(f"http://127.0.0.1:{server.server_address[1]}", faults)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()
