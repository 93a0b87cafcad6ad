"""Where a run runs: processors that the container may use, threads, memory, device, versions."""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import re
import resource
import sys
from pathlib import Path
from typing import Any

from headstart.components.errors import HeadstartError
from headstart.components.records import Environment

_VERSIONED = ("headstart", "tensorflow-cpu", "tensorflow", "keras", "numpy")
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
    """Threads for so many processors: whole ones, at least one; more than the quota would only be throttled."""
    return max(1, int(cores))


def versions() -> dict[str, str]:
    """Versions of what a result depends on, without importing it."""
    found = {"python": platform.python_version()}
    for name in _VERSIONED:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return {("tensorflow" if name == "tensorflow-cpu" else name): version for name, version in found.items()}


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


def precision(asked: str, accelerators: int, described: str | None = None) -> str:
    """Return the precision to compute in, where `auto` is asked for: bfloat16 where the processor multiplies in it.

    Elsewhere TensorFlow imitates bfloat16 and is slower than in float32. An accelerator gets float32, since which ones
    have bfloat16 is not known before TensorFlow is imported; asking for `bfloat16` by name works on all.
    """
    if asked != "auto":
        return asked
    name = processor() if described is None else described
    return "bfloat16" if not accelerators and re.search(r"\b(avx512_bf16|amx_bf16)\b", name) else "float32"


def describe(*, threads: int, image: str) -> Environment:
    """Return what can be said without TensorFlow; the device is unknown."""
    return Environment(
        processor=processor(),
        cores=usable_cores(),
        threads=threads,
        memory_bytes=memory_limit(),
        hostname=platform.node(),
        image=image,
        versions=versions() | {"onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default")},
    )


def peak_memory_bytes() -> int:
    """Most memory that this process has had resident."""
    # What getrusage says includes what the parent had resident when it started this process.
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def prepare_tensorflow(threads: int, accelerators: int) -> Any:
    """Import TensorFlow with `threads` threads and check that it sees the accelerators that the run was given.

    Keras computes with TensorFlow and in its own defaults, whatever ~/.keras/keras.json and the environment say.
    Returns the module. Raises HeadstartError where fewer accelerators are seen than `accelerators`: training on the
    processor instead would report its time as theirs.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    if not accelerators:
        # A run without accelerators must not find one by chance: its time would not be comparable.
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(threads)
    seen = tf.config.list_physical_devices("GPU")
    if len(seen) < accelerators:
        raise HeadstartError(
            f"accelerators: {accelerators} requested, TensorFlow sees {len(seen)}.",
            "Is the accelerator in the container's resource limits, the driver on the node, and the image the gpu one?",
        )
    if seen:
        tf.config.set_soft_device_placement(False)
    _prepare_keras()
    return tf


def _prepare_keras() -> None:
    # KERAS_BACKEND is set by the package; the rest of keras.json can only be put right once it has been read.
    import keras

    if keras.config.backend() != "tensorflow":
        raise HeadstartError(
            f"Keras was imported with the backend {keras.config.backend()} before Headstart, which needs tensorflow.",
            "Import headstart first, or set KERAS_BACKEND=tensorflow.",
        )
    keras.config.set_image_data_format("channels_last")
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
