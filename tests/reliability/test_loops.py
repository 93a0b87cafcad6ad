"""Loops of many runs through the local runner: every run reaches the report, once, in whatever number."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from headstart.components.design import plan
from headstart.pipelines.live_display import LiveDisplay
from headstart.pipelines.local import LocalRun, run_locally
from headstart.pipelines.placement import Placement

# A task of the local runner starts a Python and imports kfp. With HEADSTART_LONG=1 there are 1,000 runs of each arm.
RUNS = 1000 if os.environ.get("HEADSTART_LONG") else 4


@pytest.mark.slow
def test_loops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from rich.console import Console

    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    run = LocalRun(
        builder="loops:loops",
        arguments={"tasks": plan({"preset": "fast", "seeds": list(range(1, RUNS + 1))}).tasks},
        pipeline_root=tmp_path / "work",
        log=tmp_path / "run.log",
        build={"run_id": "many"},
        placement=Placement.here().model_dump(),
    )
    with LiveDisplay(Console(quiet=True), []) as listener:
        result = run_locally(run, listener)
    # `verify` may find records so bare unsound; all tasks before it must have gone well.
    assert result.succeeded or result.failed_task == "verify", result
    found = list((tmp_path / "work").rglob("summary.json"))
    assert len(found) == 1
    arms = json.loads(found[0].read_text())["arms"]
    for arm, share in (("baseline", 1.0), ("transfer", 0.5)):
        assert arms[arm]["runs"] == arms[arm]["succeeded"] == RUNS
        assert arms[arm]["train_seconds"]["mean"] == pytest.approx(share * (RUNS + 1) / 2)
