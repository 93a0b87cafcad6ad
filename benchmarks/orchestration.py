"""What the local runner costs beyond the processes of its tasks."""

from __future__ import annotations

import itertools
import json
import shutil
import statistics
from pathlib import Path
from typing import Any

from benchmarks import synthetic_records
from benchmarks.no_op_pipelines import tasks
from benchmarks.results import Entry
from benchmarks.timing import Measurement, python, run_measured
from headstart.components.atomic_files import write_json
from headstart.pipelines.placement import Placement

SECTION = "orchestration"
RUNS = 10


def run_no_op(work: Path, runs: int) -> tuple[Measurement, dict[str, Any]]:
    """Run an experiment of `runs` + `runs` no-op runs; return the worker's measurement and its clock's content."""
    root = work / "no-op"
    shutil.rmtree(root, ignore_errors=True)
    template = synthetic_records.templates(root / "template")
    specification = root / "run.json"
    write_json(
        specification,
        {
            "builder": "benchmarks.no_op_pipelines:runs",
            "arguments": {"template": str(template), "tasks": tasks(runs)},
            "build": {},
            "placement": Placement.here("headstart:0.1.0").model_dump(),
            "pipeline_root": str(root / "work"),
            "docker": None,
        },
    )
    log = work / "no-op.log"
    measured = run_measured(python("benchmarks.no_op_worker", specification, root / "times.json"), log)
    return measured, json.loads((root / "times.json").read_text(encoding="utf-8"))


def measure(work: Path, repeats: int) -> list[Entry]:
    """Between the end of one task's process and the start of the next lies what the runner costs a task."""
    between, processes, once, whole, others = [], [], [], [], []
    for _ in range(repeats):
        measured, content = run_no_op(work, RUNS)
        times = content["processes"]
        gaps = [start - end for (_, end), (start, _) in itertools.pairwise(times)]
        between.append(statistics.mean(gaps))
        processes.append(statistics.median(end - start for start, end in times))
        once.append(times[0][0] + content["wall"] - times[-1][1])
        whole.append(between[-1] + processes[-1])
        others.append(measured.others or 0.0)
    share = sum(others) / len(others)
    rows = [
        ("beyond", "a task, beyond its process", between, "<= 0.5"),
        ("process", "a task's own process, doing nothing", processes, ""),
        ("whole", "a task that does nothing, in all", whole, ""),
        ("once", "paid once: imports of kfp, compiling the pipeline, the end", once, ""),
    ]
    return [
        Entry(f"{SECTION}/{key}", SECTION, what, "s", values, target=target, others=share)
        for key, what, values, target in rows
    ]
