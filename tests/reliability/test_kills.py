"""Whatever is killed, and whenever: a clear end, no process left behind, and a second start that goes on.

Kills of the process that trains, at ten moments each, are in tests/training/test_resume.py; a kill of one run's
training process, Ctrl-C and two runs into one folder in tests/pipelines/test_experiment_run.py; kills of a promotion
between any two of its steps in tests/promotion/test_kills_and_races.py.
"""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from faults import descendants

from headstart.components.datasets.packed import PackedDataset
from headstart.components.records import read_record
from tests.processes import alive, is_task

SMALL = ["--runs", "1", "--data-setting", "images_per_class=12", "--images-per-class", "12"]
SMALL += ["--set", "epochs=20", "--set", "patience=0", "--set", "checkpoint_seconds=0"]


def start(folder: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "headstart", "run", *SMALL, "--output", str(folder)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def wait_until(condition: Callable[[], bool], what: str, seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.05)


def logged(folder: Path, pattern: str) -> Callable[[], bool]:
    log = folder / "run.log"
    return lambda: log.exists() and re.search(pattern, log.read_text(encoding="utf-8")) is not None


def part_of(command: subprocess.Popen[str], is_it: Callable[[int], bool]) -> int:
    """The id of the process below `command` that `is_it` says yes to."""

    def found() -> list[int]:
        return [process for process in descendants(command.pid) if is_it(process)]

    wait_until(lambda: bool(found()), is_it.__name__)
    return found()[0]


def is_runner(process: int) -> bool:
    return b"headstart.pipelines.local_worker" in (Path("/proc") / str(process) / "cmdline").read_bytes()


@pytest.mark.slow
def test_every_process_of_a_run_may_be_killed(tmp_path: Path) -> None:
    """One run is struck at each level in turn: its task, its runner, the command itself. It ends whole."""
    folder = tmp_path / "a run"
    started: list[subprocess.Popen[str]] = []
    try:
        started.append(start(folder))
        wait_until(logged(folder, "event=epoch arm=pretrain seed=0 epoch=2 "), "pretraining")
        # The task: it is tried again at once, and goes on where it was.
        os.kill(part_of(started[-1], is_task), signal.SIGKILL)
        wait_until(logged(folder, "event=resume arm=pretrain"), "the second attempt")
        # The runner: the command says so, and leaves nothing behind.
        below = descendants(started[-1].pid)
        os.kill(part_of(started[-1], is_runner), signal.SIGKILL)
        out, _ = started[-1].communicate(timeout=120)
        assert started[-1].returncode == 1, out
        assert "Traceback" not in out
        assert "the same command goes on" in " ".join(out.split())
        assert alive(below) == []

        # The command: what it had started ends by itself, and a second start waits for that.
        started.append(start(folder))
        wait_until(logged(folder, "event=epoch arm=finetune seed=0 epoch=2 "), "fine-tuning")
        below = descendants(started[-1].pid)
        started[-1].kill()
        started[-1].communicate()
        started.append(start(folder))
        wait_until(lambda: alive(below) == [], "the end of what the killed command had started", 60)
        out, _ = started[-1].communicate(timeout=600)
        assert started[-1].returncode in (0, 3), out
    finally:
        for command in started:
            if command.poll() is None:
                command.terminate()
                command.communicate()

    records = {path.stem: read_record(path) for path in (folder / "records").iterdir()}
    assert set(records) == {"pretrain", "finetune", "final", "baseline-01", "transfer-01"}
    assert all(record.status == "succeeded" and len(record.epochs) == 20 for record in records.values())
    attempts = records["pretrain"].attempts
    assert len(attempts) >= 2
    assert all("killed" in attempt.ended for attempt in attempts[:-1])
    assert records["pretrain"].phases.repeated > 0
    assert len({record.run_id for record in records.values()}) == 1
    assert not list(folder.rglob("*.partial"))


IMPORT = """
import sys
from headstart.components.datasets.importing import import_dataset
print("ready", flush=True)
import_dataset("demo:fruits", sys.argv[1], images_per_class=12)
"""


@pytest.mark.parametrize("sent", [signal.SIGKILL, signal.SIGTERM])
def test_an_import_at_random_moments(sent: signal.Signals, tmp_path: Path) -> None:
    """After each kill there is no data set or a whole one, and at last there is a whole one."""
    moments = random.Random(int(sent))
    target = tmp_path / "data"
    for _ in range(4):
        importing = subprocess.Popen(
            [sys.executable, "-c", IMPORT, str(target)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert importing.stdout is not None
        assert importing.stdout.readline() == "ready\n"
        time.sleep(moments.uniform(0, 1.2))
        importing.send_signal(sent)
        importing.communicate()
        if target.exists():
            for split in ("train", "validation", "test"):
                PackedDataset(target).split(split)
    subprocess.run([sys.executable, "-c", IMPORT, str(target)], check=True, stdout=subprocess.DEVNULL)
    assert len(PackedDataset(target).split("train")[1]) > 0


WRITE = """
import sys
from headstart.components.records import RunRecord
print("ready", flush=True)
number = 0
while True:
    number += 1
    RunRecord(arm="baseline", seed=1, run_id="r", status="failed", reason=str(number) * 20_000).write(sys.argv[1])
"""


def test_a_record_that_is_being_written(tmp_path: Path) -> None:
    moments = random.Random(3)
    path = tmp_path / "baseline-01.json"
    for _ in range(6):
        writing = subprocess.Popen([sys.executable, "-c", WRITE, str(path)], stdout=subprocess.PIPE, text=True)
        assert writing.stdout is not None
        assert writing.stdout.readline() == "ready\n"
        wait_until(path.exists, "the first record")
        time.sleep(moments.uniform(0, 0.3))
        writing.kill()
        writing.communicate()
        assert len(set(re.findall(r"\d+", read_record(path).reason))) == 1
