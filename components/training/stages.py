"""`run_stage`: what a pipeline's component calls. The light parent of the process that trains; no TensorFlow here.

One process per run: memory and warm caches of one run cannot touch the next. A process that is killed is started again
and goes on from its checkpoint; one that fails becomes a record that says so instead of a failed task that takes its
siblings with it.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headstart.components.errors import HeadstartError, SettingError, TemporaryError
from headstart.components.foreign_text import printable
from headstart.components.progress import emit
from headstart.components.records import Arm, Precision, RunRecord, Subset, read_record
from headstart.components.regular_files import read_json
from headstart.components.training import attempts, checkpoint, environment, preloading
from headstart.components.training.process import TERMINATED
from headstart.components.training.specification import RunSpecification

_PROCESS = "the process that trains"
# Set where tasks are plain processes: the image that the pipeline names is then not what they run in.
NO_CONTAINER = "HEADSTART_NO_CONTAINER"


def run_stage(
    *,
    arm: Arm,
    dataset: Path,
    initial_model: Path | None,
    seed: int,
    run_id: str,
    preset: str,
    settings: dict[str, Any],
    checkpoints: str,
    accelerators: int,
    image: str,
    record: Path,
    model: Path | None,
    saved_model: Path | None,
    preparation: int = 0,
    draw: int = 0,
    subset: Subset | None = None,
    precision: Precision | None = None,
) -> RunRecord:
    """Train one run of `arm` in a process of its own and return its record, which is also written to `record`.

    An empty `preset` is demo for demonstration data, else paper. `settings` overrides settings by name (see
    `settings.py`), `checkpoints` is empty, a local folder or a gs:// or s3:// prefix, `model` and `saved_model` are the
    folders to write, `precision` is what was chosen where the recipe's is auto (see `precision.py`; None: float32). A
    run that fails, diverges or is killed more often than `kill_retries` allows gives a record that says so. Raises
    SettingError for a wrong setting, before anything starts, and SystemExit(143) after SIGTERM, once the process has
    left a checkpoint, so that the platform tries again.
    """
    if seed < 0:
        raise SettingError(f"seed: {seed} is negative; it is a whole number from 0.")
    # Below the run id: what another pipeline run finished must never be taken for a result of this one.
    place = place_of(arm, seed, preparation, draw, subset.size_per_class if subset else 0)
    spec = RunSpecification(
        arm=arm,
        seed=seed,
        preparation=preparation,
        draw=draw,
        subset=subset,
        run_id=run_id,
        preset=preset or default_preset(dataset),
        settings=settings,
        precision=precision,
        dataset=Path(dataset).absolute(),
        initial_model=Path(initial_model).absolute() if initial_model else None,
        checkpoints="/".join(filter(None, (checkpoints.rstrip("/"), run_id, place))) if checkpoints else "",
        accelerators=accelerators,
        image="" if os.environ.get(NO_CONTAINER) else image,
        record=Path(record).absolute(),
        model=Path(model).absolute() if model else None,
        saved_model=Path(saved_model).absolute() if saved_model else None,
        parent=os.getpid(),
    )
    spec.resolved()
    emit("begin", arm=arm, seed=seed)
    result = reuse(spec) or _missing_model(spec) or spawn(spec)
    result.write(spec.record)
    emit(
        "run",
        arm=arm,
        seed=seed,
        status=result.status,
        train_seconds=result.phases.train,
        epochs=len(result.epochs),
        accuracy=result.result.test_accuracy,
        reason=result.reason or None,
    )
    return result


def default_preset(dataset: Path) -> str:
    """Return the preset of a stage on `dataset` where none is named."""
    try:
        source = str(read_json(dataset / "dataset.json")["source"])
    except (OSError, ValueError, KeyError):
        source = ""  # the process that trains will say what is wrong with it
    return "demo" if source.startswith("demo:") else "paper"


def place_of(arm: str, seed: int, preparation: int, draw: int, size: int = 0) -> str:
    """Return the name of the folder that a run keeps its checkpoints in, below that of the pipeline run."""
    if size:
        return f"{arm}-n{size}-p{preparation}-d{draw}-{seed}"
    return f"{arm}-p{preparation}-d{draw}-{seed}" if preparation or draw else f"{arm}-{seed}"


def _missing_model(spec: RunSpecification) -> RunRecord | None:
    if spec.initial_model is None or (spec.initial_model / "model.keras").is_file():
        return None
    return failed_record(spec, "there is no initial model: the stage that makes it failed", "failed", temporary=False)


def reuse(spec: RunSpecification) -> RunRecord | None:
    """Return the record of the same run, and put its models in place, if its result was kept before a kill."""
    if not spec.checkpoints:
        return None
    try:
        data = read_json(spec.dataset / "dataset.json")["digest"]
        initial = read_json(spec.initial_model / "model.json")["weights"] if spec.initial_model else None
    except (OSError, ValueError, KeyError):
        return None  # the process that trains will say what is wrong with it
    outputs = {"model": spec.model, "saved_model": spec.saved_model}
    place = checkpoint.Folder(spec.checkpoints)
    for folder in (place, place.in_container()):
        with contextlib.suppress(HeadstartError, OSError):  # of a place that cannot be read it will say so too
            if found := checkpoint.finished(folder, spec.fingerprint(data, initial), outputs):
                return found
    return None


def error_record(spec: RunSpecification, error: Exception) -> RunRecord:
    """Return the record of a run that `error` ended; another try may succeed unless the error says what is wrong."""
    ours = isinstance(error, HeadstartError)
    reason = str(error) if ours else f"{type(error).__name__}: {next(iter(str(error).splitlines()), '')}"
    return failed_record(spec, reason, "failed", temporary=not ours or isinstance(error, TemporaryError))


def failed_record(spec: RunSpecification, reason: str, ended: str, *, temporary: bool) -> RunRecord:
    """Return the record of a run that failed for `reason`, with what can still be read of its data and attempts.

    `ended` is put down as the end of the attempt that was under way; `temporary`: another try may succeed.
    """
    from headstart.components.datasets.packed import PackedDataset

    record = spec.blank_record(environment.describe(threads=spec.threads(), image=spec.image))
    record.reason, record.stop_reason = " ".join(printable(reason).split()), "failed"
    record.temporary = temporary
    with contextlib.suppress(HeadstartError):
        record.data = PackedDataset(spec.dataset, checked=False).record()
    folder = checkpoint.Folder(spec.checkpoints)
    with contextlib.suppress(OSError, HeadstartError):
        record.attempts = attempts.close(folder, ended)
        record.epochs = checkpoint.rows(folder, attempts.fingerprint(folder)) if record.attempts else []
    if record.attempts:
        record.started_at = record.attempts[0].started_at
    return record


def spawn(spec: RunSpecification) -> RunRecord:
    """Train in a process, again where it is killed, and return its record; SystemExit after SIGTERM."""
    spec.record.unlink(missing_ok=True)
    retries = spec.resolved().process.kill_retries
    for attempt in range(1 + retries):
        status, last_words = _train(spec)
        if status == TERMINATED:
            _close_attempt(spec, "terminated (SIGTERM)")
            raise SystemExit(TERMINATED)
        if status != 0 and (kept := reuse(spec)):
            return kept
        if status >= 0 or attempt == retries:
            break
        ended, _ = _how(status)
        _close_attempt(spec, ended)
        words = f"{_PROCESS} {ended} and is started again ({attempt + 1} of {retries} retries)"
        emit("retry", arm=spec.arm, seed=spec.seed, text=words)
    if status == 0 and spec.record.is_file():
        return read_record(spec.record)
    ended, details = _how(status)
    words = f"{_PROCESS} {ended}{details}{last_words and ': ' + last_words}"
    return failed_record(spec, words, ended, temporary=True)


def _close_attempt(spec: RunSpecification, ended: str) -> None:
    with contextlib.suppress(OSError, HeadstartError):
        attempts.close(checkpoint.Folder(spec.checkpoints), ended)


def _train(spec: RunSpecification) -> tuple[int, str]:
    """Run the process that trains; return its exit status and the last line it wrote to stderr."""
    environ = {"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ}
    spec.process = "forked" if preloading.usable(environ, spec.accelerators) else "separate"
    with tempfile.TemporaryDirectory(prefix="headstart-") as scratch:
        file = Path(scratch, "run.json")
        spec.spawned = time.perf_counter()
        file.write_text(spec.model_dump_json(), encoding="utf-8")
        if spec.process == "forked":
            return _wait(spec, preloading.fork(file, environ))
        # -P: nothing in the working directory can be taken for a module.
        command = [sys.executable, "-P", "-m", "headstart.components.training.process", str(file)]
        return _wait(spec, subprocess.Popen(command, stderr=subprocess.PIPE, bufsize=0, env=environ))


def _wait(spec: RunSpecification, child: subprocess.Popen[bytes] | preloading.Forked) -> tuple[int, str]:
    """Pass SIGTERM on to `child`, and return its exit status and the last line it wrote to stderr."""
    grace = spec.resolved().process.grace_seconds
    deadline: list[float] = []

    def terminate(*_: object) -> None:
        if not deadline:
            deadline.append(time.monotonic() + grace)
            child.send_signal(signal.SIGTERM)

    def insist() -> None:
        if deadline and time.monotonic() > deadline[0]:
            # The epoch is too long for the grace period; the last checkpoint stands.
            child.kill()

    main_thread = threading.current_thread() is threading.main_thread()
    previous = signal.signal(signal.SIGTERM, terminate) if main_thread else None
    try:
        last = _forward(child, insist)
        while (status := child.poll()) is None:
            insist()
            time.sleep(0.002)
    finally:
        if main_thread:
            signal.signal(signal.SIGTERM, previous)
        if child.poll() is None:
            child.kill()
            while child.poll() is None:
                time.sleep(0.002)
        if child.stderr is not None:
            child.stderr.close()
    return (TERMINATED if deadline else status), last


def _forward(child: subprocess.Popen[bytes] | preloading.Forked, each_time: Callable[[], None]) -> str:
    """Write what `child` writes to stderr to ours, and return the last line of it.

    In this thread: a process with threads cannot be forked. `each_time` is called at least twice a second.
    """
    assert child.stderr is not None
    last, rest = "", b""
    while True:
        ready, _, _ = select.select([child.stderr], [], [], 0.5)
        read = os.read(child.stderr.fileno(), 1 << 16) if ready else b""
        # What it started may still hold its stderr when it has ended.
        over = not read and (bool(ready) or child.poll() is not None)
        *lines, rest = (rest + read).split(b"\n")
        for raw in [*lines, rest] if over and rest else lines:
            line = raw.decode(errors="replace")
            last = line.strip() or last
            sys.stderr.write(line + "\n")
        if over:
            return last
        each_time()


def _how(status: int) -> tuple[str, str]:
    """Say how a process ended, and what that suggests."""
    if status >= 0:
        return f"ended with status {status}", " and left no record"
    try:
        name = signal.Signals(-status).name
    except ValueError:
        name = "unknown"
    return f"was killed by signal {-status} ({name})", "; out of memory?" if -status == signal.SIGKILL else ""
