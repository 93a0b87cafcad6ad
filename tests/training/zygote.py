"""Imports TensorFlow once and forks a process for each specification it is told: what a test with many processes needs.

Reads a path a line from stdin, prints `pid N` when the process has started and `ended STATUS` when it is over.
"""

import gc
import os
import sys

from headstart.components.training import process

process.lighten_imports()
import headstart.components.training.run  # noqa: E402, F401 - the import that takes the time

gc.freeze()
print("ready", flush=True)
for line in sys.stdin:
    child = os.fork()
    if not child:
        # What the run prints is of no interest here, and stdout is ours to talk on.
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os._exit(process.main([line.strip()]))
    print(f"pid {child}", flush=True)
    _, status = os.waitpid(child, 0)
    print(f"ended {os.waitstatus_to_exitcode(status)}", flush=True)
