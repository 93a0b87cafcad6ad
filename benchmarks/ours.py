"""One part of the experiment as its component runs it, in a process of its own: `python -m benchmarks.ours SPEC.json`.

The specification names a plain function of `components` and its arguments; `benchmarks.whole_experiment` writes it. The
runs of the arms are forked from a process that has imported TensorFlow, as in `headstart run`.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

from headstart.components.atomic_files import write_json

PATHS = ("dataset", "initial_model", "record", "model", "saved_model", "folder", "packed", "output", "precision")
NOT_FORKED = "Training processes cannot be forked here; these are not the runs of `headstart run`."


def of_paths(given: dict[str, Any]) -> dict[str, Any]:
    return {name: Path(value) if name in PATHS and value is not None else value for name, value in given.items()}


def stage(arguments: dict[str, Any]) -> None:
    from headstart.components.training import precision
    from headstart.components.training.stages import run_stage

    record = run_stage(**arguments | {"precision": precision.read(arguments["precision"])})
    if record.status != "succeeded":
        raise SystemExit(f"{record.name}: {record.status}: {record.reason}")


def runs(each: list[dict[str, Any]], output: Path) -> None:
    """Train each, and write to `output` what the process of each took from its start to its record.

    In a fork of the process that has imported TensorFlow, as the tasks of a local run are: this process has threads of
    numpy's, beside which nothing may be forked.
    """
    from headstart.components import forking
    from headstart.components.training import preloading

    if not preloading.load():
        raise SystemExit(NOT_FORKED)
    child = forking.start(lambda: _trained(each, output), name="runs")
    if os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]):
        raise SystemExit("The runs of the arms failed.")


def _trained(each: list[dict[str, Any]], output: Path) -> int:
    taken = []
    for given in each:
        began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
        stage(of_paths(given))
        wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        record = json.loads(Path(given["record"]).read_text(encoding="utf-8"))
        if record["process"] != "forked":
            raise SystemExit(NOT_FORKED)
        process = {"wall": wall, "cpu": cpu, "peak_bytes": record["peak_memory_bytes"], "others": None}
        taken.append({"name": f"{given['arm']}-{given['seed']}", "process": process, "result": record})
    write_json(output, taken)
    return 0


def main() -> None:
    spec = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    arguments = of_paths(spec["arguments"])
    if spec["part"] == "import":
        from headstart.components.datasets.importing import import_dataset

        import_dataset(**arguments)
    elif spec["part"] == "select":
        from headstart.components.datasets.selection import select_classes

        select_classes(**arguments)
    elif spec["part"] == "precision":
        from headstart.components.training import precision

        precision.write(arguments.pop("output"), precision.choose(precision.EXPERIMENT, **arguments))
    elif spec["part"] == "stage":
        stage(arguments)
    elif spec["part"] == "runs":
        runs(**arguments)
    elif spec["part"] == "report":
        from headstart.components.records import read_record
        from headstart.components.reporting.report import write_report

        write_report([read_record(path) for path in arguments.pop("records")], **arguments)
    else:
        raise SystemExit(f"{spec['part']}: no such part")


if __name__ == "__main__":
    main()
