"""One part of the experiment as its component runs it, in a process of its own: `python -m benchmarks.ours SPEC.json`.

The specification names a plain function of `components` and its arguments; `benchmarks.whole_experiment` writes it.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

PATHS = ("dataset", "initial_model", "record", "model", "saved_model", "folder", "packed", "output", "precision")


def main() -> None:
    spec = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    arguments: dict[str, Any] = {
        name: Path(value) if name in PATHS and value is not None else value for name, value in spec["arguments"].items()
    }
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
        from headstart.components.training import precision
        from headstart.components.training.stages import run_stage

        record = run_stage(**arguments | {"precision": precision.read(arguments["precision"])})
        if record.status != "succeeded":
            raise SystemExit(f"{record.name}: {record.status}: {record.reason}")
    elif spec["part"] == "report":
        from headstart.components.records import read_record
        from headstart.components.reporting.report import write_report

        write_report([read_record(path) for path in arguments.pop("records")], **arguments)
    else:
        raise SystemExit(f"{spec['part']}: no such part")


if __name__ == "__main__":
    main()
