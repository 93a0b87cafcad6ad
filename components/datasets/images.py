"""One image: decoding, conversion to RGB, resizing. The same pixels in training and in serving.

Pillow decodes JPEG with the exact DCT, as `tf.io.decode_jpeg(dct_method="INTEGER_ACCURATE")` does, and its bilinear
filter widens with the scale when it shrinks, as `tf.image.resize(antialias=True)` does; the two agree within one level.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from components.datasets.packed import Pixels

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm"})
PIXEL_LIMIT = 100_000_000
"""An image with more pixels is refused before it is decoded: a small file can unpack to fill the memory."""


class UnreadableImageError(Exception):
    """An image that cannot be used; the message says why, without the path."""


def to_rgb(image: Image.Image) -> tuple[Image.Image, str]:
    """Return the image as 8-bit RGB, and what it was converted from ('' where it already was RGB).

    Transparent pixels become white, the ground of Fruits-360. Of 16 bits the upper eight are kept, as decoders that
    deliver eight bits do.
    """
    mode = image.mode
    if mode == "RGB" and "transparency" not in image.info:
        return image, ""
    if mode in ("I;16", "I;16L", "I;16B", "I;16N", "I"):
        values = np.asarray(image)
        return Image.fromarray((values.clip(0, 65535) >> 8).astype(np.uint8)).convert("RGB"), "16-bit"
    if mode == "F":
        raise UnreadableImageError("floating-point pixels have no defined range")
    if mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        layered = image.convert("RGBA")
        ground = Image.new("RGBA", layered.size, "white")
        ground.alpha_composite(layered)
        return ground.convert("RGB"), "alpha"
    names = {"L": "grayscale", "1": "grayscale", "P": "palette", "CMYK": "CMYK"}
    return image.convert("RGB"), names.get(mode, mode)


def resize(image: Image.Image, size: int) -> Image.Image:
    """Return an RGB image of size × size pixels: bilinear when enlarging, antialiased when shrinking.

    The proportions are not kept, as `tf.image.resize` does not keep them.
    """
    return image if image.size == (size, size) else image.resize((size, size), Image.Resampling.BILINEAR)


def decode(source: Path | bytes, size: int) -> tuple[Pixels, str]:
    """Read one image file and return its pixels (uint8, size × size × 3) and what it was converted from.

    Raises UnreadableImageError for what is no image, is cut short, or is too large.
    """
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS) as image:
            width, height = image.size
            if width * height > PIXEL_LIMIT:
                raise UnreadableImageError(f"{width}×{height} pixels, more than {PIXEL_LIMIT // 1_000_000} million")
            image.load()
            rgb, converted = to_rgb(image)
            return np.asarray(resize(rgb, size)), converted
    except UnreadableImageError:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableImageError("not an image, or of a kind that is not read") from error
    except Exception as error:  # decoders raise nearly anything on damaged input
        raise UnreadableImageError(f"damaged: {error}") from error
