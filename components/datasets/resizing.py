"""Brings images to the size of a data set.

The bilinear filter widens with the scale when it shrinks an image, as `tf.image.resize(antialias=True)` does, and works
in whole numbers, so that it gives the same pixels on every processor; it agrees with that and with Pillow within one
level.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from cykooz_resizer import FilterType, ImageData, PixelType, ResizeAlg, ResizeOptions, Resizer

if TYPE_CHECKING:  # it brings along pydantic, for which a process that only decodes would wait
    from headstart.components.datasets.packed import Pixels
    from headstart.components.datasets.reading import Fit

WHITE = 255
"""What an image is padded with, and what transparent pixels become."""
_BILINEAR = ResizeOptions(ResizeAlg.convolution(FilterType.bilinear), use_alpha=False)


_LARGE, _STRIP = 4 << 20, 768 << 10
"""Bytes of images that go through the resizer in strips, and of a strip: copying a whole photograph takes several times
as long as resizing it, because the system hands out so much memory page by page."""


class _Resizers(threading.local):
    """A resizer a thread."""

    def __init__(self) -> None:
        self.resizer = Resizer()


_resizers = _Resizers()


def resize(pixels: Pixels, height: int, width: int) -> Pixels:
    """Resize uint8 H × W × 3 to height × width × 3: bilinear when enlarging, antialiased when shrinking.

    The resizer goes along the height first, in which columns do not know of each other: a large image goes through it
    in strips, with the same bits.
    """
    old_height, old_width, _ = pixels.shape
    if (old_height, old_width) == (height, width):
        return pixels
    if pixels.nbytes > _LARGE and old_height > height:
        columns = max(1, _STRIP // (3 * old_height))
        strips = [pixels[:, start : start + columns] for start in range(0, old_width, columns)]
        pixels = np.concatenate([_pass(strip, height, strip.shape[1]) for strip in strips], axis=1)
    return _pass(pixels, height, width)


def resize_alike(images: Sequence[Pixels], height: int, width: int) -> Pixels:
    """Resize N ≥ 1 images of one shape, uint8 H × W × 3, to N × height × width × 3: the same bits as `resize` gives.

    Side by side they are one wide image to the pass along the height, on top of each other one tall image to the pass
    along the width: two calls in place of N, most of whose time goes into being called where images are small.
    """
    count, (old_height, old_width, _) = len(images), images[0].shape
    if count == 1 or (old_height, old_width) == (height, width):
        return np.stack([resize(image, height, width) for image in images])
    beside = np.concatenate(images, axis=1)
    if old_height != height:
        beside = _pass(beside, height, count * old_width)
    above = np.ascontiguousarray(beside.reshape(height, count, old_width * 3).transpose(1, 0, 2))
    if old_width != width:
        above = _pass(above.reshape(count * height, old_width, 3), count * height, width)
    return above.reshape(count, height, width, 3)


def _pass(pixels: Pixels, height: int, width: int) -> Pixels:
    source = ImageData(pixels.shape[1], pixels.shape[0], PixelType.U8x3, pixels.tobytes())
    target = ImageData(width, height, PixelType.U8x3)
    _resizers.resizer.resize(source, target, _BILINEAR)
    return np.frombuffer(target.get_buffer(), np.uint8).reshape(height, width, 3)


def cropped_sides(height: int, width: int) -> tuple[int, int]:
    """Return the sides of the middle square of an image; the longer one is a pixel longer where that centres it."""
    short = min(height, width)
    return short + (height - short) % 2, short + (width - short) % 2


def padded_sides(height: int, width: int, size: int) -> tuple[int, int]:
    """Return the sides of an image whose longer one becomes `size`, so that what is padded is alike on both sides."""
    long, least = max(height, width), 2 - size % 2

    def side(own: int) -> int:
        beside = (size * (long - own) + long) // (2 * long)  # half of what is padded, rounded
        return max(least, size - 2 * beside)

    return side(height), side(width)


def fit_alike(images: Sequence[Pixels], size: int, fit: Fit) -> Pixels:
    """Bring N ≥ 1 images of one shape, uint8 H × W × 3, to N × size × size × 3, stretched, cropped or padded.

    Turning or mirroring an image before or after gives the same, within what the filter rounds.
    """
    height, width, _ = images[0].shape
    if fit == "stretch" or height == width:
        return resize_alike(images, size, size)
    if fit == "crop":
        rows, columns = cropped_sides(height, width)
        top, left = (height - rows) // 2, (width - columns) // 2
        return resize_alike([each[top : top + rows, left : left + columns] for each in images], size, size)
    rows, columns = padded_sides(height, width, size)
    top, left = (size - rows) // 2, (size - columns) // 2
    padded = np.full((len(images), size, size, 3), WHITE, np.uint8)
    padded[:, top : top + rows, left : left + columns] = resize_alike(images, rows, columns)
    return padded


def turned(square: Pixels, mark: int) -> Pixels:
    """Return uint8 size × size × 3 as EXIF's orientation mark says (1 to 8; 1 is as it is)."""
    if mark >= 5:  # rows and columns change places
        square = square.transpose(1, 0, 2)
    if mark in (2, 3, 6, 7):
        square = square[:, ::-1]
    if mark in (3, 4, 7, 8):
        square = square[::-1]
    return square
