"""Where training images are: resident on the device, or streamed from the memory-mapped set, in the same order."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from headstart.components.datasets.packed import release

Array = npt.NDArray[Any]
CHUNK_BYTES = 64 << 20


class Chunk(NamedTuple):
    """Images and labels of some steps, on the device; `order` (int32, ≥ steps × batch) holds places in them."""

    first_step: int
    order: Any
    steps: int
    inputs: Any
    labels: Any


class Resident:
    """All inputs lie on the device as they come; an epoch is one chunk."""

    def __init__(self, inputs: Array, labels: Array) -> None:
        """`inputs`: N × …, `labels`: int32 N."""
        self._inputs, self._labels = tf.constant(np.asarray(inputs)), tf.constant(np.asarray(labels))
        release(inputs)
        self.shape = tuple(inputs.shape)

    def chunks(self, order: Array, steps: int) -> Iterator[Chunk]:
        """Give the chunks of the first `steps` of an epoch with this order (int32, all its steps × batch)."""
        yield Chunk(0, tf.constant(order), steps, self._inputs, self._labels)


class Streamed:
    """Inputs stay where they are (memory-mapped); the images of some steps at a time go to the device.

    While the device computes with one chunk, a thread reads the next one.
    """

    def __init__(self, inputs: Array, labels: Array, batch_size: int) -> None:
        """As Resident; chunks are about 64 MiB and at least one batch."""
        self._inputs, self._labels = inputs, labels
        per_batch = batch_size * int(np.prod(inputs.shape[1:])) * inputs.dtype.itemsize
        self._steps = min(max(1, CHUNK_BYTES // max(per_batch, 1)), max(1, len(labels) // batch_size))
        self.shape = (self._steps * batch_size, *inputs.shape[1:])

    def chunks(self, order: Array, steps: int) -> Iterator[Chunk]:
        """Give the chunks of the first `steps` of an epoch with this order (int32, all its steps × batch)."""
        order = order[:steps]
        with ThreadPoolExecutor(1) as reader:
            coming = reader.submit(self._read, order, 0)
            for start in range(0, len(order), self._steps):
                chunk = coming.result()
                if start + self._steps < len(order):
                    coming = reader.submit(self._read, order, start + self._steps)
                yield chunk

    def _read(self, order: Array, start: int) -> Chunk:
        rows = order[start : start + self._steps]
        # All chunks have one shape, so that nothing is traced or compiled again: the last is filled up.
        chosen = np.resize(rows.ravel(), self.shape[0])
        places = np.arange(self.shape[0], dtype=np.int32).reshape(-1, order.shape[1])
        given = [tf.constant(value) for value in (places, self._inputs[chosen], self._labels[chosen])]
        return Chunk(start, given[0], len(rows), given[1], given[2])
