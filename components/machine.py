"""The machine: processors and memory that this process may use, and ending with the process that started it."""

from __future__ import annotations

import contextlib
import ctypes
import os
import platform
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

_UNLIMITED = 1 << 60


def quota(root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> float | None:
    """Processors by the container's CPU quota (cgroup v2 `cpu.max`, v1 `cpu.cfs_quota_us`); None: no quota.

    TensorFlow starts a thread for each processor that it sees and does not know of the quota. The least of the quotas
    on the way from the process's own group to the root counts.
    """
    found: list[float] = []
    for folder in _groups(root, membership, "cpu"):
        try:
            limit, period = (folder / "cpu.max").read_text(encoding="ascii").split()[:2]
        except (OSError, ValueError):
            try:
                limit = (folder / "cpu.cfs_quota_us").read_text(encoding="ascii").strip()
                period = (folder / "cpu.cfs_period_us").read_text(encoding="ascii").strip()
            except OSError:
                continue
        if re.fullmatch(r"\d+", limit) and re.fullmatch(r"\d+", period) and int(period) and int(limit):
            found.append(int(limit) / int(period))
    return min(found, default=None)


def memory_limit(root: Path = Path("/sys/fs/cgroup"), membership: Path = Path("/proc/self/cgroup")) -> int:
    """Bytes of memory that this process may use: the container's limit or the machine's memory, whichever is less."""
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    for folder in _groups(root, membership, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            try:
                text = (folder / name).read_text(encoding="ascii").strip()
            except OSError:
                continue
            if text.isdigit() and int(text) < _UNLIMITED:
                found.append(int(text))
    return min(found)


def _groups(root: Path, membership: Path, controller: str) -> list[Path]:
    # A line of /proc/self/cgroup is `number:controllers:path`; version 2 has the number 0 and no controllers.
    folders = [root, root / controller]
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        return folders
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers and controller not in controllers.split(","):
            continue
        base = root / controller if controllers else root
        parts = [part for part in path.split("/") if part not in ("", "..")]
        folders += [base.joinpath(*parts[: depth + 1]) for depth in range(len(parts))]
    return folders


def usable_cores() -> float:
    """Processors that this process may use: its affinity or the container's quota, whichever is less."""
    affinity = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(float(affinity), quota() or float(affinity))


def thread_count(cores: float) -> int:
    """Threads for this many processors: whole ones, at least one; more than the quota would only be throttled."""
    return max(1, int(cores))


def gpu_memory() -> int:
    """Bytes of memory of the smallest NVIDIA GPU, as `nvidia-smi` says; 0 where it cannot be asked."""
    command = ["nvidia-smi", "--query-gpu=memory.total", "--format=csv,noheader,nounits"]
    try:
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
        return min((int(line) for line in found.stdout.split()), default=0) << 20
    except (OSError, subprocess.SubprocessError, ValueError):
        return 0


def processor() -> str:
    """Name of the processor and the instruction sets that decide in which order TensorFlow adds numbers."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor() or platform.machine()
    name = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    flags = re.search(r"^flags\s*:\s*(.+)$", text, re.MULTILINE)
    has = set(flags.group(1).split()) if flags else set()
    sets = [flag for flag in ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "amx_bf16") if flag in has]
    label = name.group(1).strip() if name else platform.machine()
    return f"{label} ({' '.join(sets)})" if sets else label


def peak_memory_bytes() -> int:
    """Most memory that this process has had resident."""
    # What getrusage says includes what the parent had resident when it started this process.
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def die_with(parent: int, sent: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel send this process a signal when the thread of `parent` that started it ends; elsewhere, watch."""
    if not parent:
        return
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None, use_errno=True).prctl(set_parent_death_signal, sent)
    else:

        def watch() -> None:
            while os.getppid() == parent:
                time.sleep(1)
            os.kill(os.getpid(), sent)

        threading.Thread(target=watch, daemon=True).start()
    if os.getppid() != parent:  # it ended before we asked
        os.kill(os.getpid(), sent)
