"""`run_stage`: what a pipeline's component calls. The light parent of the process that trains; no TensorFlow here.

One process a run: memory and warm caches of one run cannot touch the next, and a crash or a kill of it becomes a
record that says so instead of a failed task that takes its siblings with it.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import deque
from pathlib import Path
from typing import Any

from components.errors import HeadstartError
from components.progress import emit
from components.records import Arm, RunRecord, read_record
from components.training import checkpoint, environment
from components.training.specification import RunSpecification

TERMINATED = 143


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
) -> RunRecord:
    """Train one run of `arm` in a process of its own and return its record, which is also written to `record`.

    `settings` overrides settings by name (see `components.training.settings`), `checkpoints` is empty, a local folder
    or a gs:// prefix, `model` and `saved_model` are the folders to write. A run that fails, diverges or is killed
    gives a record that says so. Raises SettingError for a wrong setting, before anything starts, and SystemExit(143)
    after SIGTERM, once the process has left a checkpoint, so that the platform tries again.
    """
    spec = RunSpecification(
        arm=arm,
        seed=seed,
        run_id=run_id,
        preset=preset,
        settings=settings,
        dataset=Path(dataset).absolute(),
        initial_model=Path(initial_model).absolute() if initial_model else None,
        # Below the run id: what another pipeline run finished must never be taken for a result of this one.
        checkpoints=f"{checkpoints.rstrip('/')}/{run_id}/{arm}-{seed}" if checkpoints else "",
        accelerators=accelerators,
        image=image,
        record=Path(record).absolute(),
        model=Path(model).absolute() if model else None,
        saved_model=Path(saved_model).absolute() if saved_model else None,
        parent=os.getpid(),
    )
    spec.resolved()
    result = _reuse(spec) or _missing_model(spec) or _spawn(spec)
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


def _missing_model(spec: RunSpecification) -> RunRecord | None:
    if spec.initial_model is None or (spec.initial_model / "model.keras").is_file():
        return None
    return failed_record(spec, "there is no initial model: the stage that makes it failed")


def _reuse(spec: RunSpecification) -> RunRecord | None:
    """Return the record of the same run if it was finished before it was interrupted."""
    if not spec.checkpoints:
        return None
    try:
        data = json.loads((spec.dataset / "dataset.json").read_text(encoding="utf-8"))["digest"]
        initial = None
        if spec.initial_model is not None:
            initial = json.loads((spec.initial_model / "model.json").read_text(encoding="utf-8"))["weights"]
    except (OSError, ValueError, KeyError):
        return None  # the process that trains will say what is wrong with it
    outputs = {"model": spec.model, "saved_model": spec.saved_model}
    return checkpoint.finished(checkpoint.Folder(spec.checkpoints), spec.fingerprint(data, initial), outputs)


def failed_record(spec: RunSpecification, reason: str) -> RunRecord:
    """Return the record of a run that failed for `reason`; what can still be read of its data is in it."""
    from components.datasets.packed import PackedDataset

    try:
        data = PackedDataset(spec.dataset).description.record()
    except HeadstartError:
        data = None
    resolved = spec.resolved()
    return RunRecord(
        arm=spec.arm,
        seed=spec.seed,
        run_id=spec.run_id,
        status="failed",
        reason=" ".join(reason.split()),
        stop_reason="failed",
        preset=spec.preset,
        recipe=resolved.recipe.model_dump(mode="json"),
        stage=resolved.stage.model_dump(mode="json") | {"frozen": list(resolved.stage.frozen_layers(spec.arm))},
        data=data,
        environment=environment.describe(threads=spec.threads(), image=spec.image),
    )


def _spawn(spec: RunSpecification) -> RunRecord:
    spec.record.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix="headstart-") as scratch:
        file = Path(scratch, "run.json")
        spec.spawned = time.perf_counter()
        file.write_text(spec.model_dump_json(), encoding="utf-8")
        status, last_words = _wait(spec, [sys.executable, "-m", "components.training.process", str(file)])
    if status == TERMINATED:
        raise SystemExit(TERMINATED)
    if status == 0 and spec.record.is_file():
        return read_record(spec.record)
    return failed_record(spec, _why(status, last_words))


def _wait(spec: RunSpecification, command: list[str]) -> tuple[int, str]:
    """Run `command`, pass SIGTERM on to it, and return its exit status and the last line it wrote to stderr."""
    environ = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2")}
    child = subprocess.Popen(command, stderr=subprocess.PIPE, env=environ)
    lines: deque[str] = deque(maxlen=20)

    def forward() -> None:
        assert child.stderr is not None
        for raw in child.stderr:
            line = raw.decode(errors="replace")
            lines.append(line.strip())
            sys.stderr.write(line)

    reader = threading.Thread(target=forward, daemon=True)
    reader.start()
    grace = spec.resolved().process.grace_seconds
    deadline: list[float] = []

    def terminate(*_: object) -> None:
        if not deadline:
            deadline.append(time.monotonic() + grace)
            child.send_signal(signal.SIGTERM)

    main_thread = threading.current_thread() is threading.main_thread()
    previous = signal.signal(signal.SIGTERM, terminate) if main_thread else None
    try:
        while True:
            try:
                status = child.wait(timeout=0.5 if deadline else None)
                break
            except subprocess.TimeoutExpired:
                if deadline and time.monotonic() > deadline[0]:
                    # The epoch is too long for the grace period; the last checkpoint stands.
                    child.kill()
    finally:
        if main_thread:
            signal.signal(signal.SIGTERM, previous)
        if child.poll() is None:
            child.kill()
            child.wait()
        reader.join(timeout=5)
    return (TERMINATED if deadline else status), next((line for line in reversed(lines) if line), "")


def _why(status: int, last_words: str) -> str:
    if status < 0:
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = "unknown"
        hint = "; out of memory?" if -status == signal.SIGKILL else ""
        return f"the process that trains was killed by signal {-status} ({name}){hint}" + (
            f": {last_words}" if last_words and -status != signal.SIGKILL else ""
        )
    return f"the process that trains ended with status {status} and left no record" + (
        f": {last_words}" if last_words else ""
    )
