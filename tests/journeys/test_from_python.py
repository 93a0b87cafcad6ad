"""The program at the top of docs/python-api.md on drawn photographs, with training a no-op; the notebook: tests/api."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.datasets.drawn_files import write_tree
from tests.journeys.documented import NO_TRAINING, ROOT

pytestmark = pytest.mark.slow
(PROGRAM,) = re.findall(
    r"^```python\n(.*?)^```", (ROOT / "docs/python-api.md").read_text(encoding="utf-8"), re.M | re.S
)


def test_the_program_imports_runs_and_answers(tmp_path: Path) -> None:
    for place, names in (("photos", "xy"), ("a", "pqr"), ("b", "stu")):
        write_tree(tmp_path / place, dict.fromkeys(names, 30), "PNG", (64, 64))
    environ = {**os.environ, **NO_TRAINING}
    words = [sys.executable, "-c", PROGRAM]
    done = subprocess.run(words, cwd=tmp_path, env=environ, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    answer, sound = done.stdout.rstrip().splitlines()[-1].rsplit(" ", 1)
    assert answer and sound == "False"  # what a no-op leaves is no measurement
    assert (tmp_path / "packed/photos/dataset.json").is_file()
    assert len(list((tmp_path / "outputs/mine/records").glob("transfer-*.json"))) == 5
    repeats = yaml.safe_load((tmp_path / "outputs/mine/run.yaml").read_text())
    assert repeats == {
        "preset": "fast", "runs": 5, "source": str(tmp_path / "a"), "intermediate": str(tmp_path / "b"),
        "target": str(tmp_path / "photos"),
    }  # fmt: skip
