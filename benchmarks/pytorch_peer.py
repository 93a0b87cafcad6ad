"""Training throughput on the processor beside PyTorch, where it is installed (`.venv/bin/pip install torch`)."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import statistics

from benchmarks.gpu import side
from benchmarks.results import Entry
from benchmarks.timing import others_share
from headstart.components.training.clock import machine_busy_seconds

SECTION = "pytorch"
BATCHES = (32, 128, 512)


def installed() -> bool:
    """Whether PyTorch can be imported here."""
    return importlib.util.find_spec("torch") is not None


def measure(repeats: int) -> list[Entry]:
    """Measure both sides in turn, each time in a process of its own; a repeat is the median of its epochs."""
    if not installed():
        print("  PyTorch is not installed, so nothing was measured here.")
        return []
    against = f"PyTorch {importlib.metadata.version('torch')}, torch.compile"
    rows: list[Entry] = []
    for batch in BATCHES:
        rates: dict[str, list[float]] = {"ours": [], "torch": []}
        memory: dict[str, list[float]] = {"ours": [], "torch": []}
        shares = []
        for _ in range(repeats):
            for name, rate in rates.items():
                busy = machine_busy_seconds()
                found = side(name, batch, gpu=False, precision="float32")
                rate.append(statistics.median(found["images_per_second"]))
                memory[name].append(found["peak_memory_bytes"] / 2**20)
                shares.append(others_share(busy, found["wall"], found["cpu"]) or 0.0)
        more = {"against": against, "on": "random bytes", "others": statistics.mean(shares)}
        what = f"the whole network at batch {batch}, float32"
        key = f"{SECTION}/{batch}"
        rows.append(Entry(key, SECTION, what, "images/s", rates["ours"], rates["torch"], faster_is="more", **more))
        rows.append(
            Entry(f"{key}-memory", SECTION, f"{what}, peak memory", "MiB", memory["ours"], memory["torch"], **more)
        )
    return rows
