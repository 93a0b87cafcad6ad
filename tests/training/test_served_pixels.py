"""The graph of a SavedModel sees the pixels of training, however these were read."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

tf = pytest.importorskip("tensorflow")

from headstart.components.datasets.images import UnreadableImageError, decode, decode_whole  # noqa: E402
from headstart.components.datasets.reading import Reading  # noqa: E402
from headstart.components.training.served_pixels import _mark, decoder  # noqa: E402
from tests.datasets.hostile_images import hostile  # noqa: E402
from tests.datasets.test_images import READINGS, photograph  # noqa: E402

# What TensorFlow reads otherwise: colour spaces that it does not convert, and marks that are not in a JPEG's EXIF.
OTHERWISE = ("cmyk", "ycck", "turned-cmyk", "turned-in-xmp", "turned.png", "turned-behind")


def graph(size: int, reading: Reading):
    return tf.function(decoder(size, reading), input_signature=[tf.TensorSpec([], tf.string)], autograph=False)


def jpeg(height: int, width: int, mark: int, order: str = "<") -> bytes:
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F] = "a maker whose name goes before"
    exif[0x0112] = mark
    buffer = io.BytesIO()
    photograph(height, width).save(buffer, "JPEG", quality=95, exif=exif)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "reading", READINGS, ids=lambda reading: f"{reading.orientation} {reading.fit} {reading.decoding}"
)
def test_the_graph_sees_the_pixels_of_training(reading: Reading) -> None:
    size = 15 if reading.decoding == "exact" else 16
    see = graph(size, reading)
    for height, width in ((60, 41), (41, 60), (16, 200), (7, 5), (2, 300), (130, 130)):
        for mark in range(1, 9):
            content = jpeg(height, width, mark, "<>"[mark % 2])
            ours, served = decode(content, size, reading)[0].astype(int), see(content).numpy()
            assert np.abs(ours - served).max() <= 1, (height, width, mark)


@pytest.mark.parametrize("reading", [Reading("apply"), Reading("apply", "crop", "scaled"), Reading("apply", "pad")])
def test_hostile_images_are_the_same_for_the_graph_or_are_refused(reading: Reading) -> None:
    see = graph(16, reading)
    compared, wrong = 0, {}
    for name, content in hostile().items():
        try:
            ours = decode(content, 16, reading)[0].astype(int)
            if decode_whole(content, 16, reading).pixels.nbytes > 1 << 20 or name.startswith(OTHERWISE):
                continue
            served = see(content).numpy()
        except UnreadableImageError:
            continue
        except tf.errors.OpError:
            assert name.endswith((".tif", ".webp", ".ppm", ".pgm", ".avif")), name
            continue
        if np.abs(ours - served).max() > 1:
            wrong[name] = float(np.abs(ours - served).max())
        compared += 1
    assert wrong == {}
    assert compared > 20


def test_any_metadata_are_taken() -> None:
    mark = tf.function(_mark, input_signature=[tf.TensorSpec([], tf.string)], autograph=False)
    whole = jpeg(9, 9, 6)
    assert mark(whole).numpy() == 6
    rng = np.random.default_rng(1)
    seen = set()
    for _ in range(300):
        damaged = bytearray(whole[: rng.integers(2, len(whole))])
        for place in rng.integers(0, min(len(damaged), 90), rng.integers(0, 4)):
            damaged[place] = rng.integers(0, 256)
        seen.add(int(mark(bytes(damaged)).numpy()))
    assert seen <= set(range(1, 9))
