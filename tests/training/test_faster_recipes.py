"""Whitened first weights, Muon, and a first block that stops learning: each against values worked out on their own."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from headstart.components.training.initialisation import IDENTITY, STRIDE, whiten
from headstart.components.training.loop import TrainingLoop
from headstart.components.training.networks.paper import build_network
from headstart.components.training.optimizer import Muon
from headstart.components.training.recipes import Recipe, recipe


@pytest.fixture
def images() -> np.ndarray:
    """Smooth images, as photographs are: neighbouring pixels are alike."""
    rng = np.random.default_rng(3)
    rough = rng.normal(size=(48, 54, 54, 3))
    smooth = sum(rough[:, i : i + 52, j : j + 52] for i in range(3) for j in range(3))
    return np.clip(127 + 15 * smooth, 0, 255).astype(np.uint8)


def test_whitened_filters_answer_with_unit_variance_apart_from_damping(images: np.ndarray) -> None:
    keras.utils.set_random_seed(1)
    model = build_network(52, 5)
    drawn = model.get_layer("conv2d_2").kernel.numpy()
    whiten(model, images)
    first = model.get_layer("conv2d_1")
    kernel, bias = first.get_weights()
    np.testing.assert_allclose(kernel[..., :8], -kernel[..., 8:])
    scaled = images.astype(np.float64) / 255
    answers = [
        (scaled[:, y : y + 5, x : x + 5] * kernel[..., at]).sum((1, 2, 3)) + bias[at]
        for at in range(8)
        for y in range(0, 48, STRIDE)
        for x in range(0, 48, STRIDE)
    ]
    by_filter = np.reshape(answers, (8, -1))
    np.testing.assert_allclose(by_filter.mean(1), 0, atol=1e-4)
    covariance = np.cov(by_filter)
    np.testing.assert_allclose(covariance - np.diag(np.diag(covariance)), 0, atol=1e-3)
    assert np.all(np.diag(covariance) < 1) and np.all(np.diff(np.diag(covariance)) <= 1e-6)
    assert covariance[0, 0] > 0.5
    kernel = model.get_layer("conv2d_2").kernel.numpy()
    np.testing.assert_allclose(kernel[..., 16:], drawn[..., 16:])
    expected = (1 - IDENTITY) * drawn[..., :16]
    expected[1, 1] += IDENTITY * np.eye(16)
    np.testing.assert_allclose(kernel[..., :16], expected, rtol=1e-6)


def test_more_filters_than_directions_keep_what_was_drawn(images: np.ndarray) -> None:
    model = keras.Sequential([keras.Input((52, 52, 3)), keras.layers.Conv2D(9, 1, use_bias=False, name="only")])
    drawn = model.get_layer("only").kernel.numpy()
    whiten(model, images)
    kernel = model.get_layer("only").kernel.numpy()
    np.testing.assert_array_equal(kernel[..., 6:], drawn[..., 6:])
    np.testing.assert_allclose(kernel[..., :3], -kernel[..., 3:6])


@pytest.mark.parametrize("shade", [0, 255])
def test_images_of_one_colour_give_finite_weights(shade: int) -> None:
    model = build_network(52, 5)
    whiten(model, np.full((4, 52, 52, 3), shade, np.uint8))
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_a_network_without_convolutions_stays_as_drawn(images: np.ndarray) -> None:
    model = keras.Sequential([keras.Input((52, 52, 3)), keras.layers.Flatten(), keras.layers.Dense(3)])
    before = model.get_weights()
    whiten(model, images)
    for now, then in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(now, then)


@pytest.mark.parametrize("shape", [(3, 3, 8, 16), (1, 1, 32, 8)])
def test_muon_moves_a_kernel_along_the_orthogonal_factor_of_its_momentum(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    kernel = keras.Variable(rng.normal(size=shape).astype(np.float32), name="kernel")
    optimizer = Muon(0.01)
    optimizer.build([kernel])
    before, gradient = kernel.numpy(), rng.normal(size=shape).astype(np.float32)
    optimizer.apply([keras.ops.convert_to_tensor(gradient)], [kernel])
    left, _, right = np.linalg.svd(gradient.reshape(-1, shape[-1]), full_matrices=False)
    moved = (before - kernel.numpy()).reshape(-1, shape[-1])
    rows, columns = moved.shape
    length = 0.01 * 7.0 * max(1, columns / rows) ** 0.5
    # Five steps of the iteration bring singular values to between about 0.7 and 1.2.
    found = np.diag(left.T @ moved @ right.T) / length
    assert found.min() > 0.65 and found.max() < 1.25
    np.testing.assert_allclose(left.T @ moved @ right.T / length, np.diag(found), atol=0.02)


@pytest.mark.parametrize("decades", [0, 6, 12])
def test_muon_brings_small_singular_values_as_far_as_the_iteration_does(decades: int) -> None:
    # By the iteration's polynomial on the singular values themselves, in float64; few gradients have them alike.
    rng = np.random.default_rng(1)
    left, right = (np.linalg.qr(rng.normal(size=(rows, 16)))[0] for rows in (72, 16))
    values = np.logspace(0, -decades, 16)
    gradient = ((left * values) @ right.T).astype(np.float32).reshape(3, 3, 8, 16)
    kernel = keras.Variable(np.zeros_like(gradient), name="kernel")
    optimizer = Muon(0.01)
    optimizer.build([kernel])
    optimizer.apply([keras.ops.convert_to_tensor(gradient)], [kernel])
    values /= np.linalg.norm(values)
    for _ in range(5):
        values = 3.4445 * values - 4.7750 * values**3 + 2.0315 * values**5
    expected = -0.07 * ((left * values) @ right.T)
    np.testing.assert_allclose(kernel.numpy().reshape(72, 16), expected, atol=1e-6)


def test_muon_leaves_first_depthwise_and_dense_kernels_to_adam() -> None:
    rng = np.random.default_rng(0)
    shapes = [(3, 3, 3, 8), (3, 3, 8, 1), (6, 4), (4,)]
    values = [rng.normal(size=shape).astype(np.float32) for shape in shapes]
    gradients = [keras.ops.convert_to_tensor(rng.normal(size=shape).astype(np.float32)) for shape in shapes]
    moved = []
    for optimizer in (Muon(0.01), keras.optimizers.Adam(0.01)):
        variables = [keras.Variable(value) for value in values]
        optimizer.build(variables)
        optimizer.apply(gradients, variables)
        moved.append([variable.numpy() for variable in variables])
    for ours, theirs in zip(*moved, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_the_first_block_learns_for_its_share_of_the_epochs(images: np.ndarray) -> None:
    keras.utils.set_random_seed(1)
    model = build_network(52, 3)
    recipe = Recipe(epochs=3, batch_size=24, first_block_share=0.5, optimizer="muon")  # two of three epochs
    loop = TrainingLoop(model, recipe, images, np.arange(48, dtype=np.int32) % 3, seed=0)
    loop.warm_up()
    seen = []
    for epoch in (1, 2, 3):
        loop.run_epoch(epoch)
        seen.append({name: model.get_layer(name).get_weights()[0] for name in ("conv2d_1", "conv2d_2", "dense_1")})
        seen[-1]["gamma"] = model.get_layer("batch_normalization_1").get_weights()[0]
    for name in seen[0]:
        assert not np.array_equal(seen[0][name], seen[1][name])
        assert np.array_equal(seen[1][name], seen[2][name]) == (name in ("conv2d_1", "gamma"))


def test_epochs_that_are_given_hold_for_small_sets() -> None:
    assert recipe("fast", "baseline").for_images(36).epochs == 100
    assert recipe("fast", "baseline", {"epochs": 3}).for_images(36).epochs == 3
    assert recipe("fast", "baseline", {"epochs": 3, "least_steps": 7}).for_images(36).epochs == 7
