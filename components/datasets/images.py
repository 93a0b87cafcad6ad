"""One image: decoding and conversion to RGB. The same pixels in training and in serving.

JPEG is decoded by libjpeg-turbo with the exact DCT, as Pillow and `tf.io.decode_jpeg(dct_method="INTEGER_ACCURATE")`
do, plain PNG by libspng in under half of Pillow's time; whatever is less common is Pillow's. Orientation marks are
always read by Pillow, so that they are the same whoever decodes the pixels.
"""

from __future__ import annotations

import io
import warnings
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyspng
import simplejpeg
from PIL import ExifTags, Image, UnidentifiedImageError, features
from PIL.JpegImagePlugin import JpegImageFile

from headstart.components.datasets.reading import Reading
from headstart.components.datasets.resizing import fit_alike, turned
from headstart.components.regular_files import read_regular

if TYPE_CHECKING:  # it brings along pydantic, for which a process that only decodes would wait
    from headstart.components.datasets.packed import Pixels

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "WEBP", "TIFF", "PPM", "AVIF")
SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".apng", ".bmp", ".dib", ".gif", ".webp", ".tif", ".tiff"),
        *(".avif", ".avifs"),
        *(".ppm", ".pgm", ".pbm", ".pnm"),
    }
)
"""What files of these formats are called, in lower case; for imports and predictions alike."""
PIXEL_LIMIT = 100_000_000
"""An image with more pixels is refused before it is decoded: a small file can unpack to fill the memory."""

_DEEP_GRAY = frozenset({"I;16", "I;16L", "I;16B", "I;16N", "I"})
_PNG, _PNG_END = b"\x89PNG\r\n\x1a\n", b"IEND\xaeB`\x82"
_SCANS = 500
"""Scans of a progressive JPEG beyond which it is refused: each goes over the whole image."""
_SCAN_BYTES = 10
"""The least that a scan takes: its header. Looking for scans in every small file would take as long as reading it."""
_LEAST_DEEP = 1 << 12
"""Gray values of 16 bits that all lie below this are of 12 bits or fewer, and black in their upper eight."""
PNG_MARKS = (b"eXIf", b"Raw profile type", b"XML:com.adobe.xmp")
"""What a PNG with an orientation mark holds, one of these."""
_NO_READING = Reading()
# Of damaged metadata, which then do not count; once per process it would stand among the lines of an import.
warnings.filterwarnings("ignore", module=r"PIL\.")
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


class Decoded(NamedTuple):
    """One decoded image."""

    pixels: Pixels
    """uint8, H × W × 3, as the file holds them: not turned yet."""
    converted: str
    """What it was converted from; '' where it already was RGB."""
    mark: int = 1
    """EXIF's orientation, 1 to 8; 1 where there is none or where it does not count."""


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


def _mark(image: Image.Image) -> int:
    """Return EXIF's orientation of an image; 1 where it has none, or one that means nothing."""
    try:
        mark = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # on damaged metadata Pillow raises nearly anything
        return 1
    return mark if isinstance(mark, int) and 1 <= mark <= 8 else 1


def _may_be_marked(jpeg: bytes) -> bool:
    """Say whether a JPEG has an APP1 segment, which alone holds orientation marks, or is built unusually."""
    at = 2
    with suppress(IndexError):
        while jpeg[at] == 0xFF:
            kind = jpeg[at + 1]
            if kind == 0xDA:
                return False
            if kind == 0xE1 or not 0xC0 <= kind <= 0xFE:
                return True
            at += 2 + (jpeg[at + 2] << 8 | jpeg[at + 3])
    return True


def _jpeg_mark(content: bytes) -> int:
    """Return the orientation of a JPEG; Pillow is asked only where there may be one."""
    if not _may_be_marked(content):
        return 1
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            return _mark(image)
    except Exception:  # decoders raise nearly anything on damaged input
        return 1


def _decode_jpeg(content: bytes, size: int, reading: Reading) -> Decoded | None:
    """Decode the common kinds of JPEG; None for what Pillow should judge.

    What Pillow takes as it is, gray where data are missing, is refused here: files that end before their last row.
    """
    if len(content) > _SCANS * _SCAN_BYTES and content.count(b"\xff\xda") > _SCANS:
        raise UnreadableImageError(f"it has more than {_SCANS} scans")
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(content)
        _check_area(width, height)
        if space not in ("YCbCr", "RGB", "Gray"):
            simplejpeg.decode_jpeg(content, "CMYK")
            return None
        scale = reading.scale(height, width, size)
        least = {"min_height": -(-height // scale), "min_width": -(-width // scale), "min_factor": scale}
        pixels = simplejpeg.decode_jpeg(content, "RGB", **(least if scale > 1 else {}))
        mark = _jpeg_mark(content) if reading.orientation == "apply" else 1
        return Decoded(pixels, "grayscale" if space == "Gray" else "", mark)
    except ValueError as error:
        if "premature end" in str(error).lower():
            raise UnreadableImageError("damaged: it ends before its last row") from error
        return None


def _decode_png(content: bytes, reading: Reading) -> Pixels | None:
    """Decode 8-bit RGB without transparency and interlacing; None for what Pillow should judge, as with JPEG."""
    header, depth_and_colour, interlaced = content[8:16], content[24:26], content[28:29]
    if (header, depth_and_colour, interlaced) != (b"\x00\x00\x00\rIHDR", b"\x08\x02", b"\x00"):
        return None
    # The checksum that libspng leaves unread.
    if zlib.crc32(content[12:29]) != int.from_bytes(content[29:33], "big"):
        return None
    if not content.endswith(_PNG_END) or content.find(b"tRNS", 33, content.find(b"IDAT", 33)) >= 0:
        return None
    if reading.orientation == "apply" and any(name in content for name in PNG_MARKS):
        return None
    _check_area(int.from_bytes(content[16:20], "big"), int.from_bytes(content[20:24], "big"))
    try:
        pixels: Pixels = pyspng.load(content)
    except (RuntimeError, ValueError, MemoryError):
        return None
    return pixels


def _decode_any(content: bytes, size: int, reading: Reading) -> Decoded:
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            _check_area(*image.size)
            if isinstance(image, JpegImageFile) and (scale := reading.scale(image.height, image.width, size)) > 1:
                image.draft(None, (image.width // scale, image.height // scale))
            image.load()
            rgb, converted = to_rgb(image)
            # After loading: a PNG may hold its metadata behind its pixels. TIFF is turned by Pillow itself.
            return Decoded(np.asarray(rgb), converted, _mark(image) if reading.orientation == "apply" else 1)
    except UnidentifiedImageError as error:
        name = next((name for at, begin, name in _NOT_READ if content.startswith(begin, at)), "")
        if name == "AVIF" and features.check("avif"):
            raise UnreadableImageError("damaged: an AVIF that cannot be decoded") from error
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


def decode(content: bytes, size: int, reading: Reading = _NO_READING) -> tuple[Pixels, str]:
    """Decode one image file's content; return its pixels, uint8 size × size × 3, and what it was converted from.

    Raises UnreadableImageError for what is no image, is cut short, or is too large.
    """
    decoded = decode_whole(content, size, reading)
    return turned(fit_alike([decoded.pixels], size, reading.fit)[0], decoded.mark), decoded.converted


def decode_whole(content: bytes, size: int, reading: Reading = _NO_READING) -> Decoded:
    """Decode one image file's content as `decode` does, before it is brought to size × size and turned.

    Raises UnreadableImageError for what is no image, is cut short, or is too large.
    """
    if not content:
        raise UnreadableImageError("the file is empty")
    decoded: Decoded | None = None
    if content.startswith(b"\xff\xd8"):
        decoded = _decode_jpeg(content, size, reading)
    elif content.startswith(_PNG) and (plain := _decode_png(content, reading)) is not None:
        decoded = Decoded(plain, "")
    return decoded or _decode_any(content, size, reading)


def read_image(path: str, size: int, reading: Reading = _NO_READING) -> Decoded:
    """Read one image file as `decode_whole` does."""
    try:
        return decode_whole(read_regular(path), size, reading)
    except OSError as error:
        raise UnreadableImageError(f"cannot be read: {error.strerror}") from error
