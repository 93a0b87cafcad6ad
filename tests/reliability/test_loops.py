"""Experiments of many runs: every run passes through the pipeline's own tasks and reaches the report, once."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from headstart.components.design import plan

# HEADSTART_LONG=1: 1,000 runs of each arm, in 91 tasks of the loop.
RUNS = 1000 if os.environ.get("HEADSTART_LONG") else 8
SMALL = ["--data-setting", "images_per_class=12", "--images-per-class", "24", "--preparations", "2", "--draws", "2"]


@pytest.mark.slow
def test_every_run_of_many_reaches_the_report(tmp_path: Path) -> None:
    """The whole experiment, its own components and loops, with `no_op/sitecustomize.py` in place of training."""
    words = ["run", "--preset", "demo", "--runs", str(RUNS), *SMALL, "--output", "out"]
    environ = {**os.environ, "PYTHONPATH": str(Path(__file__).parent / "no_op")}
    done = subprocess.run(
        [sys.executable, "-m", "headstart", *words],
        cwd=tmp_path, env=environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
    )  # fmt: skip
    # `verify` finds records so bare unsound; all tasks before it must have gone well.
    assert done.returncode == 3, done.stdout
    planned = plan({"preset": "demo", "seeds": list(range(1, RUNS + 1)), "preparations": 2, "draws": 2})
    summary = json.loads((tmp_path / "out/summary.json").read_text())
    for arm, share in (("baseline", 1.0), ("transfer", 0.5)):
        assert summary["arms"][arm]["runs"] == summary["arms"][arm]["succeeded"] == RUNS
        assert summary["arms"][arm]["train_seconds"]["mean"] == pytest.approx(share * (RUNS + 1) / 2)
    records = [json.loads(file.read_text()) for file in (tmp_path / "out/records").glob("*.json")]
    ran = {(one["seed"], one["preparation"], one["draw"], one["arm"]) for one in records}
    assert ran >= {(*cell[:3], arm) for cell in planned.cells for arm in cell.arms}
    assert len(records) == 2 * RUNS + 2 * 2 + 1
    log = (tmp_path / "out/run.log").read_text(errors="replace")
    assert log.count("Executing task 'train-runs'") + log.count('Executing task "train-runs"') == len(planned.tasks)
