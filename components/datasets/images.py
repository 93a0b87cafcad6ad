"""One image: decoding, conversion to RGB, resizing. The same pixels in training and in serving.

JPEG is decoded by libjpeg-turbo with the exact DCT, as Pillow and `tf.io.decode_jpeg(dct_method="INTEGER_ACCURATE")`
do, plain PNG by libspng in under half of Pillow's time; whatever is less common is Pillow's. The bilinear filter widens
with the scale when it shrinks an image, as `tf.image.resize(antialias=True)` does, and works in whole numbers, so that
it gives the same pixels on every processor; it agrees with both within one level.
"""

from __future__ import annotations

import io
import threading
import zlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pyspng
import simplejpeg
from cykooz_resizer import FilterType, ImageData, PixelType, ResizeAlg, ResizeOptions, Resizer
from PIL import Image, UnidentifiedImageError

from headstart.components.regular_files import read_regular

if TYPE_CHECKING:  # it brings along pydantic, for which a process that only decodes would wait
    from headstart.components.datasets.packed import Pixels

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM")
SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff"),
        *(".ppm", ".pgm", ".pbm", ".pnm"),
    }
)
"""What files of these formats are called, in lower case; for imports and predictions alike."""
PIXEL_LIMIT = 100_000_000
"""An image with more pixels is refused before it is decoded: a small file can unpack to fill the memory."""

_BILINEAR = ResizeOptions(ResizeAlg.convolution(FilterType.bilinear), use_alpha=False)
_DEEP_GRAY = frozenset({"I;16", "I;16L", "I;16B", "I;16N", "I"})
_PNG, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
_SCANS = 500
"""Scans of a progressive JPEG beyond which it is refused: each goes over the whole image."""
_LEAST_DEEP = 1 << 12
"""Gray values of 16 bits that all lie below this are of 12 bits or fewer, and black in their upper eight."""
# How formats that are not read begin: the offset, the bytes, the name.
_NOT_READ = (
    *((4, b"ftyp" + brand, "HEIC") for brand in (b"heic", b"heix", b"hevc", b"heim", b"heis", b"mif1", b"msf1")),
    *((4, b"ftyp" + brand, "AVIF") for brand in (b"avif", b"avis")),
    (0, b"\xff\x0a", "JPEG XL"),
    (0, b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (0, b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
    (0, b"8BPS", "Photoshop"),
    (0, b"%PDF", "PDF"),
    (0, b"<svg", "SVG"),
    (0, b"FUJIFILM", "camera raw"),
)
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
    deliver eight bits do. UnreadableImageError for numbers whose range nothing tells: floating-point, 32-bit, and
    16-bit ones that all are small.
    """
    mode = image.mode
    if mode == "RGB" and "transparency" not in image.info:
        return image, ""
    if mode == "I" and image.format not in ("PPM", "PNG"):  # Pillow scales theirs to 16 bits
        raise UnreadableImageError("its pixels are 32-bit numbers, which have no defined range; convert it to 8 bits")
    if mode in _DEEP_GRAY:
        values = np.asarray(image).clip(0, 65535).astype(np.uint16)
        if values.max() < _LEAST_DEEP:
            raise UnreadableImageError(
                f"its 16-bit values reach {values.max()} of 65535 (12 bits or fewer?) and would be nearly black; "
                "convert it to 8 bits"
            )
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
    """Decode the common kinds of JPEG; None for what Pillow should judge.

    What Pillow takes as it is, gray where data are missing, is refused here: files that end before their last row.
    """
    if content.count(b"\xff\xda") > _SCANS:
        raise UnreadableImageError(f"it has more than {_SCANS} scans")
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(content)
        _check_area(width, height)
        if space not in ("YCbCr", "RGB", "Gray"):
            simplejpeg.decode_jpeg(content, "CMYK")
            return None
        return simplejpeg.decode_jpeg(content, "RGB"), "grayscale" if space == "Gray" else ""
    except ValueError as error:
        if "premature end" in str(error).lower():
            raise UnreadableImageError("damaged: it ends before its last row") from error
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
        name = next((name for at, begin, name in _NOT_READ if content.startswith(begin, at)), "")
        raise UnreadableImageError(
            f"{name}, a format that is not read; convert it to JPEG or PNG"
            if name
            else "not an image, or of a kind that is not read"
        ) from error
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


def read_image(path: str) -> tuple[Pixels, str]:
    """Read one image file as `decode_whole` does."""
    try:
        return decode_whole(read_regular(path))
    except OSError as error:
        raise UnreadableImageError(f"cannot be read: {error.strerror}") from error
