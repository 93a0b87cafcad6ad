"""One image: decoding, conversion to RGB, resizing. The same pixels in training and in serving.

JPEG is decoded by libjpeg-turbo with the exact DCT, as Pillow and `tf.io.decode_jpeg(dct_method="INTEGER_ACCURATE")`
do. The bilinear filter widens with the scale when it shrinks an image, as `tf.image.resize(antialias=True)` does, and
works in whole numbers, so that it gives the same pixels on every processor; it agrees with both within one level.
"""

from __future__ import annotations

import io
import threading
from pathlib import Path

import numpy as np
import simplejpeg
from cykooz_resizer import FilterType, ImageData, PixelType, ResizeAlg, ResizeOptions, Resizer
from PIL import Image, UnidentifiedImageError

from components.datasets.packed import Pixels

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm"})
PIXEL_LIMIT = 100_000_000
"""An image with more pixels is refused before it is decoded: a small file can unpack to fill the memory."""

_BILINEAR = ResizeOptions(ResizeAlg.convolution(FilterType.bilinear), use_alpha=False)
_DEEP_GRAY = frozenset({"I;16", "I;16L", "I;16B", "I;16N", "I"})
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
    if not content:
        raise UnreadableImageError("the file is empty")
    decoded = _decode_jpeg(content) if content[:2] == b"\xff\xd8" else None
    pixels, converted = decoded or _decode_any(content)
    return resize(pixels, size), converted


def read_image(path: str | Path, size: int) -> tuple[Pixels, str]:
    """Read one image file as `decode` does."""
    try:
        # Unbuffered and without a Path: this is called for every image, and they would cost as much as reading it.
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123
            content = file.read()
        return decode(content, size)
    except OSError as error:
        raise UnreadableImageError(f"cannot be read: {error.strerror}") from error
