"""`make bench-gpu`: training throughput on the first GPU beside the notebook's and, where installed, PyTorch's.

The section `pytorch` of `make bench` is the same on the processor, beside PyTorch alone.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import json
import statistics
from pathlib import Path
from typing import Any

from benchmarks import results
from benchmarks.timing import REPOSITORY, answer
from headstart.components.training import environment

SECTION = "gpu"
BATCHES = (32, 128, 512, 2048)


def side(name: str, batch: int, *, gpu: bool = True, **recipe: Any) -> dict[str, Any]:
    """Measure one side at one batch size, see `benchmarks.throughput`."""
    device = ["--gpu", "--images", max(16384, 16 * batch)] if gpu else []
    return answer("benchmarks.throughput", name, "--batch", batch, *device, "--recipe", json.dumps(recipe))


def measure_processor(repeats: int) -> list[results.Entry]:
    """Measure both sides in turn, each time in a process of its own; a repeat is the median of its epochs."""
    if not importlib.util.find_spec("torch"):
        print("  PyTorch is not installed, so nothing was measured here.")
        return []
    against = f"PyTorch {importlib.metadata.version('torch')}, torch.compile"
    rows: list[results.Entry] = []
    for batch in BATCHES[:3]:
        found: dict[str, list[dict[str, Any]]] = {"ours": [], "torch": []}
        for _ in range(repeats):
            for name, each in found.items():
                each.append(side(name, batch, gpu=False, precision="float32"))
        rates = [[statistics.median(one["images_per_second"]) for one in each] for each in found.values()]
        memory = [[one["peak_memory_bytes"] / 2**20 for one in each] for each in found.values()]
        others = statistics.mean(one["others"] or 0.0 for each in found.values() for one in each)
        more = {"against": against, "on": "random bytes", "others": others}
        key, what = f"pytorch/{batch}", f"the whole network at batch {batch}, float32"
        rows.append(results.Entry(key, "pytorch", what, "images/s", *rates, faster_is="more", **more))
        rows.append(results.Entry(f"{key}-memory", "pytorch", f"{what}, peak memory", "MiB", *memory, **more))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
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
