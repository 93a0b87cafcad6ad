"""Nothing that Headstart did not write is overwritten or removed, whatever a command is told to write to."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from headstart.components.errors import SettingError
from headstart.components.records import RunRecord
from headstart.pipelines.own_files import begin_log, check_report_folder, earlier_run, nothing_trained, remove_results

RUN = {"state": "running", "run_id": "20261125-100000-abcdef", "request": {"parameters": {}}}


def headstart(*arguments: str, where: Path) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, "-P", "-m", "headstart", *arguments], check=False, capture_output=True, text=True, cwd=where
    )
    assert "Traceback" not in done.stderr
    return done.returncode, " ".join(done.stderr.split())


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.mark.parametrize(
    "mine",
    [
        {"report.md": "# mine"},
        {"notes.txt": "mine"},
        {"model/final.keras": "mine"},
        {"records/baseline-01.json": "{}", "summary.json": "{}"},
        {"run.json": '{"name": "my package"}', "model/saved_model/x": "mine"},
        {"run.json": '{"state": "mine", "run_id": "x", "request": {}}'},
        {".work/x": "mine"},
    ],
)
@pytest.mark.parametrize("restart", [[], ["--restart"]])
def test_run_refuses_a_folder_of_somebody_elses(mine: dict[str, str], restart: list[str], tmp_path: Path) -> None:
    for name, text in mine.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    status, err = headstart("run", "--output", ".", *restart, where=tmp_path)
    assert status == 2, err
    assert "--output" in err
    assert contents(tmp_path) == mine


def test_a_log_is_appended_to_a_log_alone(tmp_path: Path) -> None:
    file = tmp_path / "log"
    for text in ("diary\n", "\n", "x" * 200_000):
        file.write_text(text)
        with pytest.raises(SettingError, match="no log of Headstart"):
            begin_log(file, "--log")
        assert file.read_text() == text
    os.mkfifo(tmp_path / "pipe")
    for other in (tmp_path, tmp_path / "pipe"):
        with pytest.raises(SettingError, match="no log of Headstart"):
            begin_log(other, "--log")
    file.write_text("")
    begin_log(file, "--log")
    with file.open("a") as log:
        log.write("a line\n")
    begin_log(file, "--log")
    assert file.read_text() == "# Log of Headstart.\na line\n"
    begin_log(Path("/dev/null"), "--log")


def test_what_a_killed_start_left_is_no_obstacle(tmp_path: Path) -> None:
    assert earlier_run(tmp_path / "absent") is None
    assert earlier_run(tmp_path) is None
    (tmp_path / ".lock").touch()
    (tmp_path / ".run.json.0123456789ab.partial").touch()
    assert earlier_run(tmp_path) is None


def test_a_restart_removes_what_a_run_wrote_and_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "run.json").write_text(json.dumps(RUN))
    (tmp_path / "records").mkdir()
    RunRecord(arm="baseline", seed=1, run_id="r", status="failed", reason="why").write(
        tmp_path / "records" / "baseline-01.json"
    )
    (tmp_path / ".work" / "checkpoints").mkdir(parents=True)
    (tmp_path / "model" / "saved_model").mkdir(parents=True)
    for name in ("model/final.keras", "model/saved_model/saved_model.pb", "report.md", "run.log"):
        (tmp_path / name).write_text("ours")
    mine = {"notes.txt": "mine", "records/notes.json": "{}", "model/other.keras": "mine"}
    for name, text in mine.items():
        (tmp_path / name).write_text(text)
    assert earlier_run(tmp_path) is not None
    remove_results(tmp_path)
    assert contents(tmp_path) == mine


def test_a_run_that_ended_before_any_training_gives_way(tmp_path: Path) -> None:
    """Its error may ask for another setting, which `--restart` should not be needed for."""

    (tmp_path / ".work/checkpoints/pretrain").mkdir(parents=True)
    (tmp_path / ".work/headstart-experiment-1").mkdir()
    (tmp_path / ".work/headstart-experiment-1/images.npy").touch()
    assert nothing_trained(tmp_path)
    (tmp_path / "records").mkdir()
    (tmp_path / "records/pretrain.json").touch()
    assert not nothing_trained(tmp_path)
    (tmp_path / "records/pretrain.json").rename(tmp_path / ".work/checkpoints/pretrain/state")
    assert not nothing_trained(tmp_path)
    (tmp_path / "model").mkdir()
    (tmp_path / ".work/checkpoints/pretrain/state").rename(tmp_path / "model/final.keras")
    assert not nothing_trained(tmp_path)


@pytest.mark.parametrize("name", ["report.html", "report.md", "reproduce.py", "runs.csv", "summary.json"])
def test_report_refuses_files_of_somebody_elses_and_replaces_its_own(name: str, tmp_path: Path) -> None:
    RunRecord(arm="baseline", seed=1, run_id="r", status="failed", reason="why").write(tmp_path / "baseline-01.json")
    out = tmp_path / "out"
    for _ in range(2):
        assert headstart("report", "baseline-01.json", "--output", "out", where=tmp_path)[0] == 0
    check_report_folder(out, "--output")
    whole = contents(out)
    (out / name).write_text('{"mine": 1}')
    status, err = headstart("report", "baseline-01.json", "--output", "out", where=tmp_path)
    assert status == 2
    assert f"{name} is there and was not written by Headstart" in err
    assert contents(out) == {**whole, name: '{"mine": 1}'}


def test_a_folder_in_the_place_of_a_report_is_refused(tmp_path: Path) -> None:
    (tmp_path / "report.md").mkdir()
    with pytest.raises(SettingError, match=r"report\.md is there"):
        check_report_folder(tmp_path, "--output")


def test_compile_replaces_a_package_and_nothing_else(tmp_path: Path) -> None:
    for _ in range(2):
        assert headstart("compile", "retraining", "-o", "a.yaml", where=tmp_path)[0] == 0
    (tmp_path / "a.yaml").write_text("mine: 1\n")
    status, err = headstart("compile", "retraining", "-o", "a.yaml", where=tmp_path)
    assert status == 2
    assert "not a compiled pipeline" in err
    assert (tmp_path / "a.yaml").read_text() == "mine: 1\n"


def test_make_clean_keeps_results() -> None:
    makefile = (Path(__file__).parents[2] / "Makefile").read_text()
    recipes = {block.split(":")[0]: block for block in makefile.split("\n\n")}
    assert "outputs" not in recipes["clean"].partition("\n")[2]
    assert "rm -rf outputs" in recipes["clean-results"]
