"""What a container may use, read from trees of control groups as kernels lay them out."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from headstart.components import machine
from headstart.components.training import environment


def tree(root: Path, files: dict[str, str], membership: str) -> tuple[Path, Path]:
    for name, text in files.items():
        path = root / "cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    own = root / "self"
    own.write_text(membership)
    return root / "cgroup", own


@pytest.mark.parametrize(
    ("files", "membership", "expected"),
    [
        ({"cpu.max": "150000 100000\n"}, "0::/\n", 1.5),
        ({"cpu.max": "max 100000\n"}, "0::/\n", None),
        # The least on the way to the root counts.
        (
            {"pod/cpu.max": "400000 100000", "pod/c/cpu.max": "50000 100000", "cpu.max": "max 100000"},
            "0::/pod/c\n",
            0.5,
        ),
        ({"pod/cpu.max": "100000 100000", "pod/c/cpu.max": "max 100000"}, "0::/pod/c\n", 1.0),
        ({"cpu/cpu.cfs_quota_us": "200000", "cpu/cpu.cfs_period_us": "100000"}, "4:cpu:/\n", 2.0),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, "4:cpu:/\n", None),
        ({"cpu/pod/cpu.cfs_quota_us": "300000", "cpu/pod/cpu.cfs_period_us": "100000"}, "4:cpu:/pod\n", 3.0),
        ({}, "", None),
        ({"cpu.max": "nonsense\n"}, "0::/\n", None),
    ],
)
def test_quota(tmp_path, files, membership, expected):
    assert machine.quota(*tree(tmp_path, files, membership)) == expected


def test_memory_limit(tmp_path):
    everything = machine.memory_limit(tmp_path / "absent", tmp_path / "none")
    assert everything > 1 << 28
    limited = tree(tmp_path / "2", {"memory.max": "1073741824\n"}, "0::/\n")
    assert machine.memory_limit(*limited) == 1 << 30
    unlimited = tree(tmp_path / "3", {"memory.max": "max\n"}, "0::/\n")
    assert machine.memory_limit(*unlimited) == everything
    old = tree(tmp_path / "1", {"memory/pod/memory.limit_in_bytes": "536870912"}, "4:memory:/pod\n")
    assert machine.memory_limit(*old) == 1 << 29


@pytest.mark.parametrize(("cores", "threads"), [(0.5, 1), (1.0, 1), (1.5, 1), (2.0, 2), (3.9, 3)])
def test_threads_never_exceed_the_quota_but_there_is_one(cores, threads):
    assert machine.thread_count(cores) == threads


def test_what_tensorflow_writes_at_every_import_is_kept_off_and_nothing_else(capfd: pytest.CaptureFixture[str]) -> None:
    noise = "I0000 port.cc:153] oneDNN custom operations are on. You may see slightly different results\n"
    with pytest.raises(ImportError), environment.without_noise():
        os.write(2, f"WARNING: All log messages before absl::InitializeLog() is called\n{noise}no driver\n".encode())
        raise ImportError
    os.write(2, b"later\n")
    assert capfd.readouterr().err == "no driver\nlater\n"


def test_what_tensorflow_says_before_it_aborts_is_shown() -> None:
    script = """
import os
from headstart.components.training import environment
with environment.without_noise():
    os.write(2, b"oneDNN custom operations are on.\\nThis TensorFlow was compiled to use AVX")
    os.abort()
"""
    ended = subprocess.run([sys.executable, "-c", script], check=False, stderr=subprocess.PIPE, text=True, timeout=60)
    assert ended.returncode == -signal.SIGABRT
    assert ended.stderr.splitlines() == ["This TensorFlow was compiled to use AVX"]


def test_without_grep_everything_is_shown(capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with environment.without_noise():
        os.write(2, b"oneDNN custom operations are on.\n")
    assert capfd.readouterr().err == "oneDNN custom operations are on.\n"


def test_versions_and_processor_are_known_without_tensorflow():
    found = environment.versions()
    assert {"python", "tensorflow", "keras", "numpy", "headstart"} <= set(found)
    assert machine.processor()
    described = environment.describe(threads=2, image="registry/image:1")
    assert (described.threads, described.image, described.device_kind) == (2, "registry/image:1", "unknown")
    assert described.cores > 0


@pytest.mark.parametrize(
    ("said", "gib"),
    [("echo 81559; echo 8192", 8), ("echo '[N/A]'", 0), ("echo none >&2; exit 9", 0), ("exit 0", 0), (None, 0)],
)
def test_the_memory_of_gpus_is_that_of_the_smallest(
    said: str | None, gib: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin" if said else str(tmp_path))
    if said:
        program = tmp_path / "nvidia-smi"
        program.write_text(f"#!/bin/sh\n{said}\n")
        program.chmod(0o755)
    assert machine.gpu_memory() == gib << 30
