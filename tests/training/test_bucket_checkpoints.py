"""Checkpoints in a bucket: the same promises against a real object-store server."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_images

from headstart.components import storage
from headstart.components.records import RunRecord
from headstart.components.training import attempts, checkpoint
from headstart.components.training.checkpoint import Folder, finished, keep_finished
from headstart.components.training.stages import run_stage
from tests import gcs_server


@pytest.fixture
def bucket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An empty bucket's URI; the folder of a file store is a bucket."""
    (tmp_path / "buckets" / "runs").mkdir(parents=True)
    with gcs_server.running(tmp_path / "buckets") as server:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
        yield "gs://runs/experiment"


def test_objects_attempts_and_finished_runs(bucket, tmp_path):
    folder = Folder(f"{bucket}/transfer-1/")
    assert folder.read(checkpoint.CHECKPOINT) is None
    folder.write(checkpoint.CHECKPOINT, b"one")
    folder.write(checkpoint.CHECKPOINT, b"two")
    assert folder.read(checkpoint.CHECKPOINT) == b"two"

    first = attempts.Attempts(folder, "print")
    first.begin()
    first.epoch_done(1, 2.0)
    first.note(1)
    first.save()
    second = attempts.Attempts(folder, "print")
    assert [attempt.ended for attempt in second.earlier] == [attempts.VANISHED]
    assert second.repeated_seconds(0.0, 0.0) == 0  # a bucket has no journal

    model = tmp_path / "model"
    model.mkdir()
    (model / "model.keras").write_bytes(b"weights")
    record = RunRecord(arm="final", seed=1, run_id="r", status="succeeded")
    keep_finished(folder, "print", record, {"model": model})
    assert finished(folder, "print", {"model": tmp_path / "again"}) == record
    assert (tmp_path / "again" / "model.keras").read_bytes() == b"weights"
    assert folder.read(checkpoint.CHECKPOINT) == b""


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on_from_a_bucket(bucket, target_set, tmp_path):
    settings = {"epochs": 10_000, "patience": 0, "checkpoint_seconds": 0}
    given = tiny_images.call(tmp_path, "baseline", target_set, settings=settings, checkpoints=bucket)
    script = (
        "import json, sys; from pathlib import Path; from headstart.components.training.stages import run_stage\n"
        "given = json.loads(sys.argv[1])\n"
        "run_stage(**given | {name: Path(given[name]) for name in ('dataset', 'record')})\n"
    )
    command = [sys.executable, "-c", script, json.dumps(given, default=str)]
    noted = f"{bucket}/test-run/baseline-1/attempts.json"
    seen = []
    for send in (signal.SIGKILL, signal.SIGTERM):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
            assert parent.stdout is not None
            lines = 0
            while lines < 3:
                line = parent.stdout.readline()
                assert line, "it ended before it trained"
                if "event=epoch" in line:
                    lines += 1
                    seen.append(int(line.split(" epoch=")[1].split()[0]))
            os.kill(parent.pid, send)
            parent.stdout.read()
    assert parent.returncode == 143
    assert seen[3] > 1  # the second attempt did not start at the beginning
    found = json.loads(storage.read_bytes(noted))["attempts"]
    assert [attempt["ended"] for attempt in found] == [attempts.VANISHED, "terminated (SIGTERM)"]


@pytest.mark.slow
@pytest.mark.parametrize("kept", [True, False])
def test_a_store_that_is_away_as_a_run_begins_does_not_cost_the_run(
    kept: bool, target_set, tmp_path, monkeypatch, capfd
) -> None:
    """Its checkpoints lie in its container then, where a task that is started again there finds them, or nowhere."""
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "key")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.delenv(checkpoint.KEPT_IN_CONTAINER, raising=False)
    if kept:
        monkeypatch.setenv(checkpoint.KEPT_IN_CONTAINER, str(tmp_path / "kept"))
    settings = {"epochs": 3, "patience": 0}
    given = tiny_images.call(tmp_path, "baseline", target_set, settings=settings, checkpoints="s3://runs/experiment")
    record = run_stage(**given)
    assert (record.status, len(record.epochs), record.reason) == ("succeeded", 3, "")
    assert "not outside the container" in capfd.readouterr().out
    place = tmp_path / "kept/test-run/baseline-1" / checkpoint.FINISHED
    assert place.is_file() is kept
    plain = run_stage(**tiny_images.call(tmp_path / "plain", "baseline", target_set, settings=settings))
    assert record.final_weights == plain.final_weights
