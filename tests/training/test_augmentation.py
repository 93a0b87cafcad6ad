"""Crops, shifts and mirrored images: every result is a window of its own image, reflected at the edge."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")

from headstart.components.errors import SettingError  # noqa: E402
from headstart.components.preflight.parameters import check_parameters  # noqa: E402
from headstart.components.training.inputs import augmented  # noqa: E402
from headstart.components.training.loop import TrainingLoop, checked_crop  # noqa: E402
from headstart.components.training.networks.paper import build_network  # noqa: E402
from headstart.components.training.recipes import Recipe, flat_side  # noqa: E402
from headstart.components.training.settings import resolve  # noqa: E402
from headstart.components.training.stage_settings import StageSettings  # noqa: E402


def places(pixels: Any, results: Any, batch: Any, shift: int) -> list[tuple[int, int, bool]]:
    """Where each result was cut from: row, column, mirrored; the test fails where it is no window of its image."""
    size, found = results.shape[1], []
    for index, result in zip(batch, results, strict=True):
        padded = np.pad(pixels[index], ((shift, shift), (shift, shift), (0, 0)), mode="reflect")
        reach = padded.shape[0] - size + 1
        matches = [
            (row, column, mirrored)
            for row in range(reach)
            for column in range(reach)
            for mirrored in (False, True)
            if np.array_equal(padded[row : row + size, column : column + size][:, :: -1 if mirrored else 1], result)
        ]
        assert len(matches) == 1
        found.append(matches[0])
    return found


@pytest.mark.parametrize(("size", "shift", "flip"), [(12, 0, False), (16, 3, True), (12, 2, True), (13, 0, True)])
def test_results_are_windows_drawn_over_the_whole_range(size: int, shift: int, flip: bool) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (5, 16, 16, 3), dtype=np.uint8)
    batch = np.random.default_rng(2).integers(0, 5, 300).astype(np.int32)
    given = {"size": size, "shift": shift, "flip": flip}
    results = augmented(tf.constant(pixels), tf.constant(batch), tf.constant([4, 5]), **given).numpy()
    assert results.dtype == np.uint8
    assert results.shape == (300, size, size, 3)
    found = places(pixels, results, batch, shift)
    reach = 16 + 2 * shift - size + 1
    assert {row for row, _, _ in found} == set(range(reach))
    assert {column for _, column, _ in found} == set(range(reach))
    assert np.mean([mirrored for *_, mirrored in found]) == pytest.approx(0.5 if flip else 0, abs=0.1)
    again = augmented(tf.constant(pixels), tf.constant(batch), tf.constant([4, 5]), **given).numpy()
    np.testing.assert_array_equal(results, again)
    other = augmented(tf.constant(pixels), tf.constant(batch), tf.constant([4, 6]), **given).numpy()
    assert not np.array_equal(results, other)


def test_a_crop_must_fit_the_dense_layers() -> None:
    pixels, labels = np.zeros((4, 52, 52, 3), np.uint8), np.zeros(4, np.int32)
    with pytest.raises(SettingError, match=r"crop: 40 .*these do: 48, 49, 50, 51"):
        TrainingLoop(build_network(52, 3), Recipe(crop=40), pixels, labels, seed=0)


def test_crops_come_first_and_whole_images_last() -> None:
    pixels, labels = np.zeros((4, 52, 52, 3), np.uint8), np.zeros(4, np.int32)
    recipe = Recipe(crop=48, whole_epochs=2, epochs=5, batch_size=2)
    loop = TrainingLoop(build_network(52, 3), recipe, pixels, labels, seed=0)
    loop.warm_up()
    assert [loop.image_size(epoch) for epoch in range(1, 6)] == [48, 48, 48, 52, 52]
    for epoch in (1, 5):
        assert np.isfinite(loop.run_epoch(epoch)[0])


@pytest.mark.parametrize(("size", "crop"), [(52, 48), (64, 0), (96, 0), (100, 92), (128, 123)])
def test_the_automatic_crop_follows_the_image_size(size: int, crop: int) -> None:
    model = build_network(size, 3, first_stride=StageSettings().stride(size))
    assert checked_crop(model, Recipe(crop="auto"), size) == crop
    for arm in ("pretrain", "finetune", "baseline"):
        check_parameters({"preset": "fast", "image_size": size})
        assert resolve("fast", arm).recipe.crop in (0, "auto")


@pytest.mark.parametrize("stride", [1, 2])
def test_the_preflight_knows_the_network(stride: int) -> None:
    for size in range(48 * stride, 140, 7):
        model = build_network(size, 3, first_stride=stride)
        shape = model.get_layer("max_pooling2d_3").output.shape
        assert flat_side(size, stride) == shape[1]


def test_a_crop_that_does_not_fit_is_refused_before_anything_is_imported() -> None:
    with pytest.raises(SettingError, match=r"crop: 48 pixels of images of 96 .* no smaller size does"):
        check_parameters({"preset": "fast", "image_size": 96, "settings": {"crop": 48}})
    check_parameters({"preset": "fast", "image_size": 52, "settings": {"crop": 48}})
