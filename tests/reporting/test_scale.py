"""Thousands of runs: one report, its lines and rows thinned, and it says so."""

import csv
import json
import resource
import subprocess
import sys
from pathlib import Path

import builders
import numpy as np
import pytest

RUNS = 5000


def many(folder: Path, arm: str, accuracy: float, seconds: float) -> None:
    """Write RUNS records of an arm by changing the numbers of one; building each from scratch would take minutes."""
    template = json.loads(
        builders.record(arm, 0, epochs=24, accuracy=accuracy, seconds_per_epoch=seconds).model_dump_json()
    )
    rng = np.random.default_rng(len(arm))
    for seed in range(RUNS):
        share = float(rng.uniform(0.7, 1.3))
        rows = [
            {**row, "train_seconds": row["train_seconds"] * share, "elapsed": row["elapsed"] * share}
            for row in template["epochs"]
        ]
        changed = {
            **template,
            "seed": seed,
            "epochs": rows,
            "phases": {**template["phases"], "train": rows[-1]["elapsed"]},
            "result": {**template["result"], "test_accuracy": accuracy + float(rng.normal(0, 0.004))},
        }
        (folder / f"{arm}-{seed}.json").write_text(json.dumps(changed))


@pytest.mark.slow
def test_ten_thousand_records(tmp_path: Path) -> None:
    folder = tmp_path / "records"
    for record in builders.preparation():
        record.write(folder / f"{record.name}.json")
    many(folder, "baseline", 0.92, 1.5)
    many(folder, "transfer", 0.97, 0.2)
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    done = subprocess.run(
        [sys.executable, "-m", "headstart", "report", str(tmp_path), "--output", str(tmp_path / "out")],
        capture_output=True,
        text=True,
        timeout=600,
        check=True,
        cwd=Path(__file__).parents[2],
    )
    assert "5000 of 5000" in done.stdout
    # The largest child of this process, in KiB; other children of this worker may have been larger.
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
    assert largest == before or largest < 1024 * 1024
    html = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert len(html) < 1_000_000
    for said in ("thin lines are left out", "250 runs are drawn", "8 runs are drawn", "runs.csv has all of them"):
        assert said in html, said
    with (tmp_path / "out" / "runs.csv").open(encoding="utf-8") as rows:
        assert sum(1 for _ in csv.reader(rows)) == 1 + 3 + 2 * RUNS
