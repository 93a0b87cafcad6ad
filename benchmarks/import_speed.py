"""One side of the import's benchmark, measured once in this process: `python -m benchmarks.import_speed SIDE FOLDER`.

The other side is `keras.utils.image_dataset_from_directory`, which reads and resizes the same folder. A process of its
own, so that neither side profits from what the other has loaded. The clock starts after the imports of Python modules
and covers listing, reading, decoding and resizing; ours writes the packed form as well, Keras's keeps nothing. What
starting costs is given beside it, as is the time of the processor, which other programs on the machine disturb less
than the clock on the wall.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import tempfile
import time
from pathlib import Path
from typing import Literal


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
                "startup": start - launched,
                "peak_mib": max(peak_memory_bytes(), largest) / 2**20,
            }
        )
    )


def keras_side(folder: str, size: int) -> None:
    """Go through the folder once as the Keras documentation does."""
    launched = time.perf_counter()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    start, processor = time.perf_counter(), _processor_seconds()
    images = 0
    for batch, _ in keras.utils.image_dataset_from_directory(folder, image_size=(size, size), verbose=False):
        images += len(batch)
    _finish(images, start, processor, launched)


def our_side(folder: str, size: int, decoding: Literal["exact", "scaled"]) -> None:
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
        packing = pack(collection, Path(out), size, Reading("apply", decoding=decoding))
        _finish(len(packing.labels["train"]), start, processor, launched)


def whole_import(folder: str) -> None:
    """Import a tree of splits as `headstart data` does, with every check."""
    launched = time.perf_counter()
    from headstart.components.datasets.importing import import_dataset

    start, processor = time.perf_counter(), _processor_seconds()
    with tempfile.TemporaryDirectory() as out:
        description = import_dataset(folder, Path(out) / "packed")
        _finish(sum(description.counts.values()), start, processor, launched)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("side", choices=["keras", "exact", "scaled", "import"], help="scaled and exact: our decoding")
    parser.add_argument("folder", help="a folder with one folder per class; import: one of splits")
    parser.add_argument("--size", type=int, default=52, help="pixels that images are resized to")
    given = parser.parse_args()
    if given.side == "import":
        whole_import(given.folder)
    elif given.side == "keras":
        keras_side(given.folder, given.size)
    else:
        our_side(given.folder, given.size, given.side)
