"""Report rendering: 23 records, as `headstart run` has them, and 10,000."""

from __future__ import annotations

import shutil
from pathlib import Path

from benchmarks import synthetic_records
from benchmarks.results import Entry
from benchmarks.timing import Measurement, python, run_measured
from headstart.components.atomic_files import write_json

SECTION = "report"
MEBI = 2**20


def render(work: Path, runs: int, *, classes: int = 3) -> Measurement:
    """Read and render an experiment of `runs` + `runs` runs in a process of its own."""
    folder = work / "report"
    shutil.rmtree(folder, ignore_errors=True)
    files = synthetic_records.write(folder / "records", synthetic_records.experiment(runs, classes=classes))
    specification = folder / "specification.json"
    arguments = {"records": [str(file) for file in files], "output": str(folder / "out")}
    write_json(specification, {"part": "report", "arguments": arguments})
    (folder / "out").mkdir()
    return run_measured(python("benchmarks.ours", specification), work / "report.log")


def measure(work: Path, repeats: int) -> list[Entry]:
    """Time from the start of the process to its end, reading the records included."""
    rows: list[Entry] = []
    for records, target in ((23, "<= 3"), (10_000, "")):
        runs = -(-(records - 3) // 2)
        found = [render(work, runs) for _ in range(repeats if records < 1000 else min(repeats, 2))]
        others = sum(one.others or 0.0 for one in found) / len(found)
        label, key = f"report of {2 * runs + 3:,} records", f"{SECTION}/{records}"
        wall, cpu, peak = zip(*((one.wall, one.cpu, one.peak_bytes / MEBI) for one in found), strict=True)
        rows.append(Entry(key, SECTION, label, "s", list(wall), target=target, others=others))
        rows.append(Entry(f"{key}-cpu", SECTION, f"{label}, processor seconds", "s", list(cpu), others=others))
        rows.append(Entry(f"{key}-memory", SECTION, f"{label}, peak memory", "MiB", list(peak), others=others))
    return rows
