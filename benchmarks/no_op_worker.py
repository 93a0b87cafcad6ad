"""The local runner's worker, noting when each task's process starts and ends, and its longest argument in bytes.

python -m benchmarks.no_op_worker SPECIFICATION.json TIMES.json
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any


def main() -> None:
    began = time.perf_counter()
    from kfp.local import subprocess_task_handler

    from headstart.pipelines import local_worker

    started_process = subprocess_task_handler.run_local_subprocess
    processes: list[tuple[float, float]] = []

    longest = 0

    def timed(full_command: list[str], **options: Any) -> int:
        nonlocal longest
        longest = max(longest, *(len(argument.encode()) for argument in full_command))
        before = time.perf_counter()
        status: int = started_process(full_command, **options)
        processes.append((before - began, time.perf_counter() - began))
        return status

    subprocess_task_handler.run_local_subprocess = timed
    local_worker.run(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    Path(sys.argv[2]).write_text(
        json.dumps({"wall": time.perf_counter() - began, "processes": processes, "longest_argument": longest})
    )


if __name__ == "__main__":
    main()
