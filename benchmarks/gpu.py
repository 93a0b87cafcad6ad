"""`make bench-gpu`: training throughput on the first GPU beside the notebook's and, where installed, PyTorch's."""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.timing import REPOSITORY, python
from headstart.components.training import environment

SECTION = "gpu"
BATCHES = (32, 128, 512, 2048)


def side(name: str, batch: int, *, gpu: bool = True, **recipe: Any) -> dict[str, Any]:
    """Measure one side at one batch size, see `benchmarks.throughput`."""
    device = ["--gpu", "--images", max(16384, 16 * batch)] if gpu else []
    command = python("benchmarks.throughput", name, "--batch", batch, *device, "--recipe", json.dumps(recipe))
    done = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{name}, batch {batch}: {done.stderr[-2000:]}")
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=REPOSITORY / "benchmarks" / "results.json")
    parser.add_argument(
        "--batches", type=int, nargs="+", default=BATCHES, help="images per step  [default: %(default)s]"
    )
    options = parser.parse_args()
    names = environment.gpus()
    if not names:
        print("TensorFlow sees no GPU here, so nothing was measured.")
        print("In a clone without .venv, `make setup LOCK=gpu` installs the TensorFlow for GPUs.")
        return
    peers = ["notebook", "torch"] if importlib.util.find_spec("torch") else ["notebook"]
    if "torch" not in peers:
        print("PyTorch is not installed; the notebook is the only peer.")
    rows: list[results.Entry] = []
    for batch in options.batches:
        figures = {name: side(name, batch)["images_per_second"] for name in peers}
        for precision in ("float32", "bfloat16"):
            mine = side("ours", batch, precision=precision)["images_per_second"]
            for peer, theirs in figures.items():
                key, what = f"{SECTION}/{batch}-{precision}-{peer}", f"training, batch {batch}, {precision}"
                more = {"faster_is": "more", "against": peer, "on": names[0]}
                rows.append(results.Entry(key, SECTION, what, "images/s", mine, theirs, **more))
    results.merge(options.results, rows)
    results.show(rows)


if __name__ == "__main__":
    main()
