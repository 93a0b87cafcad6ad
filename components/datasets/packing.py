"""Decodes, resizes and writes a collection as a packed data set, on all cores, in bounded memory."""

from __future__ import annotations

import io
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from headstart.components.datasets.collection import Collection
from headstart.components.datasets.decoding import Decoders, Outcome, write_at
from headstart.components.datasets.packed import SPLITS, Groups, Labels, Pixels
from headstart.components.datasets.reading import Reading
from headstart.components.datasets.resizing import fit_alike
from headstart.components.machine import thread_count, usable_cores
from headstart.components.progress import emit

_BLOCK = 256
"""Images a worker decodes at a time, at most; what is in memory is one such block a worker."""
_WORTH_PROCESSES, _WORTH_BYTES = 2000, 32 << 20
"""Files, or bytes of them, from which on processes of their own decode them: starting one takes a tenth of a second."""


@dataclass
class Packing:
    """What came of it: labels and groups per split, what was skipped and what was converted."""

    labels: dict[str, Labels] = field(default_factory=dict)
    groups: dict[str, Groups] | None = None
    """Where images are known to belong together."""
    failures: list[tuple[str, str]] = field(default_factory=list)
    converted: Counter[str] = field(default_factory=Counter)


class ImageFile:
    """images.npy, written block by block at the places of its rows; gaps that failures leave are closed at the end."""

    _HEADER = 128

    def __init__(self, path: Path, size: int) -> None:
        self.path, self._size, self._image = path, size, size * size * 3
        self._file: BinaryIO = path.open("w+b", buffering=0)
        self._blocks: list[tuple[int, int]] = []
        self._file.write(self._header(0))

    def _header(self, count: int) -> bytes:
        buffer = io.BytesIO()
        shape = (count, self._size, self._size, 3)
        np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": shape})
        header = buffer.getvalue()
        if len(header) != self._HEADER:
            raise AssertionError(f"an npy header of {len(header)} bytes")
        return header

    def offset(self, row: int) -> int:
        """Byte at which the image of a row begins."""
        return self._HEADER + row * self._image

    def write(self, row: int, pixels: Pixels) -> None:
        """Write uint8 N × size × size × 3 from `row` on."""
        write_at(self._file, self.offset(row), pixels)

    def written(self, row: int, count: int) -> None:
        """Note that `count` images begin at `row`; called in the order of the rows."""
        self._blocks.append((row, count))

    def close(self) -> None:
        """Close the gaps, write how many images there are into the header, and close the file."""
        total = 0
        for row, count in self._blocks:
            if row != total and count:
                self._file.seek(self.offset(row))
                moved = np.frombuffer(self._file.read(count * self._image), np.uint8)
                write_at(self._file, self.offset(total), moved)
            total += count
        self._file.truncate(self.offset(total))
        self._file.seek(0)
        self._file.write(self._header(total))
        self._file.close()


Decode = Callable[[ImageFile, int, list[int]], Outcome]
"""Decodes rows of the collection into a file from a row of it on."""


def _bytes(collection: Collection) -> int:
    assert collection.root is not None
    total = 0
    for path in collection.paths:
        with suppress(OSError):  # what cannot be read is said when it is decoded
            total += (collection.root / path).stat().st_size
    return total


@contextmanager
def _decoding(collection: Collection, size: int, reading: Reading, workers: int) -> Iterator[Decode]:
    """Yield what decodes some rows: processes where there are many files, else this process."""

    def resized(target: ImageFile, start: int, rows: list[int]) -> Outcome:
        assert collection.pixels is not None
        target.write(start, fit_alike(list(collection.pixels[rows]), size, reading.fit))
        return Outcome(list(range(len(rows))))

    if collection.pixels is not None:
        yield resized
        return
    assert collection.root is not None
    count = workers if len(collection) >= _WORTH_PROCESSES or _bytes(collection) >= _WORTH_BYTES else 1
    with Decoders(count, collection.root, size, reading) as decoders:
        yield lambda target, start, rows: decoders.decode(
            target.path, target.offset(start), [collection.paths[row] for row in rows]
        )


def _blocks(
    pool: ThreadPoolExecutor, decode: Decode, target: ImageFile, rows: list[int], workers: int
) -> Iterator[tuple[int, list[int], Outcome]]:
    """Yield first row, rows and outcome in order, with few blocks decoded before their turn."""
    waiting: deque[tuple[int, list[int], Future[Outcome]]] = deque()
    # Of few, perhaps large, images each worker gets several blocks too.
    size, ahead = max(1, min(_BLOCK, len(rows) // (4 * workers))), 3 * workers
    for start in range(0, len(rows), size):
        block = rows[start : start + size]
        waiting.append((start, block, pool.submit(decode, target, start, block)))
        if len(waiting) >= ahead:
            first, block, future = waiting.popleft()
            yield first, block, future.result()
    for first, block, future in waiting:
        yield first, block, future.result()


def pack(collection: Collection, folder: Path, size: int, reading: Reading, workers: int = 0) -> Packing:
    """Write `<split>/images.npy` and `<split>/labels.npy` into `folder` and say what came of it."""
    packing = Packing()
    groups = collection.numbered_groups()
    if groups is not None:
        packing.groups = {}
    done = 0
    total = len(collection)
    workers = workers or thread_count(usable_cores())
    with (
        _decoding(collection, size, reading, workers) as decode,
        ThreadPoolExecutor(workers, thread_name_prefix="decoder") as pool,
    ):
        for index, split in enumerate(SPLITS):
            (folder / split).mkdir()
            rows = np.flatnonzero(collection.splits == index).tolist()
            kept: list[int] = []
            target = ImageFile(folder / split / "images.npy", size)
            try:
                for start, block, outcome in _blocks(pool, decode, target, rows, workers):
                    target.written(start, len(outcome.kept))
                    kept += [block[number] for number in outcome.kept]
                    packing.failures += [(collection.title(block[number]), why) for number, why in outcome.failures]
                    packing.converted += outcome.converted
                    before, done = done, done + len(block)
                    if done == total or done // 5000 > before // 5000:
                        emit("import", done=done, total=total, what=collection.name)
            finally:
                target.close()
            packing.labels[split] = collection.labels[kept].astype(np.int32)
            np.save(folder / split / "labels.npy", packing.labels[split], allow_pickle=False)
            if packing.groups is not None and groups is not None:
                packing.groups[split] = groups[kept]
    return packing
