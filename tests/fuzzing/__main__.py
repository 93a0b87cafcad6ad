"""A long bout: `python -m tests.fuzzing [--seconds N] [--seed N] [TARGET…]`; says how many inputs each target took."""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent


def main() -> None:
    """Fuzz one target after the other, each for the same time, and end with 1 if one of them broke."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzzing", description=__doc__)
    parser.add_argument("--seconds", type=int, default=60, help="for each target [60]")
    parser.add_argument("--seed", type=int, default=1, help="of the mutations [1]")
    parser.add_argument("target", nargs="*", help="default: all")
    given = parser.parse_args()
    names = given.target or re.findall(r"^def (\w+)\(data: bytes\)", (HERE / "targets.py").read_text(), re.M)
    environ = {**os.environ, "PYTHONPATH": str(HERE.parents[1])}
    together, broken = 0, []
    for name in names:
        command = [sys.executable, str(HERE / "fuzz.py"), name, str(given.seconds), "-1", str(given.seed)]
        done = subprocess.run(command, check=False, capture_output=True, text=True, env=environ)
        tried = re.search(r"number_of_executed_units: (\d+)", done.stderr)
        inputs = int(tried[1]) if tried else 0
        together += inputs
        print(f"{name:24} {inputs:10,} inputs, {'nothing broke' if done.returncode == 0 else 'BROKEN'}", flush=True)
        if done.returncode:
            broken.append(name)
            print(done.stderr[-2000:], flush=True)
    print(f"{'together':24} {together:10,} inputs; {len(broken)} targets broke")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
