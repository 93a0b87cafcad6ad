"""Random SIGKILLs of any process of `headstart run`: `python -m tests.reliability.kills --count 100`.

The same small experiment runs undisturbed once, then again and again while its processes are killed at random moments:
the command, the local runner, a task, the process that trains, one that decodes images. The same command is given until
it ends well. Weights, accuracies, confusion matrices and data digests must then be those of the undisturbed run.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from headstart.components.records import read_record

# This many test images are decoded by processes of their own.
FILES = 2_200
KINDS = {
    "local_worker": "runner",
    "training.process": "training",
    "datasets.decoding": "decoder",
    "executor_main": "task",
    "long_arguments": "task",
    "task_template": "template",
}
# What a fork is, which has the command line of what it was forked from.
NAMES = {"headstart-task": "task", "headstart-train": "training"}
ALL_KINDS = ("command", *dict.fromkeys(KINDS.values()))
KILLS_PER_RUN = 20


def draw_images(folder: Path) -> None:
    """Write `FILES` small noisy images of two colours, a class folder for each."""
    rng = np.random.default_rng(1)
    for number in range(FILES):
        pixels = rng.integers(0, 90, (16, 16, 3), np.uint8)
        pixels[..., number % 2] += 120
        path = folder / ("red", "green")[number % 2] / f"{number:04d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path)


@dataclass
class Experiment:
    """A small experiment and the folder below which it is run."""

    folder: Path
    runs: int = 3
    kills: Counter[str] = field(default_factory=Counter)

    def start(self, output: Path) -> subprocess.Popen[str]:
        """Give the command."""
        data = self.folder / "images"
        if not data.exists():
            draw_images(data)
        settings = ["epochs=2", "patience=0", "checkpoint_seconds=0", "pretrain.epochs=3"]
        command = [sys.executable, "-P", "-m", "headstart", "run", "--source", str(data), "--preset", "demo"]
        command += ["--image-size", "40", "--images-per-class", "8", "--runs", str(self.runs)]
        # More for test than one process decodes; hardly any to train on.
        command += ["--data-setting", "test_share=0.95", "--data-setting", "images_per_class=8"]
        command += ["--test-images-per-class", "8", "--preparations", "1", "--draws", "1", "--output", str(output)]
        command += [word for setting in settings for word in ("--set", setting)]
        log = (output.parent / f"{output.name}.txt").open("a")
        with log:
            return subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, text=True)

    def undisturbed(self) -> tuple[int, dict[str, Any], float]:
        """Run it whole; return its status, its result and the seconds it took."""
        began = time.monotonic()
        status = self.start(self.folder / "undisturbed").wait()
        return status, result(self.folder / "undisturbed"), time.monotonic() - began

    def disturbed(self, output: Path, kills: int, seconds: float, moments: random.Random) -> int:
        """Run it, kill `kills` times, one every so often, give the same command until it ends; return its status."""
        # Images are decoded in the first seconds only. The kind first: a random process is nearly always a task.
        others = [kind for kind in ALL_KINDS if kind != "decoder"]
        kinds = ["decoder"] * (kills // len(ALL_KINDS))
        kinds += moments.choices(others, k=kills - len(kinds))
        starts = 0
        while True:
            starts += 1
            assert starts <= kills + 5, f"{output} does not come to an end: {text_of(output)}"
            command = self.start(output)
            while command.poll() is None and kinds:
                kind = kinds.pop(0)
                if kind != "decoder":
                    time.sleep(moments.uniform(0, seconds / 20))
                if kill_one(command, kind, moments, seconds / (2 if kind == "decoder" else 5)):
                    self.kills[kind] += 1
                else:
                    kinds.append(kind)
            command.wait()
            state = output / "run.json"
            if state.exists() and json.loads(state.read_text())["state"] == "finished":
                return int(command.returncode)


def processes_of(command: int) -> dict[int, str]:
    """Return the processes of a run and what each is."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(") ", 1)[1].split()[1])
            except (OSError, IndexError):
                continue
    found, below = {command: "command"}, [command]
    while below:
        parent = below.pop()
        for process in [one for one, of in parents.items() if of == parent]:
            below.append(process)
            folder = Path("/proc") / str(process)
            try:
                line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                name = (folder / "comm").read_text().strip()
            except OSError:
                continue
            found[process] = NAMES.get(name) or next((kind for word, kind in KINDS.items() if word in line), "other")
    return found


def kill_one(command: subprocess.Popen[str], kind: str, moments: random.Random, patience: float) -> bool:
    """Wait until there is a process of this kind, and a moment more, and kill it; False where none came."""
    deadline = time.monotonic() + patience
    while command.poll() is None and time.monotonic() < deadline:
        if found := [process for process, of in processes_of(command.pid).items() if of == kind]:
            if kind != "decoder":  # which live for a moment themselves
                time.sleep(moments.uniform(0, 2))
            try:
                os.kill(moments.choice(found), signal.SIGKILL)
                return True
            except ProcessLookupError:
                continue
        time.sleep(0.02)
    return False


def result(output: Path) -> dict[str, Any]:
    """Return what must be equal: of every run its weights, data, accuracies and confusion matrix."""
    records = [read_record(path) for path in sorted((output / "records").glob("*.json"))]
    return {
        record.name: {
            "status": record.status,
            "weights": record.final_weights,
            "data": record.data.digest if record.data else "",
            "accuracy": record.result.test_accuracy,
            "validation": [epoch.validation_accuracy for epoch in record.epochs],
            "confusion": record.result.confusion,
        }
        for record in records
    }


def text_of(output: Path) -> str:
    """Return the end of what the commands printed."""
    return (output.parent / f"{output.name}.txt").read_text(errors="replace")[-3000:]


def main() -> int:
    """Run it; status 1 where a result differs."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=100, help="kills")
    parser.add_argument(
        "--runs", type=int, default=3, help="runs of each arm; fewer than 3 are not a sound measurement"
    )
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    moments = random.Random(given.seed)
    wrong = 0
    with tempfile.TemporaryDirectory(prefix="headstart-kills-") as folder:
        experiment = Experiment(Path(folder), given.runs)
        status, expected, seconds = experiment.undisturbed()
        print(f"undisturbed: status {status}, {len(expected)} records, {seconds:.0f} s", flush=True)
        number = 0
        while (total := experiment.kills.total()) < given.count:
            number += 1
            output = Path(folder, f"run-{number}")
            ended = experiment.disturbed(output, min(KILLS_PER_RUN, given.count - total), seconds, moments)
            equal = result(output) == expected
            wrong += not equal or ended != status
            print(f"run {number}: status {ended}, equal: {equal}; kills so far: {dict(experiment.kills)}", flush=True)
            if not equal or ended != status:
                print(text_of(output), flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
