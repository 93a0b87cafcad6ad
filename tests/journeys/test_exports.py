"""A run leaves the house: the commands of docs/trackers.md and docs/serving.md on what a small run wrote."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.journeys.documented import ROOT, command, run

pytestmark = pytest.mark.slow
TRACKERS, SERVING = "docs/trackers.md", "docs/serving.md"
# What makes the run small; its words stay those of the document.
SMALLER = ["--preset", "demo", "--runs", "1", "--preparations", "1", "--draws", "1", "--set", "epochs=2"]
SMALLER += ["--data-setting", "images_per_class=12", "--images-per-class", "24", "--output", "outputs/experiment"]
CLASSES = ["apple", "pears", "noise"]
READER = re.findall(r"^```python\n(.*?)^```", (ROOT / SERVING).read_text(encoding="utf-8"), re.M | re.S)[1]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exports")
    run(command(TRACKERS, "run"), folder, *SMALLER, statuses=(0, 3))
    (folder / "outputs/run").symlink_to("experiment")
    for number, colour in enumerate(((200, 40, 40), (60, 180, 60), (120, 120, 120))):
        (folder / "photographs").mkdir(exist_ok=True)
        Image.new("RGB", (70, 50), colour).save(folder / f"photographs/{number}.png")
    return folder


def test_mlflow_shows_the_run(place: Path, mlflow_server: str) -> None:
    run(command(TRACKERS, "export", "mlflow"), place, "--tracking-uri", mlflow_server)
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=mlflow_server)
    experiment = client.get_experiment_by_name("headstart")
    summary = json.loads((place / "outputs/experiment/summary.json").read_text())
    (parent,) = [
        found
        for found in client.search_runs([experiment.experiment_id])
        if found.data.tags.get("mlflow.note.content") == summary["answer"]
    ]
    children = client.search_runs([experiment.experiment_id], f"tags.`mlflow.parentRunId` = '{parent.info.run_id}'")
    records = {file.stem for file in (place / "outputs/experiment/records").glob("*.json")}
    assert {child.info.run_name for child in children} == records


def test_tensorboard_shows_the_curves(place: Path) -> None:
    (line,) = re.findall(r"^tensorboard (.*)$", (ROOT / TRACKERS).read_text(encoding="utf-8"), re.M)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    words = [sys.executable, "-m", "tensorboard.main", *shlex.split(line), "--host", "127.0.0.1", "--port", str(port)]
    records = {file.stem for file in (place / "outputs/experiment/records").glob("*.json")}
    server = subprocess.Popen(
        words, cwd=place, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True
    )
    try:
        until, shown = time.monotonic() + 120, {}
        while shown.keys() < records and time.monotonic() < until and server.poll() is None:
            time.sleep(0.5)
            with contextlib.suppress(OSError):
                shown = json.load(urllib.request.urlopen(f"http://127.0.0.1:{port}/data/plugin/scalars/tags"))
        assert shown.keys() == records, server.poll()
        assert all({"accuracy/train", "accuracy/validation", "loss/train"} <= tags.keys() for tags in shown.values())
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.communicate(timeout=10)


@pytest.mark.parametrize("kind", ["onnx", "tflite"])
def test_another_runtime_takes_the_model(kind: str, place: Path) -> None:
    if kind == "onnx":
        pytest.importorskip("tf2onnx")
    run(command(SERVING, "export", kind), place)
    words = [sys.executable, "-c", READER, f"fruits.{kind}"]
    shown = subprocess.run(words, cwd=place, capture_output=True, text=True, check=True)
    assert shown.stdout == f"52 {CLASSES}\n"
    assert answer(kind, place / f"fruits.{kind}") == pytest.approx(predicted(place), abs=1e-3)


def answer(kind: str, file: Path) -> dict[str, float]:
    """What the exported model says of one picture of one colour, which no resizing changes."""
    import numpy as np

    pixels = np.full((1, 52, 52, 3), (200, 40, 40), np.float32)
    found: Any
    if kind == "onnx":
        import onnxruntime

        (found,) = onnxruntime.InferenceSession(str(file)).run(None, {"pixels": pixels})
    else:
        import tensorflow as tf

        found = tf.lite.Interpreter(model_path=str(file)).get_signature_runner()(pixels=pixels)["probabilities"]
    return dict(zip(CLASSES, map(float, found[0]), strict=True))


def predicted(place: Path) -> dict[str, float]:
    import headstart

    found = headstart.predict(place / "outputs/run/model/saved_model", [place / "photographs/0.png"], top=3)
    return dict(zip(found["class"], found["probability"], strict=True))
