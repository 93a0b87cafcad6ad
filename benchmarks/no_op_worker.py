"""The local runner's worker, noting when each task's process starts and ends.

python -m benchmarks.no_op_worker SPECIFICATION.json TIMES.json
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def main() -> None:
    began = time.perf_counter()
    from headstart.pipelines import local_worker
    from headstart.pipelines.task_template import Template

    processes: list[tuple[float, float]] = []

    class Timed(Template):
        def around(self, run: Callable[..., int]) -> Callable[..., int]:
            start = super().around(run)

            def timed(**task: Any) -> int:
                before = time.perf_counter()
                status = start(**task)
                processes.append((before - began, time.perf_counter() - began))
                return status

            return timed

    template = Timed()
    try:
        local_worker.run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")), template)
    finally:
        template.end()
    Path(sys.argv[2]).write_text(json.dumps({"wall": time.perf_counter() - began, "processes": processes}))


if __name__ == "__main__":
    main()
