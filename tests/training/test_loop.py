"""What the epoch loop promises, whatever is inside it."""

import numpy as np
import pytest
import tiny_images

keras = pytest.importorskip("keras")

from headstart.components.training.features import Backbone, frozen_depth, head_of  # noqa: E402
from headstart.components.training.freezing import freeze, layer_digests  # noqa: E402
from headstart.components.training.loop import TrainingLoop  # noqa: E402
from headstart.components.training.networks.blocks import up_to_first_trained  # noqa: E402
from headstart.components.training.networks.paper import build_network  # noqa: E402
from headstart.components.training.recipes import Recipe  # noqa: E402
from headstart.components.training.stage_settings import StageSettings  # noqa: E402

IMAGES, LABELS = tiny_images.pictures(3, 70, seed=1)
MOVED = {"flip": True, "shift": 2, "dropout": 0.3, "optimizer": "adamw", "weight_decay": 0.02, "schedule": "one_cycle"}


def build(recipe: Recipe, frozen: tuple[str, ...] = (), seed: int = 1):
    keras.utils.set_random_seed(seed)
    model = build_network(tiny_images.SIZE, 3, dropout=recipe.dropout)
    # Statistics and offsets as after some training: at zero and one, mistakes with them would not show.
    drawn = np.random.default_rng(seed)
    for number in (1, 2):
        layer = model.get_layer(f"batch_normalization_{number}")
        layer.set_weights([value + drawn.uniform(0.05, 0.3, value.shape) for value in layer.get_weights()])
    freeze(model, frozen)
    return model


def loop_of(recipe: Recipe, model=None, *, seed: int = 7, frozen: tuple[str, ...] = ()) -> TrainingLoop:
    return TrainingLoop(model or build(recipe, frozen), recipe, IMAGES, LABELS, seed=seed)


def weights(loop: TrainingLoop) -> list[np.ndarray]:
    return [np.array(value) for value in loop.model.get_weights()]


def equal(first: list[np.ndarray], second: list[np.ndarray]) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first, second, strict=True))


def test_each_epoch_has_its_own_order_and_every_batch_one_size():
    loop = loop_of(Recipe(batch_size=16))
    orders = [loop.order(epoch) for epoch in (1, 2, 3)]
    assert [order.shape for order in orders] == [(4, 16)] * 3  # 70 images: six wait for another epoch
    for order in orders:
        assert len(set(order.ravel().tolist())) == 64
        assert order.min() >= 0
        assert order.max() < 70
    assert not np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[1], orders[2])
    assert set(orders[0].ravel()) != set(orders[1].ravel())  # and not always the same six
    assert np.array_equal(orders[1], loop_of(Recipe(batch_size=16)).order(2))
    assert not np.array_equal(orders[1], loop_of(Recipe(batch_size=16), seed=8).order(2))


def test_a_batch_larger_than_the_data_is_all_of_it():
    loop = loop_of(Recipe(batch_size=4096))
    assert (loop.batch_size, loop.steps) == (70, 1)


def test_one_cycle_rises_to_its_peak_and_ends_near_nothing():
    loop = loop_of(Recipe(batch_size=16, epochs=10, schedule="one_cycle", learning_rate=0.01, warmup=0.3))
    rates = np.concatenate([loop.learning_rates(epoch) for epoch in range(1, 11)])
    assert len(rates) == 40
    assert rates.max() == pytest.approx(0.01, rel=1e-6)
    assert rates.argmax() in (11, 12)  # three of ten epochs of four steps
    assert (np.diff(rates[:12]) > 0).all()
    assert (np.diff(rates[12:]) < 0).all()
    assert rates[-1] < 1e-4
    constant = loop_of(Recipe(batch_size=16, learning_rate=0.01))
    assert set(constant.learning_rates(5).tolist()) == {np.float32(0.01)}


@pytest.mark.parametrize("changes", [{}, MOVED])
def test_warming_up_changes_nothing(changes):
    loop = loop_of(Recipe(batch_size=16, **changes))
    before = loop.state()
    loop.warm_up()
    after = loop.state()
    assert set(before) == set(after)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    untouched = loop_of(Recipe(batch_size=16, **changes))
    assert loop.run_epoch(1) == untouched.run_epoch(1)
    assert equal(weights(loop), weights(untouched))


@pytest.mark.parametrize("changes", [{}, MOVED])
def test_an_epoch_can_be_repeated_bit_by_bit_and_follows_from_state_seed_and_number(changes):
    recipe = Recipe(batch_size=16, epochs=6, **changes)
    first = loop_of(recipe)
    first.run_epoch(1)
    state = first.state()
    result = first.run_epoch(2)
    ended = weights(first)
    # In another loop of another model, without the first epoch: nothing but the state counts.
    second = loop_of(recipe, build(recipe, seed=99))
    second.restore(state)
    assert second.run_epoch(2) == result
    assert equal(weights(second), ended)
    second.restore(state)
    second.run_epoch(3)
    assert not equal(weights(second), ended)


def test_restore_says_what_is_missing():
    loop = loop_of(Recipe(batch_size=16))
    with pytest.raises(KeyError):
        loop.restore({})


@pytest.mark.parametrize("frozen", [(), StageSettings().frozen_layers("finetune")])
def test_it_trains_as_keras_does_on_the_same_batches(frozen):
    recipe = Recipe(batch_size=16, learning_rate=1e-4)
    loop = loop_of(recipe, frozen=frozen)
    reference = build(recipe, frozen)
    reference.compile(keras.optimizers.Adam(1e-4), "sparse_categorical_crossentropy", metrics=["accuracy"])
    for epoch in (1, 2):
        loss, accuracy = loop.run_epoch(epoch)
        order = loop.order(epoch).ravel()
        history = reference.fit(IMAGES[order], LABELS[order], batch_size=16, shuffle=False, verbose=0).history
        assert loss == pytest.approx(history["loss"][0], rel=1e-3)
        assert accuracy == pytest.approx(history["accuracy"][0], abs=1 / 64)
    for ours, theirs in zip(weights(loop), reference.get_weights(), strict=True):
        # Adam moves a weight by about the rate a step, whatever its gradient: where that is nearly nothing, its sign
        # is chance. Eight steps of 1e-4 bound what chance can do; nearly all weights are far closer.
        assert np.abs(ours - theirs).max() <= 2 * 8 * 1e-4
        assert np.median(np.abs(ours - theirs)) <= 2e-5


def test_evaluation_is_that_of_keras_for_any_number_of_images():
    recipe = Recipe(batch_size=16, evaluation_batch_size=32)
    loop = loop_of(recipe)
    loop.run_epoch(1)
    loop.model.compile(loss="sparse_categorical_crossentropy", metrics=["accuracy"])
    for count in (1, 31, 32, 70):
        loss, accuracy, probabilities = loop.evaluate(IMAGES[:count], LABELS[:count])
        theirs = loop.model.evaluate(IMAGES[:count], LABELS[:count], verbose=0)
        assert probabilities.shape == (count, 3)
        assert probabilities.dtype == np.float32
        assert loss == pytest.approx(theirs[0], rel=1e-4)
        assert accuracy == pytest.approx(theirs[1], abs=1e-6)
        assert np.allclose(probabilities, loop.model.predict(IMAGES[:count], verbose=0), atol=1e-5)


@pytest.mark.parametrize("arm", ["finetune", "transfer"])
def test_frozen_layers_keep_every_bit(arm):
    frozen = StageSettings().frozen_layers(arm)
    loop = loop_of(Recipe(batch_size=16, **MOVED), frozen=frozen)
    before = layer_digests(loop.model)
    loop.run_epoch(1)
    after = layer_digests(loop.model)
    assert {name for name in before if before[name] != after[name]} == set(before) - set(frozen)


def test_batch_normalisation_that_is_not_named_moves_on():
    frozen = StageSettings(freeze_batch_normalisation=False).frozen_layers("finetune")
    loop = loop_of(Recipe(batch_size=16), frozen=frozen)
    before = layer_digests(loop.model)
    loop.run_epoch(1)
    after = layer_digests(loop.model)
    assert before["batch_normalization_1"] != after["batch_normalization_1"]
    assert before["conv2d_1"] == after["conv2d_1"]


@pytest.mark.parametrize(
    ("settings", "arm", "recipe", "ends_before"),
    [
        ({}, "finetune", {}, "conv2d_4"),
        ({}, "transfer", {}, "dense_2"),
        ({}, "transfer", {"dropout": 0.5}, "dropout_1"),  # what is drawn again each time cannot be computed once
        ({"final_trainable": "dense"}, "final", {}, "dense_1"),
        ({"final_trainable": "head"}, "final", {}, "dense_3"),
        ({"final_trainable": "head"}, "final", {"dropout": 0.5}, "dropout_1"),
        ({"freeze_batch_normalisation": False}, "transfer", {}, "batch_normalization_1"),
        ({}, "baseline", {}, None),
        ({}, "pretrain", {}, None),
        ({}, "transfer", {"flip": True}, None),
        ({}, "transfer", {"shift": 1}, None),
        ({}, "transfer", {"cache_features": False}, None),
    ],
)
def test_how_far_the_prefix_reaches(settings, arm, recipe, ends_before):
    chosen = Recipe(**recipe)
    model = build(chosen, StageSettings(**settings).frozen_layers(arm))
    length = frozen_depth(model, chosen)
    assert (model.layers[length].name if length else None) == ends_before


@pytest.mark.parametrize(
    ("settings", "arm", "last"),
    [
        ({}, "baseline", "batch_normalization_1"),
        ({}, "finetune", "conv2d_4"),
        # Normalisation that trains in a block whose kernel is frozen stops with the first kernel that trains.
        ({"freeze_batch_normalisation": False}, "finetune", "conv2d_4"),
        ({"finetune_frozen": ("conv2d_2",)}, "finetune", "batch_normalization_1"),
        ({}, "transfer", "dense_2"),
        ({"final_trainable": "head"}, "transfer", ""),
    ],
)
def test_how_far_layers_stop_learning_with_the_first_block(settings, arm, last):
    model = build(Recipe(), StageSettings(**settings).frozen_layers(arm))
    names = [layer.name for layer in model.layers if layer.weights]
    assert up_to_first_trained(model) == ({*names[: names.index(last) + 1]} if last else set())


def layers_of(model) -> dict[str, list[np.ndarray]]:
    return {layer.name: layer.get_weights() for layer in model.layers if layer.weights}


@pytest.mark.parametrize("share", [1.0, 0.5])  # of three epochs
@pytest.mark.parametrize(
    ("settings", "arm", "first"),
    [({}, "finetune", "conv2d_4"), ({}, "transfer", "dense_2"), ({"final_trainable": "head"}, "transfer", "")],
)
def test_training_on_the_prefix_computed_once_is_the_same_training(settings, arm, first, share):
    recipe = Recipe(batch_size=16, dropout=0.0, learning_rate=1e-4, epochs=3, first_block_share=share)
    frozen = StageSettings(**settings).frozen_layers(arm)
    whole = loop_of(recipe, frozen=frozen)
    model = build(recipe, frozen)
    prefix = Backbone(model, frozen_depth(model, recipe), recipe)
    features = prefix.features(IMAGES, training=True)
    assert features.dtype == np.float32
    head = head_of(model, frozen_depth(model, recipe))
    cached = TrainingLoop(head, recipe, features, LABELS, seed=7, whole=model)
    cached.warm_up()
    before = layers_of(model)
    for epoch in (1, 2, 3):
        assert cached.run_epoch(epoch) == pytest.approx(whole.run_epoch(epoch), rel=1e-4)
        after = layers_of(model)
        still = {name for name in after if all(map(np.array_equal, before[name], after[name]))} - {*frozen}
        assert still == ({first} - {""} if share < 1 and epoch == 3 else set())
        before = after
    for ours, theirs in zip(model.get_weights(), weights(whole), strict=True):
        assert np.abs(ours - theirs).max() <= 12 * 1e-4
        assert np.median(np.abs(ours - theirs)) <= 1e-6
    answers = cached.evaluate(prefix.features(IMAGES), LABELS)
    assert np.allclose(answers[2], whole.evaluate(IMAGES, LABELS)[2], atol=1e-4)


def test_features_that_are_not_finite_are_refused():
    recipe = Recipe()
    model = build(recipe, StageSettings().frozen_layers("transfer"))
    # Not NaN: a ReLU that TensorFlow fuses with a convolution or an inner product turns that into 0, which is why
    # weights are looked at as well.
    layer = model.get_layer("dense_1")
    kernel, bias = layer.get_weights()
    layer.set_weights([kernel, np.full_like(bias, np.inf)])
    with pytest.raises(FloatingPointError, match="not finite"):
        Backbone(model, frozen_depth(model, recipe), recipe).features(IMAGES)
