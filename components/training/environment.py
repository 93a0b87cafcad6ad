"""Where a run runs, for its record: device, versions; and TensorFlow made ready for it."""

from __future__ import annotations

import contextlib
import functools
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
from collections.abc import Iterator, Mapping
from typing import Any

from headstart.components import machine
from headstart.components.errors import INSTALL_TENSORFLOW, HeadstartError, SettingError
from headstart.components.records import Environment

NOISE = ("All log messages before absl::InitializeLog()", "oneDNN custom operations are on")
"""What TensorFlow writes when it is imported, whatever its log level."""


@functools.cache  # looking through all that is installed takes as long as many a step of training
def versions() -> Mapping[str, str]:
    """Versions of what a result depends on, without importing it."""
    found = {"python": platform.python_version()}
    for name in ("headstart", "tensorflow-cpu", "tensorflow", "keras", "numpy"):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name.removesuffix("-cpu")] = importlib.metadata.version(name)
    return found


def describe(*, threads: int, image: str) -> Environment:
    """Return what can be said without TensorFlow; the device is unknown."""
    return Environment(
        processor=machine.processor(),
        cores=machine.usable_cores(),
        threads=threads,
        memory_bytes=machine.memory_limit(),
        hostname=platform.node(),
        image=image,
        versions={**versions(), "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS", "default")},
    )


def for_import(environ: Mapping[str, str], accelerators: int) -> dict[str, str]:
    """Return `environ` with the variables that TensorFlow is to find when it is imported."""
    chosen = {"TF_CPP_MIN_LOG_LEVEL": "2", "TF_FORCE_GPU_ALLOW_GROWTH": "true", **environ}
    # A run without accelerators must not find one by chance: its time would not be comparable.
    return chosen if accelerators else {**chosen, "CUDA_VISIBLE_DEVICES": "-1"}


@contextlib.contextmanager
def without_noise() -> Iterator[None]:
    """Keep off standard error what TensorFlow writes there at every import; all else is shown.

    A process of its own does it: what TensorFlow writes before it aborts, as without AVX, outlives this process.
    """
    sys.stderr.flush()
    patterns = [f"--regexp={noise}" for noise in NOISE]
    try:
        filtering = subprocess.Popen(["grep", "-avF", "--line-buffered", *patterns], stdin=subprocess.PIPE, stdout=2)
    except OSError:  # without grep all is shown
        filtering = None
    ours = os.dup(2)
    if filtering is not None and filtering.stdin is not None:
        os.dup2(filtering.stdin.fileno(), 2)
        filtering.stdin.close()
    try:
        yield
    finally:
        os.dup2(ours, 2)
        os.close(ours)
        if filtering is not None:
            with contextlib.suppress(subprocess.TimeoutExpired):  # a process that the import left holds the pipe
                filtering.wait(timeout=5)


def gpus() -> list[str]:
    """Return the names of the GPUs that TensorFlow sees; a process of its own asks, since asking takes them over.

    HeadstartError where TensorFlow cannot be imported.
    """
    code = (
        "import json, tensorflow as tf; say = tf.config.experimental.get_device_details; "
        "print(json.dumps([say(one).get('device_name', one.name) for one in tf.config.list_physical_devices('GPU')]))"
    )
    command = [sys.executable, "-P", "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, check=False, env=for_import(os.environ, 1))
    if found.returncode:
        said = found.stderr.strip().splitlines() or [f"status {found.returncode}"]
        raise HeadstartError(f"TensorFlow cannot be asked for GPUs: {said[-1]}", INSTALL_TENSORFLOW)
    names: list[str] = json.loads(found.stdout.splitlines()[-1])
    return names


def check_accelerators(asked: int) -> None:
    """Raise SettingError where TensorFlow sees fewer GPUs on this machine than `asked`; 0 looks at nothing."""
    if asked and len(seen := gpus()) < asked:
        raise SettingError(
            f"--accelerators {asked}: TensorFlow sees {len(seen)} on this machine.",
            "It needs NVIDIA's driver and headstart[gpu] in place of headstart[cpu]; without the option the processor "
            "trains.",
        )


def prepare_tensorflow(threads: int, accelerators: int) -> Any:
    """Import TensorFlow with `threads` threads and check that it sees the accelerators that the run was given.

    Keras computes with TensorFlow and in its own defaults, whatever ~/.keras/keras.json and the environment say.
    Returns the module. Raises HeadstartError where fewer accelerators are seen than `accelerators`: training on the
    processor instead would report its time as theirs.
    """
    os.environ.update(for_import(os.environ, accelerators))
    # A fork has imported it already.
    with contextlib.nullcontext() if "tensorflow" in sys.modules else without_noise():
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
        # The others are left to other programs, and XLA compiles for one.
        tf.config.set_visible_devices(seen[:accelerators], "GPU")
        tf.config.set_soft_device_placement(False)
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
    return tf


def prepare_on_processor() -> None:
    """Import TensorFlow for all processors and no accelerator; a program that uses it already has chosen its own."""
    with contextlib.suppress(RuntimeError):
        prepare_tensorflow(machine.thread_count(machine.usable_cores()), 0)
