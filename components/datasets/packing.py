"""Decodes, resizes and writes a collection as a packed data set, on all cores, in bounded memory."""

from __future__ import annotations

import io
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from components.datasets.collection import Collection
from components.datasets.images import UnreadableImageError, read_image, resize
from components.datasets.packed import SPLITS, Labels, Pixels
from components.progress import emit
from components.training.environment import thread_count, usable_cores

_CHUNK = 256
"""Images a worker decodes at a time; what is in memory is a few such chunks a worker."""


@dataclass
class Chunk:
    """What a worker made of some rows: pixels of those that could be read, and what happened to the rest."""

    rows: list[int]
    pixels: Pixels
    failures: list[tuple[int, str]] = field(default_factory=list)
    converted: Counter[str] = field(default_factory=Counter)


@dataclass
class Packing:
    """What came of it: labels per split, what was skipped and what was converted."""

    labels: dict[str, Labels] = field(default_factory=dict)
    failures: list[tuple[str, str]] = field(default_factory=list)
    converted: Counter[str] = field(default_factory=Counter)


class ImageWriter:
    """Writes images.npy image by image; how many there are is written into the header at the end."""

    _HEADER = 128

    def __init__(self, path: Path, size: int) -> None:
        self._file: BinaryIO = path.open("wb")
        self._size = size
        self._count = 0
        self._file.write(self._header(0))

    def _header(self, count: int) -> bytes:
        buffer = io.BytesIO()
        shape = (count, self._size, self._size, 3)
        np.lib.format.write_array_header_1_0(buffer, {"descr": "|u1", "fortran_order": False, "shape": shape})
        header = buffer.getvalue()
        if len(header) != self._HEADER:
            raise AssertionError(f"an npy header of {len(header)} bytes")
        return header

    def append(self, pixels: Pixels) -> None:
        """Append uint8 N × size × size × 3."""
        self._file.write(np.ascontiguousarray(pixels).data)
        self._count += len(pixels)

    def close(self) -> None:
        """Write the header anew and close the file."""
        self._file.seek(0)
        self._file.write(self._header(self._count))
        self._file.close()


def _decode_rows(collection: Collection, rows: list[int], size: int) -> Chunk:
    chunk = Chunk([], np.empty((len(rows), size, size, 3), np.uint8))
    for row in rows:
        try:
            if collection.pixels is not None:
                pixels, converted = resize(collection.pixels[row], size), ""
            else:
                assert collection.root is not None
                pixels, converted = read_image(f"{collection.root}/{collection.paths[row]}", size)
        except UnreadableImageError as error:
            chunk.failures.append((row, str(error)))
            continue
        chunk.pixels[len(chunk.rows)] = pixels
        chunk.rows.append(row)
        if converted:
            chunk.converted[converted] += 1
    chunk.pixels = chunk.pixels[: len(chunk.rows)]
    return chunk


def _chunks(collection: Collection, rows: list[int], size: int, workers: int) -> Iterator[Chunk]:
    """Yield chunks in order, with no more than three a worker decoded ahead of their reader."""
    with ThreadPoolExecutor(workers, thread_name_prefix="decoder") as pool:
        waiting: deque[Future[Chunk]] = deque()
        for start in range(0, len(rows), _CHUNK):
            waiting.append(pool.submit(_decode_rows, collection, rows[start : start + _CHUNK], size))
            if len(waiting) >= 3 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def pack(collection: Collection, folder: Path, size: int, workers: int = 0) -> Packing:
    """Write `<split>/images.npy` and `<split>/labels.npy` into `folder` and say what came of it."""
    packing = Packing()
    done = 0
    total = len(collection)
    for index, split in enumerate(SPLITS):
        (folder / split).mkdir()
        rows = np.flatnonzero(collection.splits == index).tolist()
        kept: list[int] = []
        writer = ImageWriter(folder / split / "images.npy", size)
        try:
            for chunk in _chunks(collection, rows, size, workers or thread_count(usable_cores())):
                writer.append(chunk.pixels)
                kept += chunk.rows
                packing.failures += [(collection.title(row), why) for row, why in chunk.failures]
                packing.converted += chunk.converted
                before, done = done, done + len(chunk.rows) + len(chunk.failures)
                if done == total or done // 5000 > before // 5000:
                    emit("import", done=done, total=total, what=collection.name)
        finally:
            writer.close()
        packing.labels[split] = collection.labels[kept].astype(np.int32)
        np.save(folder / split / "labels.npy", packing.labels[split], allow_pickle=False)
    return packing
