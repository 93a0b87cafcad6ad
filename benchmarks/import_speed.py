"""Measures the import against `keras.utils.image_dataset_from_directory`, which reads and resizes the same folder.

    python benchmarks/import_speed.py FOLDER [--rounds 3]      images a second, side by side, in turns
    python benchmarks/import_speed.py FOLDER --scaled          the same with decoding=scaled on our side
    python benchmarks/import_speed.py --memory 60000           peak memory of an import of that many images

Every measurement is a process of its own, so that neither side profits from what the other has loaded; both read the
folder once untimed before, so that the files are in the page cache for both. The clock starts after the imports of
Python modules and covers listing, reading, decoding and resizing; ours writes the packed form as well, Keras's keeps
nothing. What starting each costs is printed beside it, as is the time of the processor, which other programs on the
machine disturb less than the clock on the wall.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal

SIDE = 52


def _processor_seconds() -> float:
    """Of this process and of those that it started and that have ended."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(used.ru_utime + used.ru_stime for used in both)


def _finish(images: int, start: float, processor: float, launched: float) -> None:
    # Imported here, since what it brings along belongs to no side's start.
    ended, used = time.perf_counter(), _processor_seconds()
    from headstart.components.machine import peak_memory_bytes

    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    print(
        json.dumps(
            {
                "images": images,
                "seconds": ended - start,
                "processor": used - processor,
                "whole_processor": used,
                "startup": start - launched,
                "peak_mib": max(peak_memory_bytes(), largest) / 2**20,
            }
        )
    )


def keras_side(folder: str) -> None:
    """Go through the folder once as the Keras documentation does."""
    launched = time.perf_counter()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    start, processor = time.perf_counter(), _processor_seconds()
    images = 0
    for batch, _ in keras.utils.image_dataset_from_directory(folder, image_size=(SIDE, SIDE), verbose=False):
        images += len(batch)
    _finish(images, start, processor, launched)


def our_side(folder: str, decoding: Literal["exact", "scaled"] = "exact") -> None:
    """List, decode, turn, resize and pack the same folder."""
    launched = time.perf_counter()
    from headstart.components.datasets.packing import pack
    from headstart.components.datasets.reading import Reading
    from headstart.components.datasets.settings import ImportSettings
    from headstart.components.datasets.trees import read_class_tree

    start, processor = time.perf_counter(), _processor_seconds()
    with tempfile.TemporaryDirectory() as out:
        collection = read_class_tree(Path(folder), "benchmark", ImportSettings())
        collection.splits[:] = 0
        packing = pack(collection, Path(out), SIDE, Reading("apply", decoding=decoding))
        _finish(len(packing.labels["train"]), start, processor, launched)


def whole_import(folder: str) -> None:
    """Import a tree of splits as `headstart data` does, with every check."""
    launched = time.perf_counter()
    from headstart.components.datasets.importing import import_dataset

    start, processor = time.perf_counter(), _processor_seconds()
    with tempfile.TemporaryDirectory() as out:
        description = import_dataset(folder, Path(out) / "packed")
        _finish(sum(description.counts.values()), start, processor, launched)


def _measure(side: str, folder: str) -> dict[str, float]:
    done = subprocess.run(
        [sys.executable, __file__, "--side", side, folder], capture_output=True, text=True, check=True
    )
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def compare(folder: str, rounds: int, side: str) -> None:
    """Print Keras's rates beside those of our `side`, taken in turns."""
    for path in Path(folder).rglob("*"):
        if path.is_file():
            path.read_bytes()
    results: dict[str, list[dict[str, float]]] = {"keras": [], side: []}
    for _ in range(rounds):
        for name, measured in results.items():
            measured.append(_measure(name, folder))
    images = int(results["keras"][0]["images"])
    assert images == results[side][0]["images"], "both sides read the same images"
    print(f"{images} images of {folder}, resized to {SIDE}×{SIDE}; {rounds} rounds in turns, medians")
    print(f"{'':24}{'keras':>12}{side:>12}{'ratio':>8}")
    for title, value in (
        ("images a second", lambda row: row["images"] / row["seconds"]),
        ("… start-up included", lambda row: row["images"] / (row["seconds"] + row["startup"])),
        ("… a processor second", lambda row: row["images"] / row["processor"]),
    ):
        keras, ours = (statistics.median(map(value, results[name])) for name in ("keras", side))
        print(f"{title:24}{keras:12,.0f}{ours:12,.0f}{ours / keras:8.2f}")
    keras, ours = (max(row["peak_mib"] for row in results[name]) for name in ("keras", side))
    print(f"{'peak memory, MiB':24}{keras:12,.0f}{ours:12,.0f}")


def memory(count: int) -> None:
    """Draw `count` JPEG images of 100×100 in 100 classes and import them with every check."""
    import numpy as np
    from PIL import Image

    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        for index in range(count):
            split = "Test" if index % 6 == 0 else "Training"
            target = Path(folder) / split / f"class {index // 6 % 100:03d}"
            target.mkdir(parents=True, exist_ok=True)
            small = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
            small.resize((100, 100), Image.Resampling.BICUBIC).save(target / f"{index}_100.jpg", quality=90)
        result = _measure("import", folder)
    print(
        f"{int(result['images'])} images imported with every check: {result['seconds']:.1f} s, "
        f"{result['images'] / result['seconds']:,.0f} images a second, peak memory {result['peak_mib']:,.0f} MiB"
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", help="a folder with one folder per class")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--scaled", action="store_true")
    parser.add_argument("--memory", type=int, metavar="COUNT")
    parser.add_argument("--side", choices=["keras", "headstart", "scaled", "import"], help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.memory:
        memory(given.memory)
    elif not given.folder:
        parser.error("name a folder or --memory COUNT")
    elif given.side:
        sides: dict[str, Callable[[str], None]] = {
            "keras": keras_side,
            "headstart": our_side,
            "scaled": lambda folder: our_side(folder, "scaled"),
            "import": whole_import,
        }
        sides[given.side](given.folder)
    else:
        compare(given.folder, given.rounds, "scaled" if given.scaled else "headstart")
