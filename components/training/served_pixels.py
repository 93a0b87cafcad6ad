"""The graph that turns image files into pixels inside a SavedModel: what `components.datasets.images` does, within a
level of 255.

TensorFlow decodes JPEG, PNG, GIF and BMP. The orientation mark is that of a JPEG's EXIF; in PNG it is not looked for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import tensorflow as tf

from headstart.components.datasets.reading import Reading
from headstart.components.datasets.resizing import WHITE

_ORIENTATION, _SHORT, _ENTRIES = 0x0112, 3, 512
"""EXIF's tag, the type of its value, and how many entries of a directory are looked at."""


def decoder(size: int, reading: Reading) -> Callable[[Any], Any]:
    """Return a function from one file's content (a string) to its pixels, float32 size × size × 3, 0 to 255."""

    def decode(content: Any) -> Any:
        is_jpeg = tf.strings.substr(content, 0, 2) == b"\xff\xd8"
        pixels = tf.case(
            [
                (is_jpeg, lambda: _jpeg(content, size, reading)),
                (tf.strings.substr(content, 0, 4) == b"\x89PNG", lambda: _opaque(content)),
            ],
            default=lambda: tf.io.decode_image(content, channels=3, expand_animations=False),
        )
        square = _fit(pixels, size, reading.fit)
        if reading.orientation == "apply":
            square = _turned(square, tf.cond(is_jpeg, lambda: _mark(content), lambda: tf.constant(1, tf.int64)))
        return tf.ensure_shape(square, [size, size, 3])

    return decode


def _jpeg(content: Any, size: int, reading: Reading) -> Any:
    def at(ratio: int) -> Callable[[], Any]:
        # The exact inverse DCT is what other decoders use.
        return lambda: tf.io.decode_jpeg(content, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE")

    if reading.decoding == "exact":
        return at(1)()
    short = tf.reduce_min(tf.io.extract_jpeg_shape(content)[:2])
    return tf.case([(short >= ratio * size, at(ratio)) for ratio in (8, 4, 2)], default=at(1))


def _opaque(content: Any) -> Any:
    """Transparent pixels become white and gray becomes colour, as when training images are imported.

    Asked for four channels, TensorFlow would give those of palettes and single bits nearly transparent ones.
    """
    raw = tf.io.decode_png(content)
    channels = tf.shape(raw)[2]
    colour = tf.cast(tf.gather(raw, tf.where(channels >= 3, [0, 1, 2], [0, 0, 0]), axis=2), tf.float32)
    share = tf.where(channels % 2 == 0, tf.cast(raw[..., channels - 1 :], tf.float32) / 255.0, 1.0)
    return tf.cast(tf.round(colour * share + 255.0 * (1.0 - share)), tf.uint8)


def _fit(pixels: Any, size: int, fit: str) -> Any:
    """See `components.datasets.resizing`, whose whole numbers these are."""
    shape = tf.shape(pixels)
    height, width = shape[0], shape[1]
    rows, columns = size, size
    if fit == "crop":
        short = tf.minimum(height, width)
        kept_rows, kept_columns = short + (height - short) % 2, short + (width - short) % 2
        top, left = (height - kept_rows) // 2, (width - kept_columns) // 2
        pixels = pixels[top : top + kept_rows, left : left + kept_columns]
    elif fit == "pad":
        long = tf.maximum(height, width)

        def side(own: Any) -> Any:
            return tf.maximum(2 - size % 2, size - 2 * ((size * (long - own) + long) // (2 * long)))

        rows, columns = side(height), side(width)
    resized = tf.clip_by_value(tf.round(tf.image.resize(pixels, [rows, columns], antialias=True)), 0.0, 255.0)
    if fit == "pad":
        top, left = (size - rows) // 2, (size - columns) // 2
        beside = [[top, size - rows - top], [left, size - columns - left], [0, 0]]
        resized = tf.pad(resized, beside, constant_values=float(WHITE))
    return resized


def _turned(square: Any, mark: Any) -> Any:
    square = tf.where(mark >= 5, tf.transpose(square, [1, 0, 2]), square)
    square = tf.where((mark == 2) | (mark == 3) | (mark == 6) | (mark == 7), tf.reverse(square, [1]), square)
    return tf.where((mark == 3) | (mark == 4) | (mark >= 7), tf.reverse(square, [0]), square)


def _mark(content: Any) -> Any:
    """Return the orientation that a JPEG's EXIF gives, 1 to 8; 1 where there is none. Any bytes are taken."""
    data = tf.io.decode_raw(content, tf.uint8)
    end = tf.size(data, tf.int64)

    def byte(place: Any) -> Any:
        inside = (place >= 0) & (place < end)
        found = tf.gather(data, tf.clip_by_value(place, 0, tf.maximum(end - 1, 0)))
        return tf.where(inside, tf.cast(found, tf.int64), tf.zeros_like(place))

    def number(place: Any, size: int, little: Any) -> Any:
        digits = [byte(place + index) for index in range(size)]
        first = sum(digit * 256**index for index, digit in enumerate(digits))
        return tf.where(little, first, sum(digit * 256**index for index, digit in enumerate(reversed(digits))))

    def is_exif(at: Any) -> Any:
        same = [byte(at + 4 + index) == letter for index, letter in enumerate(b"Exif\0\0")]
        return (byte(at + 1) == 0xE1) & tf.reduce_all(tf.stack(same))

    def goes_on(at: Any) -> Any:
        kind = byte(at + 1)
        return (byte(at) == 0xFF) & (kind >= 0xC0) & (kind != 0xDA) & ~is_exif(at)

    def following(at: Any) -> tuple[Any]:
        return (at + 2 + number(at + 2, 2, tf.constant(False)),)

    (at,) = tf.while_loop(goes_on, following, (tf.constant(2, tf.int64),))
    start = at + 10
    little = byte(start) == ord("I")
    directory = start + number(start + 4, 4, little)
    count = tf.minimum(number(directory, 2, little), _ENTRIES)
    entries = directory + 2 + 12 * tf.range(count)
    wanted = (number(entries, 2, little) == _ORIENTATION) & (number(entries + 2, 2, little) == _SHORT)
    values = tf.boolean_mask(number(entries + 8, 2, little), wanted)
    mark = tf.concat([values, tf.ones([1], tf.int64)], 0)[0]
    return tf.where(is_exif(at) & (mark >= 1) & (mark <= 8), mark, tf.ones_like(mark))
