"""Training and serving see the same pixels, whatever decodes them."""

import io
import os
from pathlib import Path

import numpy as np
import pytest
from cykooz_resizer import CpuExtensions, ImageData, PixelType, Resizer
from PIL import Image

from headstart.components.datasets import images, resizing
from headstart.components.datasets.images import UnreadableImageError, decode
from headstart.components.datasets.reading import Reading
from headstart.components.datasets.resizing import resize
from headstart.components.regular_files import read_regular
from tests.datasets import drawn_files
from tests.datasets.hostile_images import ENDS_EARLY, hostile


def photograph(height: int, width: int, seed: int = 0) -> Image.Image:
    """Structure at every scale, which shows what a decoder or a filter does differently."""
    rng = np.random.default_rng(seed)
    picture = np.zeros((height, width, 3))
    for cells in (3, 9, 27):
        small = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
        picture += np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), float) / 3
    return Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))


@pytest.mark.parametrize("subsampling", [0, 2], ids=["4:4:4", "4:2:0"])
@pytest.mark.parametrize(("height", "width"), [(100, 100), (32, 32), (52, 52), (300, 200)])
def test_pixels_equal_those_of_a_tensorflow_server(height: int, width: int, subsampling: int) -> None:
    import tensorflow as tf

    buffer = io.BytesIO()
    photograph(height, width).save(buffer, "JPEG", quality=90, subsampling=subsampling)
    decoded = tf.io.decode_jpeg(buffer.getvalue(), channels=3, dct_method="INTEGER_ACCURATE")
    served = tf.image.resize(decoded, (52, 52), antialias=True).numpy()
    ours, _ = decode(buffer.getvalue(), 52)
    assert np.abs(ours.astype(int) - np.rint(served)).max() <= 1


def test_shrinking_averages_and_enlarging_interpolates() -> None:
    # A checkerboard of single pixels shrinks to gray; without antialiasing it would keep pure black and white.
    board = np.where(np.indices((104, 104)).sum(0) % 2, 255, 0).astype(np.uint8)[..., None].repeat(3, 2)
    shrunk = resize(board, 52, 52)[4:-4, 4:-4].astype(int)
    assert np.abs(shrunk - 127).max() <= 1
    # Two columns enlarged to four, half-pixel centres: 0, 1/4, 3/4, 1 of the way.
    pair = np.array([[[0] * 3, [200] * 3]] * 2, np.uint8)
    assert resize(pair, 4, 4)[0, :, 0].tolist() == [0, 50, 150, 200]


def test_resizing_agrees_with_pillow_within_one_level() -> None:
    for size in (100, 32, 75):
        source = np.asarray(photograph(size, size, size))
        reference = np.asarray(Image.fromarray(source).resize((52, 52), Image.Resampling.BILINEAR)).astype(int)
        assert np.abs(resize(source, 52, 52) - reference).max() <= 1


@pytest.mark.parametrize("content", [b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"plain text" * 50])
def test_what_is_no_image_is_refused(content: bytes) -> None:
    with pytest.raises(UnreadableImageError):
        decode(content, 16)


@pytest.mark.parametrize("kind", ["JPEG", "PNG"])
def test_a_cut_image_is_refused_wherever_it_is_cut(kind: str) -> None:
    whole = drawn_files.encoded(1, kind, (60, 60))
    assert decode(whole, 16)[0].shape == (16, 16, 3)
    for share in (0.1, 0.5, 0.9):
        with pytest.raises(UnreadableImageError):
            decode(whole[: int(share * len(whole))], 16)


def test_every_instruction_set_resizes_to_the_same_pixels() -> None:
    source = np.asarray(photograph(100, 100))
    expected = resize(source, 52, 52)
    resizer = Resizer()
    compared = 0
    for extensions in CpuExtensions:
        try:
            resizer.cpu_extensions = extensions
        except ValueError:  # this processor has no such instructions
            continue
        target = ImageData(52, 52, PixelType.U8x3)
        resizer.resize(ImageData(100, 100, PixelType.U8x3, source.tobytes()), target, resizing._BILINEAR)
        assert target.get_buffer() == expected.tobytes(), extensions
        compared += 1
    assert compared >= 2


@pytest.mark.parametrize("sides", [(1201, 1603), (2100, 701), (200_001, 7), (53, 30_011), (3, 500_000)])
@pytest.mark.parametrize("target", [(52, 52), (7, 300), (52, 1_603)])
def test_a_photograph_resized_in_strips_has_the_bits_of_it_resized_at_once(
    sides: tuple[int, int], target: tuple[int, int]
) -> None:
    photograph = np.random.default_rng(0).integers(0, 256, (*sides, 3), np.uint8)
    at_once = ImageData(target[1], target[0], PixelType.U8x3)
    source = ImageData(sides[1], sides[0], PixelType.U8x3, photograph.tobytes())
    Resizer().resize(source, at_once, resizing._BILINEAR)
    expected = np.frombuffer(at_once.get_buffer(), np.uint8).reshape(*target, 3)
    np.testing.assert_array_equal(resize(photograph, *target), expected)


@pytest.mark.parametrize(("height", "width"), [(32, 32), (100, 100), (52, 31), (31, 52), (52, 52), (7, 300), (1, 1)])
def test_images_resized_together_have_the_bits_of_each_resized_alone(height: int, width: int) -> None:
    rng = np.random.default_rng(height * width)
    several = [rng.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(5)]
    together = resizing.resize_alike(several, 52, 52)
    assert together.shape == (5, 52, 52, 3)
    for alone, found in zip(several, together, strict=True):
        np.testing.assert_array_equal(found, resize(alone, 52, 52))


READINGS = [
    Reading(),
    *(Reading("apply", fit, how) for fit in ("stretch", "crop", "pad") for how in ("exact", "scaled")),
]


@pytest.mark.parametrize(("name", "content"), hostile().items(), ids=hostile())
def test_fast_decoders_give_what_pillow_gives(name: str, content: bytes) -> None:
    for reading in READINGS:
        results: list[object] = []
        for decoder in (images.decode_whole, images._decode_any):
            try:
                pixels, converted, mark = decoder(content, 8, reading)
                results.append((pixels.shape, pixels.tobytes(), converted, mark))
                if pixels.nbytes < 1 << 20:
                    alone = resizing.fit_alike([pixels], 8, reading.fit)[0]
                    assert np.array_equal(resizing.fit_alike([pixels] * 3, 8, reading.fit)[2], alone)
                    assert np.array_equal(decode(content, 8, reading)[0], resizing.turned(alone, mark))
            except UnreadableImageError as error:
                results.append(str(error))
        if name in ENDS_EARLY:
            assert results[0] == "damaged: it ends before its last row"
        elif name.startswith("empty"):
            assert results[0] == "the file is empty"
        else:
            assert results[0] == results[1]


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("32-bit.tif", "32-bit numbers"),
        ("float.tif", "floating-point numbers"),
        ("twelve-bits.png", "reach 4091 of 65535"),
        ("claims-60000.jpg", "more than 100 million pixels"),
        ("claims-60000.png", "more than 100 million pixels"),
        ("photo.heic", "HEIC, a format that is not read; convert it"),
        ("cut.avif", "damaged"),
        ("no.avif", "damaged"),
        ("text.jpg", "not an image"),
        ("wrong-checksum.png", "damaged"),
    ],
)
def test_why_an_image_is_refused(name: str, why: str) -> None:
    with pytest.raises(UnreadableImageError, match=why):
        decode(hostile()[name], 16)


def test_a_jpeg_of_very_many_scans_is_refused() -> None:
    # Every scan goes over the whole image: a megabyte of them would keep a decoder busy for minutes.
    whole = drawn_files.encoded(1)
    with pytest.raises(UnreadableImageError, match="more than 500 scans"):
        decode(whole[:-2] + bytes.fromhex("ffda00080101003f0000") * 501 + whole[-2:], 16)


@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "link to a device", "nothing"])
def test_only_regular_files_are_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "image.jpg"
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    elif kind == "link to a device":
        path.symlink_to("/dev/zero")
    named = Path("/dev/zero") if kind == "device" else path
    with pytest.raises(UnreadableImageError, match="cannot be read"):
        images.read_image(str(named), 16)


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    file = tmp_path / "file"
    for size in (0, 1, 32 * 1024 - 1, 32 * 1024, 100_000):
        file.write_bytes(bytes(range(256)) * (size // 256 + 1))
        os.truncate(file, size)
        assert read_regular(file, 100_000) == file.read_bytes()
    with pytest.raises(OSError, match="more than"):
        read_regular(file, 99_999)


def png(mode: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    photograph(40, 33).convert(mode).save(buffer, "PNG", **options)
    return buffer.getvalue()


def test_plain_png_has_the_same_pixels_whoever_decodes_it() -> None:
    for content in (png("RGB"), png("RGB", compress_level=0), png("RGB", optimize=True)):
        fast = images._decode_png(content, Reading())
        assert fast is not None
        np.testing.assert_array_equal(fast, np.asarray(Image.open(io.BytesIO(content))))


def test_any_other_png_is_left_to_pillow() -> None:
    for content in (png("L"), png("P"), png("RGBA"), png("1"), png("RGB", transparency=(0, 0, 0))):
        assert images._decode_png(content, Reading()) is None
    assert decode(png("RGB", transparency=(300, 0, 0)), 16)[1] == "alpha"


def test_a_png_with_a_wrong_checksum_is_refused_wherever_it_is_wrong() -> None:
    whole = png("RGB")
    for place in (17, 29, 41, len(whole) // 2):  # header, its checksum, data
        damaged = bytearray(whole)
        damaged[place] ^= 1
        with pytest.raises(UnreadableImageError):
            decode(bytes(damaged), 16)
