"""Files in the working directory that are called as our imports change nothing, for any command and its parts."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from headstart.components.records import read_record
from tests.reliability import small_run

HOSTILE = "from pathlib import Path; Path(__file__).with_name('it-ran').touch(); raise SystemExit(99)\n"
NAMES = ["numpy", "keras", "queue", "kfp", "tensorflow", "click", "rich", "json", "scipy", "PIL", "sitecustomize"]
PACKAGES = ["components", "pipelines", "pandas"]
SCRIPT = str(Path(sys.executable).with_name("headstart"))


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    folder = tmp_path / "photographs"
    for name in PACKAGES:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(HOSTILE)
    for name in NAMES:
        (folder / f"{name}.py").write_text(HOSTILE)
    return folder


COMMANDS = [
    ["--version"],
    ["run", "--runs", "0"],
    ["data", "show", "."],
    ["data", "folder", "nothing", "-o", "packed"],
    ["report", "nothing", "--output", "report"],
    ["compare", "nothing", "nothing"],
    ["predict", "nothing.keras", "nothing.png"],
    ["compile", "retraining", "-o", "package.yaml"],
    ["check", "--help"],
    ["submit", "retraining", "--host", "http://127.0.0.1:9"],
    ["schedule", "--help"],
    ["retrain", "--data", "demo:fruits", "--store", "store"],
    ["models", "list", "--store", "store"],
]


@pytest.mark.parametrize("how", [[SCRIPT], [sys.executable, "-m", "headstart"]], ids=["script", "module"])
@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(command[:2]))
def test_every_command(command: list[str], how: list[str], hostile: Path) -> None:
    if how[0] == SCRIPT:
        if not Path(SCRIPT).exists():
            pytest.skip("the script is not installed beside this Python")
        # `python -m headstart` finds this one before ours: docs/reliability.md says so.
        (hostile / "headstart.py").write_text(HOSTILE)
    environment = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run(
        [*how, *command], check=False, capture_output=True, text=True, cwd=hostile, env=environment, timeout=120
    )
    assert not list(hostile.rglob("it-ran")), done.stderr
    assert done.returncode != 99
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_the_parts_of_a_run(hostile: Path) -> None:
    """The runner, kfp's executor and the import: it fails there, since the archive is none."""
    (hostile / "photos.zip").write_bytes(b"none")
    (hostile / "headstart.py").write_text(HOSTILE)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "headstart", "run", "--source", "photos.zip", "--output", "out", "--runs", "1"],
        check=False, capture_output=True, text=True, cwd=hostile, env={**os.environ, "PYTHONPATH": ""},
    )  # fmt: skip
    assert not list(hostile.rglob("it-ran")), done.stdout
    assert done.returncode == 1
    assert "import-dataset failed: " in " ".join(done.stderr.split())


@pytest.mark.slow
def test_the_process_that_trains_and_keras_as_another_project_set_it(hostile: Path, tmp_path: Path) -> None:
    (tmp_path / "keras").mkdir()
    settings = {"backend": "torch", "image_data_format": "channels_first", "floatx": "float64", "epsilon": 0.1}
    (tmp_path / "keras" / "keras.json").write_text(json.dumps(settings))
    (tmp_path / "run").mkdir()
    program, *words = small_run.command(tmp_path / "run", 2)
    foreign = {"KERAS_BACKEND": "jax", "KERAS_HOME": str(tmp_path / "keras"), "PYTHONSAFEPATH": "1"}
    done = subprocess.run(
        [program, *words], check=False, capture_output=True, text=True, cwd=hostile, env={**os.environ, **foreign}
    )
    assert done.returncode == 0, done.stderr
    assert not list(hostile.rglob("it-ran"))
    record = read_record(tmp_path / "run" / "record")
    assert (record.status, record.reason) == ("succeeded", "")
    plain = tmp_path / "plain"
    plain.mkdir()
    subprocess.run(small_run.command(plain, 2), check=True, capture_output=True)
    assert record.final_weights == read_record(plain / "record").final_weights
