"""Image files as they turn up among people's own: every mode and container, odd shapes, and what is damaged."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageCms

from tests.datasets.drawn_files import image

SIZE = (37, 29)


def _saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def _gray(bits: int) -> Image.Image:
    return Image.fromarray((np.arange(37 * 29).reshape(29, 37) * ((1 << bits) - 1) // (37 * 29)).astype(np.uint16))


def claiming(content: bytes, height: int, width: int) -> bytes:
    """A JPEG whose header claims another size than its data have."""
    start = next(at for mark in (b"\xff\xc0", b"\xff\xc2") if (at := content.find(mark)) >= 0)
    return content[: start + 5] + struct.pack(">HH", height, width) + content[start + 9 :]


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _huge_png() -> bytes:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    parts = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(b"")) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts


def hostile() -> dict[str, bytes]:
    """File names and contents; the same at every call."""
    rgb = image(1, SIZE)
    clear = rgb.convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(SIZE))
    jpeg, png = _saved(rgb, "JPEG", quality=90), _saved(rgb, "PNG")
    exif = Image.Exif()
    exif[0x0112] = 6
    nine = Image.Exif()
    nine[0x0112] = 9
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    turned = {"save_all": True, "append_images": [image(2, SIZE), image(3, SIZE)]}
    cmyk = _saved(rgb.convert("CMYK"), "JPEG", quality=95)
    avif = _saved(rgb, "AVIF")
    adobe = cmyk.find(b"Adobe")
    files = {
        "gray.png": _saved(rgb.convert("L"), "PNG"),
        "gray.jpg": _saved(rgb.convert("L"), "JPEG"),
        "gray-alpha.png": _saved(clear.convert("LA"), "PNG"),
        "palette.png": _saved(rgb.quantize(16), "PNG"),
        "palette-clear.png": _saved(rgb.quantize(16), "PNG", transparency=3),
        "palette-alpha.webp": _saved(clear, "WEBP", lossless=True),
        "rgba.png": _saved(clear, "PNG"),
        "rgb-transparency.png": _saved(rgb, "PNG", transparency=(0, 0, 0)),
        "cmyk.jpg": cmyk,
        "ycck.jpg": cmyk[: adobe + 11] + b"\x02" + cmyk[adobe + 12 :] if adobe >= 0 else cmyk,
        "cmyk-cut.jpg": cmyk[: len(cmyk) // 2] + b"\xff\xd9",
        "rgb-space.jpg": _saved(rgb, "JPEG", keep_rgb=True),
        "deep.png": _saved(_gray(16), "PNG"),
        "deep.tif": _saved(_gray(16), "TIFF"),
        "deep.pgm": b"P5\n2 2\n65535\n" + bytes(range(100, 108)),
        "twelve-bits.png": _saved(_gray(12), "PNG"),
        "32-bit.tif": _saved(Image.fromarray(np.arange(1073, dtype=np.int32).reshape(29, 37) * 999), "TIFF"),
        "float.tif": _saved(Image.fromarray(np.ones((29, 37), np.float32)), "TIFF"),
        "one-bit.png": _saved(rgb.convert("1"), "PNG"),
        "one-bit.tif": _saved(rgb.convert("1"), "TIFF"),
        "lab.tif": _saved(Image.new("LAB", SIZE, (90, 9, 9)), "TIFF"),
        "progressive.jpg": _saved(rgb, "JPEG", progressive=True),
        "subsampled.jpg": _saved(rgb, "JPEG", subsampling=2),
        "optimised.png": _saved(rgb, "PNG", optimize=True),
        "turned.jpg": _saved(rgb, "JPEG", exif=exif),
        "turned.png": _saved(rgb, "PNG", exif=exif),
        "profile.jpg": _saved(rgb, "JPEG", icc_profile=profile),
        "profile.png": _saved(rgb, "PNG", icc_profile=profile),
        "animated.gif": _saved(rgb.quantize(8), "GIF", **turned),
        "animated.png": _saved(rgb, "PNG", **turned),
        "animated.webp": _saved(rgb, "WEBP", **turned),
        "pages.tif": _saved(rgb, "TIFF", **turned),
        "plain.bmp": _saved(rgb, "BMP"),
        "plain.jfif": jpeg,
        "plain.ppm": _saved(rgb, "PPM"),
        "wrong-suffix.png": jpeg,
        "wrong-suffix.jpg": png,
        "no-suffix": png,
        "one-pixel.png": _saved(image(4, (1, 1)), "PNG"),
        "one-pixel.jpg": _saved(image(4, (1, 1)), "JPEG"),
        "wide.png": _saved(image(5, (9000, 1)), "PNG"),
        "wide.jpg": _saved(image(5, (9000, 2)), "JPEG"),
        "tall.png": _saved(image(6, (1, 9000)), "PNG"),
        "trailing.jpg": jpeg + b"after the end",
        "trailing.png": png + b"after the end",
        "cut.jpg": jpeg[: len(jpeg) // 2],
        "cut.png": png[: len(png) // 2],
        "cut-ended.jpg": jpeg[: len(jpeg) // 2] + b"\xff\xd9",
        "cut-ended-progressive.jpg": _saved(rgb, "JPEG", progressive=True)[:-40] + b"\xff\xd9",
        "claims-9000.jpg": claiming(jpeg, 9000, 9000),
        "claims-60000.jpg": claiming(jpeg, 60_000, 60_000),
        "claims-nothing.jpg": claiming(jpeg, 0, 0),
        "claims-60000.png": _huge_png(),
        "wrong-checksum.png": png[:45] + bytes([png[45] ^ 1]) + png[46:],
        "empty.jpg": b"",
        "empty.png": b"",
        "text.jpg": b"<html>not found</html>",
        "photo.heic": b"\x00\x00\x00\x18ftypheic" + bytes(40),
        "photo.avif": avif,
        "clear.avif": _saved(clear, "AVIF"),
        "turned.avif": _saved(rgb, "AVIF", exif=exif),
        "turned.webp": _saved(rgb, "WEBP", exif=exif),
        "turned.tif": _saved(rgb, "TIFF", tiffinfo={0x0112: 6}),
        "turned-gray.jpg": _saved(rgb.convert("L"), "JPEG", exif=exif),
        "turned-cmyk.jpg": _saved(rgb.convert("CMYK"), "JPEG", exif=exif),
        "turned-large.jpg": _saved(image(8, (260, 190)), "JPEG", exif=exif, progressive=True),
        "turned-in-xmp.jpg": _saved(rgb, "JPEG", xmp=b'<x:xmpmeta><d tiff:Orientation="8"/></x:xmpmeta>'),
        "turned-behind.png": png[:-12] + png_chunk(b"eXIf", exif.tobytes()[6:]) + png[-12:],
        "turned-cut.jpg": _saved(rgb, "JPEG", exif=exif.tobytes()[:14]),
        "turned-nonsense.jpg": _saved(rgb, "JPEG", exif=b"Exif\0\0MM\0*\xff\xff\xff\xff"),
        "turned-nine.jpg": _saved(rgb, "JPEG", exif=nine),
        "gray-large.jpg": _saved(image(9, (170, 130)).convert("L"), "JPEG"),
        "cmyk-large.jpg": _saved(image(9, (170, 130)).convert("CMYK"), "JPEG"),
        "cut.avif": avif[: len(avif) // 2],
        "no.avif": b"\x00\x00\x00\x18ftypavif" + bytes(40),
    }
    return {**files, "interlaced.png": interlaced()}


# What Pillow takes although data are missing, which it fills with gray.
ENDS_EARLY = ("cmyk-cut.jpg", "cut-ended-progressive.jpg", "claims-9000.jpg")


def interlaced() -> bytes:
    """A PNG of 8 × 8 in colour whose rows come in Adam7's seven passes; Pillow does not write such files."""
    pixels = np.asarray(image(7, (8, 8)))
    rows = b""
    passes = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1))
    for top, left, down, across in passes:
        rows += b"".join(b"\x00" + row.tobytes() for row in pixels[top::down, left::across])
    header = struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 1)
    parts = png_chunk(b"IHDR", header) + png_chunk(b"IDAT", zlib.compress(rows)) + png_chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + parts
