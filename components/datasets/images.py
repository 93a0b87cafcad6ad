"""One image: decoding, conversion to RGB, resizing. The same pixels in training and in serving.

JPEG is decoded by libjpeg-turbo with the exact DCT, as Pillow and `tf.io.decode_jpeg(dct_method="INTEGER_ACCURATE")`
do, plain PNG by libspng in under half of Pillow's time; whatever is less common is Pillow's. The bilinear filter widens
with the scale when it shrinks an image, as `tf.image.resize(antialias=True)` does, and works in whole numbers, so that
it gives the same pixels on every processor; it agrees with both within one level.
"""

from __future__ import annotations

import io
import os
import threading
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyspng
import simplejpeg
from cykooz_resizer import FilterType, ImageData, PixelType, ResizeAlg, ResizeOptions, Resizer
from PIL import Image, UnidentifiedImageError

if TYPE_CHECKING:  # it brings along pydantic, for which a process that only decodes would wait
    from headstart.components.datasets.packed import Pixels

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm"})
PIXEL_LIMIT = 100_000_000
"""An image with more pixels is refused before it is decoded: a small file can unpack to fill the memory."""

_BILINEAR = ResizeOptions(ResizeAlg.convolution(FilterType.bilinear), use_alpha=False)
_DEEP_GRAY = frozenset({"I;16", "I;16L", "I;16B", "I;16N", "I"})
_PNG, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
_READ_AT_ONCE = 32 * 1024
_CONVERTED = {"L": "grayscale", "1": "grayscale", "P": "palette", "CMYK": "CMYK"}


class UnreadableImageError(Exception):
    """An image that cannot be used; the message says why, without the path."""


class _Resizers(threading.local):
    """A resizer and the images it fills, one of each a thread, since they are used again and again."""

    def __init__(self) -> None:
        self.resizer = Resizer()
        self.targets: dict[int, ImageData] = {}

    def target(self, size: int) -> ImageData:
        if size not in self.targets:
            self.targets[size] = ImageData(size, size, PixelType.U8x3)
        return self.targets[size]


_resizers = _Resizers()


def resize(pixels: Pixels, size: int) -> Pixels:
    """Resize uint8 H × W × 3 to size × size × 3: bilinear when enlarging, antialiased when shrinking.

    The proportions are not kept, as `tf.image.resize` does not keep them.
    """
    height, width, _ = pixels.shape
    if height == width == size:
        return pixels
    target = _resizers.target(size)
    _resizers.resizer.resize(ImageData(width, height, PixelType.U8x3, pixels.tobytes()), target, _BILINEAR)
    return np.frombuffer(target.get_buffer(), np.uint8).reshape(size, size, 3)


def resize_alike(images: Sequence[Pixels], size: int) -> Pixels:
    """Resize N ≥ 1 images of one shape, uint8 H × W × 3, to N × size × size × 3: the same bits as `resize` gives.

    Side by side they are one wide image to the pass along the height, on top of each other one tall image to the pass
    along the width: two calls in place of N, most of whose time goes into being called where images are small.
    """
    count, (height, width, _) = len(images), images[0].shape
    beside = np.concatenate(images, axis=1)
    if height != size:
        beside = _pass(beside, size, count * width)
    above = np.ascontiguousarray(beside.reshape(size, count, width * 3).transpose(1, 0, 2))
    if width != size:
        above = _pass(above.reshape(count * size, width, 3), count * size, size)
    return above.reshape(count, size, size, 3)


def _pass(pixels: Pixels, height: int, width: int) -> Pixels:
    target = ImageData(width, height, PixelType.U8x3)
    source = ImageData(pixels.shape[1], pixels.shape[0], PixelType.U8x3, pixels.tobytes())
    _resizers.resizer.resize(source, target, _BILINEAR)
    return np.frombuffer(target.get_buffer(), np.uint8).reshape(height, width, 3)


def to_rgb(image: Image.Image) -> tuple[Image.Image, str]:
    """Return the image as 8-bit RGB, and what it was converted from ('' where it already was RGB).

    Transparent pixels become white, the ground of Fruits-360. Of 16 bits the upper eight are kept, as decoders that
    deliver eight bits do.
    """
    mode = image.mode
    if mode == "RGB" and "transparency" not in image.info:
        return image, ""
    if mode in _DEEP_GRAY:
        values = np.asarray(image).clip(0, 65535).astype(np.uint16)
        return Image.fromarray((values >> 8).astype(np.uint8)).convert("RGB"), "16-bit"
    if mode == "F":
        raise UnreadableImageError("its pixels are floating-point numbers, which have no defined range")
    if mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layered = image.convert("RGBA")
        ground = Image.new("RGBA", layered.size, "white")
        ground.alpha_composite(layered)
        return ground.convert("RGB"), "alpha"
    return image.convert("RGB"), _CONVERTED.get(mode, mode)


def _check_area(width: int, height: int) -> None:
    if width * height > PIXEL_LIMIT:
        raise UnreadableImageError(f"it has more than {PIXEL_LIMIT // 1_000_000} million pixels")


def _decode_jpeg(content: bytes) -> tuple[Pixels, str] | None:
    """Decode the common kinds of JPEG; None for what Pillow should judge, damaged ones among them."""
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(content)
        if space not in ("YCbCr", "RGB", "Gray"):
            return None
        _check_area(width, height)
        return simplejpeg.decode_jpeg(content, "RGB"), "grayscale" if space == "Gray" else ""
    except ValueError:
        return None


def _decode_png(content: bytes) -> Pixels | None:
    """Decode 8-bit RGB without transparency and interlacing; None for what Pillow should judge, as with JPEG."""
    header, depth_and_colour, interlaced = content[8:16], content[24:26], content[28:29]
    if (header, depth_and_colour, interlaced) != (b"\x00\x00\x00\rIHDR", b"\x08\x02", b"\x00"):
        return None
    # The checksum that libspng leaves unread.
    if zlib.crc32(content[12:29]) != int.from_bytes(content[29:33], "big"):
        return None
    if not content.endswith(_PNG_END) or content.find(b"tRNS", 33, content.find(b"IDAT", 33)) >= 0:
        return None
    _check_area(int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big"))
    try:
        pixels: Pixels = pyspng.load(content)
    except (RuntimeError, ValueError, MemoryError):
        return None
    return pixels


def _decode_any(content: bytes) -> tuple[Pixels, str]:
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check_area(*image.size)
            image.load()
            rgb, converted = to_rgb(image)
            return np.asarray(rgb), converted
    except UnidentifiedImageError as error:
        raise UnreadableImageError("not an image, or of a kind that is not read") from error
    except Image.DecompressionBombError as error:
        raise UnreadableImageError(f"it has more than {PIXEL_LIMIT // 1_000_000} million pixels") from error
    except (UnreadableImageError, MemoryError):
        raise
    except Exception as error:  # decoders raise nearly anything on damaged input
        raise UnreadableImageError(f"damaged: {error}") from error


def decode(content: bytes, size: int) -> tuple[Pixels, str]:
    """Decode one image file's content; return its pixels, uint8 size × size × 3, and what it was converted from.

    Raises UnreadableImageError for what is no image, is cut short, or is too large.
    """
    pixels, converted = decode_whole(content)
    return resize(pixels, size), converted


def decode_whole(content: bytes) -> tuple[Pixels, str]:
    """Decode one image file's content as `decode` does, in its own size: uint8 H × W × 3.

    Raises UnreadableImageError for what is no image, is cut short, or is too large.
    """
    if not content:
        raise UnreadableImageError("the file is empty")
    decoded: tuple[Pixels, str] | None = None
    if content.startswith(b"\xff\xd8"):
        decoded = _decode_jpeg(content)
    elif content.startswith(_PNG) and (plain := _decode_png(content)) is not None:
        decoded = plain, ""
    return decoded or _decode_any(content)


def _content(path: str) -> bytes:
    # The system calls themselves: this is done for every image, and a file object costs as much as reading does.
    file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        content = os.read(file, _READ_AT_ONCE)
        if len(content) < _READ_AT_ONCE:
            return content
        parts = [content]
        while parts[-1]:
            parts.append(os.read(file, os.fstat(file).st_size or _READ_AT_ONCE))
        return b"".join(parts)
    finally:
        os.close(file)


def read_image(path: str) -> tuple[Pixels, str]:
    """Read one image file as `decode_whole` does."""
    try:
        return decode_whole(_content(path))
    except OSError as error:
        raise UnreadableImageError(f"cannot be read: {error.strerror}") from error
