"""Own photographs as they are: turned as the camera says, stretched, cropped or padded, decoded in full or scaled."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from headstart.components.datasets.draws import select_draws, write_subset
from headstart.components.datasets.holding_out import hold_out
from headstart.components.datasets.images import decode, decode_whole
from headstart.components.datasets.importing import import_dataset
from headstart.components.datasets.packed import PackedDataset
from headstart.components.datasets.reading import Fit, Reading
from headstart.components.datasets.resizing import cropped_sides, fit_alike, padded_sides, turned
from tests.datasets import drawn_files
from tests.datasets.test_images import photograph


def saved(picture: Image.Image, kind: str, mark: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = mark
    buffer = io.BytesIO()
    options = {"quality": 95} if kind in ("JPEG", "AVIF") else {"lossless": True} if kind == "WEBP" else {}
    picture.save(buffer, kind, exif=exif, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "TIFF"])
@pytest.mark.parametrize("mark", range(1, 9))
def test_an_image_is_turned_as_its_mark_says(kind: str, mark: int) -> None:
    content = saved(photograph(67, 90), kind, mark)
    upright = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(content))).convert("RGB"))
    for fit in ("stretch", "crop", "pad"):
        expected = fit_alike([upright], 30, fit)[0].astype(int)
        found = decode(content, 30, Reading("apply", fit))[0].astype(int)
        assert np.abs(found - expected).max() <= 2
    if mark != 1 and kind != "TIFF":  # whose mark Pillow always applies
        ignored = decode(content, 30, Reading("ignore"))[0].astype(int)
        assert np.abs(ignored - fit_alike([upright], 30, "stretch")[0]).max() > 30


@pytest.mark.parametrize("fit", ["stretch", "crop", "pad"])
@pytest.mark.parametrize("size", [12, 13])
def test_turning_before_or_after_is_the_same(fit: Fit, size: int) -> None:
    for height, width in ((7, 30), (30, 7), (31, 40), (13, 13), (1, 5000), (5000, 1), (1, 1), (2, 3)):
        pixels = np.random.default_rng(height).integers(0, 256, (height, width, 3), np.uint8)
        there = fit_alike([pixels], size, fit)[0]
        for mark in range(1, 9):
            before = fit_alike([np.ascontiguousarray(turned(pixels, mark))], size, fit)[0]
            assert np.abs(turned(there, mark).astype(int) - before).max() <= 1


def test_the_middle_is_cropped_and_white_is_padded() -> None:
    stripes = np.zeros((20, 60, 3), np.uint8)
    stripes[:, 20:40] = 100
    assert (fit_alike([stripes], 20, "crop")[0] == 100).all()
    padded = fit_alike([stripes], 60, "pad")[0]
    assert (padded[:20] == 255).all()
    assert (padded[40:] == 255).all()
    np.testing.assert_array_equal(padded[20:40], stripes)
    assert cropped_sides(20, 31) == (20, 21)  # one more, so that as much goes on both sides
    assert padded_sides(1, 5000, 52) == (2, 52)
    assert padded_sides(1, 5000, 53) == (1, 53)


@pytest.mark.parametrize(("height", "width", "scale"), [(15, 90, 1), (16, 90, 2), (100, 63, 4), (64, 64, 8), (9, 9, 1)])
def test_a_jpeg_is_decoded_no_smaller_than_needed(height: int, width: int, scale: int) -> None:
    content = saved(photograph(height, width), "JPEG", 1)
    scaled = decode_whole(content, 8, Reading(decoding="scaled")).pixels
    assert scaled.shape[:2] == (-(-height // scale), -(-width // scale))
    exact = decode(content, 8, Reading())[0].astype(int)
    assert np.abs(decode(content, 8, Reading(decoding="scaled"))[0] - exact).mean() < 6


def test_the_reading_goes_with_the_data_wherever_they_go(tmp_path: Path) -> None:
    for number in range(64):
        folder = tmp_path / "own" / ("test" if number % 2 else "train") / f"{'abcd'[number // 2 % 4]} thing"
        folder.mkdir(parents=True, exist_ok=True)
        mark = 6 if number % 8 == 0 else 1
        (folder / f"{number}.jpg").write_bytes(saved(drawn_files.image(number, (40, 20)), "JPEG", mark))
    reading = Reading("apply", "pad", "scaled")
    about = import_dataset(str(tmp_path / "own"), tmp_path / "packed", image_size=9, fit="pad", decoding="scaled")
    assert about.reading == reading
    assert about.converted == {"orientation mark": 8}
    assert any(note.startswith("8 images were turned as the camera's orientation mark says") for note in about.notes)
    rule = {"one": "a", "other": "*"}
    chosen = select_draws(tmp_path / "packed", tmp_path / "target", draws=2, classes=rule, images_per_class=4)
    assert chosen.reading == PackedDataset(tmp_path / "target" / "draws" / "1").description.reading == reading
    assert (
        hold_out(tmp_path / "packed", tmp_path / "target", tmp_path / "held", target_classes=False).reading == reading
    )
    (tmp_path / "subset").mkdir()
    write_subset(tmp_path / "target", tmp_path / "subset", 2)
    assert PackedDataset(tmp_path / "subset").description.reading == reading


def test_a_set_of_an_older_version_was_stretched_and_not_turned(tmp_path: Path) -> None:
    drawn_files.write_tree(tmp_path / "own" / "train", {"a": 4, "b": 4})
    drawn_files.write_tree(tmp_path / "own" / "test", {"a": 2, "b": 2})
    import_dataset(str(tmp_path / "own"), tmp_path / "packed", image_size=8)
    file = tmp_path / "packed" / "dataset.json"
    content = json.loads(file.read_text())
    del content["reading"], content["checksum"]  # neither was there yet
    file.write_text(json.dumps(content))
    assert PackedDataset(tmp_path / "packed").description.reading == Reading("ignore", "stretch", "exact")
