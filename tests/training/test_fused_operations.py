"""The fused operations compute what the Keras layers and optimizers compute."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

keras = pytest.importorskip("keras")
tf = pytest.importorskip("tensorflow")

from headstart.components.training.fused_operations import Adam, ForwardPass  # noqa: E402
from headstart.components.training.interruption import Interrupted  # noqa: E402
from headstart.components.training.loop import TrainingLoop  # noqa: E402
from headstart.components.training.network import build_network  # noqa: E402
from headstart.components.training.recipes import Recipe  # noqa: E402

CLASSES, SIZE, COUNT = 7, 52, 48


@pytest.fixture(scope="module")
def images() -> tuple[Any, Any]:
    drawn = np.random.default_rng(5)
    # Structure at several scales: on pure noise batch normalisation sees nothing that differs between images.
    coarse = drawn.integers(0, 200, (COUNT, 4, 4, 3)).repeat(13, axis=1).repeat(13, axis=2)
    pixels = (coarse + drawn.integers(0, 56, (COUNT, SIZE, SIZE, 3))).astype(np.uint8)
    return pixels, drawn.integers(0, CLASSES, COUNT).astype(np.int32)


def network(seed: int = 1, *, disturbed: bool = False) -> Any:
    """The paper's network; `disturbed` gives batch normalisation weights as training leaves them, negative ones too."""
    keras.utils.set_random_seed(seed)
    model = build_network(SIZE, CLASSES)
    if disturbed:
        drawn = np.random.default_rng(seed)
        for layer in model.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                shape = layer.gamma.shape
                gamma, beta = drawn.normal(0.5, 1, shape), drawn.normal(0, 0.3, shape)
                layer.set_weights([gamma, beta, drawn.normal(0.1, 0.1, shape), drawn.uniform(0.2, 2, shape)])
    return model


def twins(disturbed: bool = False) -> tuple[Any, Any]:
    ours, theirs = network(disturbed=disturbed), network(disturbed=disturbed)
    theirs.set_weights(ours.get_weights())
    return ours, theirs


def test_inference_answers_as_keras_predict(images: tuple[Any, Any]) -> None:
    model = network(disturbed=True)
    logits = ForwardPass(model.layers, "float32")(tf.constant(images[0]))
    np.testing.assert_allclose(tf.nn.softmax(logits), model.predict(images[0], verbose=0), atol=2e-6)


def check_gradients(loop: Any, optimizer: Any, *, tolerance: float) -> None:
    """Compare after one step by Adam's first moment: the gradient times (1 - beta_1), before the root amplifies it."""
    state = loop.state()
    momenta = [slot for slot in optimizer.variables if slot.path.endswith("momentum")]
    assert len(momenta) == len(loop.model.trainable_variables)
    for weight, slot in zip(loop.model.trainable_variables, momenta, strict=True):
        expected = slot.numpy()
        difference = np.linalg.norm(state[f"optimizer/first/{weight.path}"] - expected)
        assert difference <= tolerance * np.linalg.norm(expected) + 1e-6, weight.path  # some are nothing but rounding


def test_without_switches_gradients_agree_to_rounding(images: tuple[Any, Any]) -> None:
    def smooth() -> Any:
        keras.utils.set_random_seed(2)
        layer = keras.layers
        normalisation = layer.BatchNormalization(momentum=0.9, epsilon=0.01)
        model = keras.Sequential(
            [
                keras.Input((SIZE, SIZE, 3)),
                layer.Rescaling(1 / 255),
                layer.Conv2D(4, 5, strides=3),
                normalisation,
                layer.Conv2D(3, 3, padding="same", activation="tanh"),
                layer.Flatten(),
                layer.Dense(CLASSES, activation="softmax"),
            ]
        )
        normalisation.set_weights(np.array([[1, -0.5, 2, 0.1], [0, 1, -1, 0.5], [0, 1, 2, 3], [1, 2, 3, 4]]))
        return model

    ours, theirs = smooth(), smooth()
    loop = TrainingLoop(ours, Recipe(batch_size=COUNT), *images, seed=3)
    optimizer = keras.optimizers.Adam(1e-3)
    theirs.compile(optimizer, "sparse_categorical_crossentropy")
    order = loop.order(1)[0]
    loss, _ = loop.run_epoch(1)
    assert loss == pytest.approx(float(theirs.train_on_batch(images[0][order], images[1][order])), rel=1e-5)
    check_gradients(loop, optimizer, tolerance=1e-4)
    for kept, expected in zip(ours.layers[2].get_weights()[2:], theirs.layers[2].get_weights()[2:], strict=True):
        np.testing.assert_allclose(kept, expected, rtol=1e-5)


@pytest.mark.parametrize("frozen", [(), ("conv2d_1", "batch_normalization_1"), ("batch_normalization_2",)])
def test_a_step_has_the_gradients_and_moments_of_train_on_batch(
    images: tuple[Any, Any], frozen: tuple[str, ...]
) -> None:
    ours, theirs = twins(disturbed=True)
    for model in (ours, theirs):
        for name in frozen:
            model.get_layer(name).trainable = False
    loop = TrainingLoop(ours, Recipe(batch_size=COUNT, dropout=0.0), *images, seed=3)
    optimizer = keras.optimizers.Adam(1e-3)
    theirs.compile(optimizer, "sparse_categorical_crossentropy")
    order = loop.order(1)[0]
    loss, _ = loop.run_epoch(1)
    assert loss == pytest.approx(float(theirs.train_on_batch(images[0][order], images[1][order])), rel=1e-5)
    # ReLU and pooling switch on rounding, so that float32 itself is percents away from float64 here.
    check_gradients(loop, optimizer, tolerance=0.1)
    for layer in ("batch_normalization_1", "batch_normalization_2"):
        for kept, expected in zip(
            ours.get_layer(layer).non_trainable_variables, theirs.get_layer(layer).non_trainable_variables, strict=True
        ):
            np.testing.assert_allclose(kept.numpy(), expected.numpy(), rtol=1e-5, atol=1e-6)


def test_frozen_layers_keep_every_bit(images: tuple[Any, Any]) -> None:
    model = network(disturbed=True)
    frozen = ("conv2d_1", "batch_normalization_1", "conv2d_2", "batch_normalization_2")
    for name in frozen:
        model.get_layer(name).trainable = False
    before = {name: model.get_layer(name).get_weights() for name in frozen}
    third = model.get_layer("conv2d_3").get_weights()[0].copy()
    TrainingLoop(model, Recipe(batch_size=16), *images, seed=0).run_epoch(1)
    for name in frozen:
        for was, now in zip(before[name], model.get_layer(name).get_weights(), strict=True):
            np.testing.assert_array_equal(was, now)
    assert np.abs(third - model.get_layer("conv2d_3").get_weights()[0]).max() > 1e-4


@pytest.mark.parametrize("decay", [0.0, 0.1])
def test_adam_moves_weights_as_keras_does(decay: float) -> None:
    drawn = np.random.default_rng(0)
    layer = keras.layers.Dense(5)
    layer.build((None, 4))
    twin = keras.layers.Dense(5)
    twin.build((None, 4))
    twin.set_weights(layer.get_weights())
    if decay:
        theirs = keras.optimizers.AdamW(1e-2, weight_decay=decay)
        theirs.exclude_from_weight_decay(var_names=["bias"])
    else:
        theirs = keras.optimizers.Adam(1e-2)
    theirs.build(twin.trainable_variables)
    ours = Adam(layer.trainable_variables, decay)
    for step in range(1, 21):
        gradients = [tf.constant(drawn.normal(size=weight.shape), tf.float32) for weight in layer.trainable_variables]
        rate = 1e-2 / step
        theirs.learning_rate = rate
        theirs.apply(gradients, twin.trainable_variables)
        ours.apply(gradients, tf.constant(rate), tf.constant(float(step)))
    for mine, other in zip(layer.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(mine, other, rtol=1e-4, atol=1e-6)


def test_bfloat16_trains_float32_weights_and_is_evaluated_in_float32(images: tuple[Any, Any]) -> None:
    model, twin = twins()
    wide = TrainingLoop(twin, Recipe(batch_size=16), *images, seed=3)
    narrow = TrainingLoop(model, Recipe(batch_size=16, precision="bfloat16"), *images, seed=3)
    expected, _ = wide.run_epoch(1)
    loss, _ = narrow.run_epoch(1)
    assert loss != expected  # it did compute in another precision
    assert loss == pytest.approx(expected, rel=0.05)
    assert {value.dtype for name, value in narrow.state().items() if name.startswith("model/")} == {np.dtype("float32")}
    probabilities = narrow.evaluate(*images)[2]
    np.testing.assert_allclose(probabilities, model.predict(images[0], verbose=0), atol=2e-6)


def test_dropout_is_drawn_anew_for_each_step_and_layer_and_scales_what_stays() -> None:
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((4000,)), keras.layers.Dropout(0.25), keras.layers.Dense(4000)])
    head = model.layers[-1]
    head.set_weights([np.eye(4000, dtype=np.float32), np.zeros(4000, np.float32)])
    forward, ones = ForwardPass(model.layers, "float32"), tf.ones([1, 4000])
    first = forward(ones, key=tf.constant([1, 2])).numpy()
    assert set(np.unique(first)) == {np.float32(0), np.float32(4 / 3)}
    assert (first == 0).mean() == pytest.approx(0.25, abs=0.03)
    np.testing.assert_array_equal(first, forward(ones, key=tf.constant([1, 2])).numpy())
    assert (first != forward(ones, key=tf.constant([1, 3])).numpy()).mean() > 0.3
    np.testing.assert_array_equal(forward(ones).numpy(), np.ones((1, 4000), np.float32))


def test_where_an_epoch_is_divided_changes_no_bit_and_a_long_one_can_be_left(
    images: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = Recipe(batch_size=4, epochs=3, schedule="one_cycle", dropout=0.0, flip=True)
    states, losses = [], []
    for seconds in (1e9, 1e-9):  # in one part, and after the first part step by step
        monkeypatch.setattr("headstart.components.training.loop.PART_SECONDS", seconds)
        loop = TrainingLoop(network(), recipe, *images, seed=3)
        loop.warm_up()
        asked: list[int] = []
        losses.append([loop.run_epoch(epoch, lambda asked=asked: bool(asked.append(1))) for epoch in (1, 2)])
        states.append(loop.state())
        assert not asked  # what is left is short
    assert losses[0] == losses[1]
    for name, value in states[0].items():
        np.testing.assert_array_equal(value, states[1][name])
    monkeypatch.setattr("headstart.components.training.loop.LONG_SECONDS", 0.0)
    with pytest.raises(Interrupted, match="of 12 steps of epoch 3"):
        loop.run_epoch(3, lambda: True)
