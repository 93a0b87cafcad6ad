"""A folder that holds what an earlier, an older or a broken run left."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from headstart.components.records import RunRecord
from headstart.pipelines.experiment_outputs import collect, collect_records


def run_into(folder: Path, *more: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-m", "headstart", "run", "--output", str(folder), *more],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert "Traceback" not in done.stderr
    return done.returncode, " ".join(done.stderr.split())


@pytest.mark.parametrize(
    "content",
    [
        '{"version": 0, "id": "20240101"}',  # an older version's
        '{"state": "running", "run_id": "x"',  # cut short
        "",
        "[]",
        "null",
        '{"state": "running", "run_id": "x", "request": []}',
        '{"state": "running", "run_id": "x", "request": {"parameters": 7}}',
        '{"state": "running", "run_id": "../../x", "request": {}}',
    ],
)
def test_a_request_that_is_none_of_ours_is_left_as_it_is(content: str, tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(content)
    status, err = run_into(tmp_path)
    assert status == 2
    assert str(tmp_path) in err
    assert "Name another --output" in err
    assert (tmp_path / "run.json").read_text() == content
    status, _ = run_into(tmp_path, "--restart")
    assert status == 2
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"run.json": content}


def test_a_finished_run_is_not_written_over(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps({"state": "finished", "run_id": "x", "request": {}}))
    (tmp_path / "summary.json").write_text("{}")
    status, err = run_into(tmp_path)
    assert status == 2
    assert "holds a finished run" in err
    assert (tmp_path / "summary.json").read_text() == "{}"


def test_an_output_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "results").write_text("mine")
    status, err = run_into(tmp_path / "results")
    assert status == 2
    assert "--output" in err
    assert (tmp_path / "results").read_text() == "mine"


def test_other_settings_than_the_interrupted_run_had(tmp_path: Path) -> None:
    request = {"parameters": {"preset": "fast"}, "baseline_data": "selected", "docker_image": ""}
    (tmp_path / "run.json").write_text(json.dumps({"state": "running", "run_id": "x", "request": request}))
    checkpoint = tmp_path / ".work" / "checkpoints" / "pretrain" / "state"
    checkpoint.parent.mkdir(parents=True)
    checkpoint.touch()
    status, err = run_into(tmp_path)
    assert status == 2
    assert checkpoint.exists()
    assert "other settings" in err
    assert "preset" in err


def test_partial_files_are_never_taken_for_results(tmp_path: Path) -> None:
    work = tmp_path / ".work"
    task = work / "headstart-experiment-1" / "pretrain"
    task.mkdir(parents=True)
    RunRecord(arm="pretrain", seed=0, run_id="r", status="failed", reason="why").write(task / "record")
    (task / ".record.0123456789ab.partial").write_text('{"arm": "pre')
    other = work / "headstart-experiment-1" / "finetune"
    other.mkdir()
    (other / ".record.0123456789ab.partial").write_text('{"arm": "fine')
    (other / "record").write_bytes(b"")  # kfp makes the file before the task runs
    model = other / "model"
    model.mkdir()
    (model / ".model.keras.0123456789ab.partial").write_bytes(b"half")
    assert [record.name for record in collect_records(work, tmp_path)] == ["pretrain"]
    collect(work, tmp_path)
    assert sorted(path.name for path in (tmp_path / "records").iterdir()) == ["pretrain.json"]
    assert not (tmp_path / "model").exists()


def test_report_takes_no_partial_record(tmp_path: Path) -> None:
    RunRecord(arm="baseline", seed=1, run_id="r", status="failed", reason="why").write(tmp_path / "baseline-01.json")
    (tmp_path / ".baseline-02.json.0123456789ab.partial").write_text('{"arm"')
    done = subprocess.run(
        [sys.executable, "-m", "headstart", "report", str(tmp_path), "--output", str(tmp_path / "report")],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert "partial" not in done.stderr
    assert json.loads((tmp_path / "report" / "summary.json").read_text())["arms"]["baseline"]["runs"] == 1
