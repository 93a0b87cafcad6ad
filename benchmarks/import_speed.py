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
from collections.abc import Callable
from pathlib import Path


def _processor_seconds() -> float:
    """Of this process and of those that it started and that have ended."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(used.ru_utime + used.ru_stime for used in both)


def keras_side(given: argparse.Namespace, _: Path) -> Callable[[], int]:
    """Go through the folder once as the Keras documentation does."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras

    read, size = keras.utils.image_dataset_from_directory, (given.size, given.size)
    return lambda: sum(len(batch) for batch, _ in read(given.folder, image_size=size, verbose=False))


def our_side(given: argparse.Namespace, out: Path) -> Callable[[], int]:
    """List, decode, turn, resize and pack the same folder."""
    from headstart.components.datasets.packing import pack
    from headstart.components.datasets.reading import Reading
    from headstart.components.datasets.settings import ImportSettings
    from headstart.components.datasets.trees import read_class_tree

    def run() -> int:
        collection = read_class_tree(Path(given.folder), "benchmark", ImportSettings())
        collection.splits[:] = 0
        return len(pack(collection, out, given.size, Reading("apply", decoding=given.side)).labels["train"])

    return run


def whole_import(given: argparse.Namespace, out: Path) -> Callable[[], int]:
    """Import a tree of splits as `headstart data` does, with every check."""
    from headstart.components.datasets.importing import import_dataset

    return lambda: sum(import_dataset(given.folder, out / "packed").counts.values())


SIDES = {"keras": keras_side, "exact": our_side, "scaled": our_side, "import": whole_import}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("side", choices=SIDES, help="scaled and exact: our decoding")
    parser.add_argument("folder", help="a folder with one folder per class; import: one of splits")
    parser.add_argument("--size", type=int, default=52, help="pixels that images are resized to")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as out:
        launched = time.perf_counter()
        run = SIDES[given.side](given, Path(out))
        start, processor = time.perf_counter(), _processor_seconds()
        images = run()
        ended, used = time.perf_counter(), _processor_seconds()
    # Imported here, since what it brings along belongs to no side's start.
    from headstart.components.machine import peak_memory_bytes

    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    found = {
        "images": images,
        "seconds": ended - start,
        "processor": used - processor,
        "startup": start - launched,
        "peak_mib": max(peak_memory_bytes(), largest) / 2**20,
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
