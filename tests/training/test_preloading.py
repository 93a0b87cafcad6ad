"""Training processes forked from one that has imported TensorFlow: what they leave is what a fresh process leaves."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import tiny_images

from headstart.components.records import read_record
from headstart.components.training import preloading
from tests.processes import alive, trains

# Loads TensorFlow as the process does that tasks are forked from, and trains what each line asks for.
PARENT = """
import json, os, sys
from pathlib import Path
from headstart.components.training import preloading, stages
before = dict(os.environ)
assert preloading.load()
assert dict(os.environ) == before
assert "pandas" not in sys.modules
if not os.fork():  # as a task is forked: OpenBLAS ends its threads
    os._exit(0)
os.wait()
assert preloading.usable(os.environ, 0)
assert not preloading.usable(os.environ, 1)
for name in ("OMP_NUM_THREADS", "TF_ENABLE_ONEDNN_OPTS", "KERAS_HOME", preloading.SEPARATE):
    assert not preloading.usable({**os.environ, name: "1"}, 0), name
print("ready", flush=True)
for line in sys.stdin:
    given = json.loads(line)
    os.environ.update(given.pop("environ"))
    for name in ("dataset", "record", "model", "initial_model"):
        given[name] = given[name] and Path(given[name])
    stages.run_stage(**given)
    print("ended", flush=True)
"""
# What differs between any two runs.
OWN = {"phases", "attempts", "started_at", "train_cpu_seconds", "stolen_share", "peak_memory_bytes", "prefix_seconds"}
OWN_OF_AN_EPOCH = {"train_seconds", "cpu_seconds", "evaluate_seconds", "elapsed"}


def content(record: Path) -> dict[str, Any]:
    """What a record says apart from times and of which process it was."""
    read = read_record(record)
    rows = [row.model_dump(exclude=OWN_OF_AN_EPOCH) for row in read.epochs]
    return {**read.model_dump(exclude={*OWN, "process", "epochs", "kept_features"}), "epochs": rows}


@pytest.mark.slow
def test_a_fork_trains_what_a_fresh_process_trains_and_is_missed_like_one(
    target_set: Path, initial_model: Path, tmp_path: Path
) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert parent.stdin is not None
    assert parent.stdout is not None

    def heard(word: str) -> None:
        for line in parent.stdout:  # type: ignore[union-attr]
            if word in line:
                return
        raise AssertionError(f"{word} never came: {parent.stderr.read()}")  # type: ignore[union-attr]

    def ask(given: dict[str, Any], **environ: str) -> None:
        parent.stdin.write(json.dumps({**given, "environ": environ}, default=str) + "\n")  # type: ignore[union-attr]
        parent.stdin.flush()  # type: ignore[union-attr]

    def child() -> int:
        deadline = time.monotonic() + 300
        while time.monotonic() < deadline:
            listed = Path(f"/proc/{parent.pid}/task/{parent.pid}/children").read_text().split()
            if found := [int(process) for process in listed if trains(int(process))]:
                return found[0]
            time.sleep(0.005)
        raise AssertionError("nothing trains")

    heard("ready")
    # Killed once, and started again by a fork: the weights are those of an undisturbed run.
    settings = {"epochs": 30, "patience": 0, "checkpoint_seconds": 0}
    arms: dict[str, dict[str, Any]] = {
        "baseline": {"settings": settings},
        "transfer": {"initial_model": initial_model, "model": tmp_path / "forked-model"},
    }
    for arm, changes in arms.items():
        ask(tiny_images.call(tmp_path, arm, target_set, record=tmp_path / f"forked-{arm}", **changes))
        heard("ended")
    struck = {"settings": settings, "checkpoints": str(tmp_path / "checkpoints"), "record": tmp_path / "struck"}
    ask(tiny_images.call(tmp_path, "baseline", target_set, **struck))
    heard("event=epoch")
    os.kill(child(), signal.SIGKILL)
    heard("ended")
    again = read_record(tmp_path / "struck")
    assert [attempt.ended for attempt in again.attempts] == ["was killed by signal 9 (SIGKILL)", "completed"]
    assert again.process == "forked"

    for arm, changes in arms.items():
        own = {**changes, **({"model": tmp_path / "fresh-model"} if "model" in changes else {})}
        given = tiny_images.call(tmp_path, arm, target_set, record=tmp_path / f"fresh-{arm}", **own)
        ask(given, **{preloading.SEPARATE: "1"})
        heard("ended")
        forked, fresh = (read_record(tmp_path / f"{way}-{arm}") for way in ("forked", "fresh"))
        assert (forked.process, fresh.process) == ("forked", "separate")
        assert fresh.status == "succeeded"
        assert content(tmp_path / f"forked-{arm}") == content(tmp_path / f"fresh-{arm}")
    assert again.final_weights == read_record(tmp_path / "fresh-baseline").final_weights
    described = [json.loads((tmp_path / f"{way}-model/model.json").read_text()) for way in ("forked", "fresh")]
    for model in described:
        model.pop("sha256")  # of an archive that has the time in it
    assert described[0] == described[1]

    # Its parent is killed: so is it.
    last = {"settings": {"epochs": 10_000, "patience": 0}, "record": tmp_path / "last"}
    ask(tiny_images.call(tmp_path, "baseline", target_set, **last), **{preloading.SEPARATE: ""})
    heard("event=epoch")
    training = child()
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 20
    while alive([training]):
        assert time.monotonic() < deadline
        time.sleep(0.01)
