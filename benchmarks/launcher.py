"""Starts one command and writes what it took: `python -S launcher.py RESULT.json COMMAND…`.

A process's peak of resident memory, as the kernel keeps it, includes what its parent had resident when it was started.
This one is small, whatever has started it.
"""

import json
import os
import sys
import time

if __name__ == "__main__":
    result, command = sys.argv[1], sys.argv[2:]
    began = time.perf_counter()
    child = os.posix_spawn(command[0], command, os.environ)
    _, status, usage = os.wait4(child, 0)
    wall = time.perf_counter() - began
    figures = {
        "status": os.waitstatus_to_exitcode(status),
        "wall": wall,
        "cpu": usage.ru_utime + usage.ru_stime,
        "peak_bytes": usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    }
    with open(result, "w", encoding="utf-8") as file:  # noqa: PTH123
        json.dump(figures, file)
