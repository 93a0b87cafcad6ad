"""Where training images are, resident on the device or streamed in the same order, and how a step augments them."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from headstart.components.datasets.packed import blocks

Array = npt.NDArray[Any]
CHUNK_BYTES = 64 << 20
ALIGNMENT = 64  # bytes: memory that begins elsewhere TensorFlow would copy


class Chunk(NamedTuple):
    """Images and labels of some steps, on the device; `order` (int32, ≥ steps × batch) holds places in them."""

    first_step: int
    order: Any
    steps: int
    inputs: Any
    labels: Any


def _tensor(inputs: Array) -> Any:
    """Return `inputs` as a tensor; of a memory-mapped array one copy is made, where `tf.constant` makes two."""
    if not isinstance(inputs, np.memmap) or not inputs.size:
        return tf.constant(np.asarray(inputs))
    buffer = np.empty(inputs.nbytes + ALIGNMENT, np.uint8)
    start = -buffer.ctypes.data % ALIGNMENT
    copied = buffer[start : start + inputs.nbytes].view(inputs.dtype).reshape(inputs.shape)
    done = 0
    for block in blocks(inputs):
        copied[done : done + len(block)] = block
        done += len(block)
    # On a GPU, identity takes it there.
    return tf.identity(tf.experimental.dlpack.from_dlpack(copied.__dlpack__()))


class Resident:
    """All inputs lie on the device as they come; an epoch is one chunk."""

    def __init__(self, inputs: Array, labels: Array) -> None:
        """`inputs`: N × …, `labels`: int32 N."""
        self._inputs, self._labels = _tensor(inputs), tf.constant(np.asarray(labels))
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


def augmented(images: Any, batch: Any, key: Any, *, size: int, shift: int, flip: bool) -> Any:
    """Return uint8 `batch` × size × size × 3: each image of `batch` (indices) cut from `images` at a random place.

    `images` is uint8 N × H × W × 3, and the result is one gather from it. Places reach `shift` pixels over the edge,
    where the image is reflected; half of the images are mirrored with `flip`. Everything is drawn from `key` (int32,
    two numbers).
    """
    count, height, width = batch.shape[0], images.shape[1], images.shape[2]
    reach = tf.constant([[height - size + 2 * shift + 1, width - size + 2 * shift + 1]])
    corner = tf.random.stateless_uniform([count, 2], key, maxval=1.0) * tf.cast(reach, tf.float32)
    corner = tf.minimum(tf.cast(corner, tf.int32), reach - 1) - shift
    rows, columns = corner[:, :1] + tf.range(size), corner[:, 1:] + tf.range(size)
    if flip:
        mirrored = tf.random.stateless_uniform([count, 1], key + tf.constant([0, 1])) < 0.5
        columns = tf.where(mirrored, columns[:, ::-1], columns)
    rows, columns = _reflected(rows, height), _reflected(columns, width)
    kind = tf.int64 if images.shape[0] * height * width > tf.int32.max else tf.int32
    pixel = tf.cast(rows, kind)[:, :, None] * width + tf.cast(columns, kind)[:, None, :]
    pixel += tf.cast(batch, kind)[:, None, None] * (height * width)
    return tf.gather(tf.reshape(images, [-1, 3]), pixel)


def _reflected(position: Any, length: int) -> Any:
    return (length - 1) - tf.abs((length - 1) - tf.abs(position))
