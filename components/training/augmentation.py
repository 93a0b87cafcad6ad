"""Augmentation: crops, shifts and mirrored images as one gather from the images that are resident."""

from __future__ import annotations

from typing import Any

import tensorflow as tf


def augmented(images: Any, batch: Any, key: Any, *, size: int, shift: int, flip: bool) -> Any:
    """Return uint8 `batch` × size × size × 3: each image of `batch` (indices) cut from `images` at a random place.

    `images` is uint8 N × H × W × 3. Places reach `shift` pixels over the edge, where the image is reflected; half of
    the images are mirrored with `flip`. Everything is drawn from `key` (int32, two numbers).
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
