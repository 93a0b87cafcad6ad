"""Memory that runs out: the process that trains is killed, and the record says so, now or at the next attempt."""

from __future__ import annotations

import json
import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import small_run

from headstart.components.records import read_record

V1 = Path("/sys/fs/cgroup/memory")
V2 = Path("/sys/fs/cgroup")


class Limited:
    """A memory cgroup of its own; `enter` is a command line's beginning that puts what follows into it."""

    def __init__(self, folder: Path, limit: str) -> None:
        self.folder, self._limit = folder, limit

    def allow(self, size: int) -> None:
        (self.folder / self._limit).write_text(str(size))

    @property
    def enter(self) -> list[str]:
        return ["sh", "-c", f'echo $$ > {self.folder}/cgroup.procs && exec "$@"', "sh"]


@pytest.fixture
def limited() -> Iterator[Limited]:
    """Skipped where no cgroup can be made, which needs root and a kernel's own hierarchy."""
    root, limit = (V1, "memory.limit_in_bytes") if V1.is_dir() else (V2, "memory.max")
    folder = root / f"headstart-test-{uuid.uuid4().hex[:8]}"
    try:
        folder.mkdir()
        group = Limited(folder, limit)
        group.allow(4 << 30)
    except OSError as error:
        pytest.skip(f"no memory cgroup can be made here: {error}")
    yield group
    for _ in range(50):
        try:
            folder.rmdir()
            break
        except OSError:
            time.sleep(0.1)


@pytest.mark.slow
def test_the_record_says_that_the_process_was_killed(limited: Limited, tmp_path: Path) -> None:
    """The kernel ends the larger process, the one that trains; its parent lives and writes the record."""
    limited.allow(220 << 20)  # TensorFlow alone takes more
    done = subprocess.run(
        [*limited.enter, *small_run.command(tmp_path, 3)], check=False, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    record = read_record(tmp_path / "record")
    assert record.status == "failed"
    assert "SIGKILL" in record.reason
    assert "out of memory?" in record.reason


@pytest.mark.slow
def test_the_next_attempt_says_so_where_all_were_killed(tmp_path: Path) -> None:
    """As Kubernetes does it: the whole container is gone at once, and a new one takes up the run."""
    first = subprocess.Popen(
        small_run.command(tmp_path, 100_000),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert first.stdout is not None
    for line in first.stdout:
        if "event=epoch" in line and "epoch=3 " in line:
            break
    os.killpg(first.pid, 9)
    first.communicate()
    assert not (tmp_path / "record").exists(), "nothing that looks whole"
    # The run goes on where it was; what became of the first attempt is in the second's beginning.
    second = subprocess.Popen(
        small_run.command(tmp_path, 100_000),
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    )
    assert second.stdout is not None
    said = ""
    for line in second.stdout:
        said += line
        if "event=epoch" in line:
            break
    os.killpg(second.pid, 15)
    second.communicate()
    assert "event=resume" in said
    attempts = json.loads(next((tmp_path / "checkpoints").rglob("attempts.json")).read_text())["attempts"]
    assert "killed without notice (out of memory" in attempts[0]["ended"]
    assert attempts[0]["epochs"] >= 3
    assert second.returncode == 143
