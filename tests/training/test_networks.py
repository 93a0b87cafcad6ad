"""Every network: it trains, goes on bit by bit, freezes what its rule says, is exported and predicted with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_images

from headstart.components.errors import HeadstartError, SettingError
from headstart.components.preflight.parameters import check_parameters
from headstart.components.training.specification import RunSpecification

pytest.importorskip("tensorflow")
import keras

from headstart.components.training import export, freezing
from headstart.components.training.features import Backbone, frozen_depth, head_of
from headstart.components.training.loop import TrainingLoop
from headstart.components.training.networks import BLOCKS as BLOCKS_KNOWN
from headstart.components.training.networks import NAMES, blocks, own_network, registry
from headstart.components.training.networks.own import check
from headstart.components.training.prediction import classify
from headstart.components.training.recipes import recipe
from headstart.components.training.settings import resolve
from headstart.components.training.stage_settings import StageSettings

LITE = f"{Path(__file__).parents[2] / 'docs/examples/efficientnet_lite0.py'}:network"
# Two steps of eight images.
RECIPE = recipe("demo", "transfer", {"batch_size": 8, "epochs": 2, "learning_rate": 1e-4})
# How many blocks the papers' architectures have, with the first convolution and what comes after the last block.
BLOCKS = {
    "paper": 6,
    "mobilenet-v3-small": 1 + 11 + 1,
    "mobilenet-v3-large": 1 + 15 + 1,
    "efficientnet-v2-b0": 1 + 21 + 1,
    "resnet50": 1 + 16,
    "convnext-tiny": 1 + 3 + 18 + 1,
    LITE: 1 + 16 + 1,
}


def built(name: str, **settings: Any) -> Any:
    keras.utils.set_random_seed(3)
    return registry.build(StageSettings(network=name, **settings), RECIPE, tiny_images.SIZE, 3)


@pytest.mark.parametrize("name", [*NAMES, LITE], ids=lambda name: name.rpartition("/")[2])
def test_a_network_trains_goes_on_bit_by_bit_and_is_exported(name: str, tmp_path: Path) -> None:
    model = built(name)
    check(model, tiny_images.SIZE, 3)
    assert len(blocks.blocks(model)) == BLOCKS[name]
    images, labels = tiny_images.pictures(3, 16, seed=1)
    loop = TrainingLoop(model, RECIPE, images, labels, seed=1)
    assert loop.steps == 2
    loop.run_epoch(1)
    state = loop.state()
    loop.run_epoch(2)
    once = loop.state()
    loop.restore(state)
    loop.run_epoch(2)
    again = loop.state()
    assert again.keys() == once.keys()
    assert all(np.array_equal(once[key], again[key]) for key in once)
    assert any(not np.array_equal(state[key], once[key]) for key in once)

    answers = loop.evaluate(images, labels)[2]
    plain = built(name)
    freezing.carry_over(freezing.weights_of(model), plain, new_head="")
    export.save_model(plain, tmp_path / "model", {"classes": ["a", "b", "c"], "image_size": tiny_images.SIZE})
    export.save_served(plain, tmp_path / "served", ["a", "b", "c"], tiny_images.SIZE)
    _write_png(images[0], tmp_path / "image.png")
    for folder in (tmp_path / "model", tmp_path / "served"):
        (prediction,) = classify(folder, [tmp_path / "image.png"])
        assert not prediction.error
        found = dict(prediction.classes)
        assert np.allclose([found[name] for name in "abc"], answers[0], atol=1e-3), folder


def _write_png(pixels: Any, path: Path) -> None:
    from PIL import Image

    Image.fromarray(pixels).save(path)


@pytest.mark.parametrize("name", ["paper", "mobilenet-v3-small"])
def test_transfer_by_depth_freezes_as_many_blocks_and_one_more_freezes_no_other_layers(name: str) -> None:
    model, settings, before = built(name), StageSettings(network=name), ()
    for depth in range(BLOCKS[name] + 1):
        frozen = registry.frozen_layers(model, settings, f"transfer@{depth}")
        assert frozen == blocks.chosen(model, f"first_{depth}_blocks" if depth else "nothing")
        assert frozen[: len(before)] == before
        assert len(frozen) > len(before) or not depth
        before = frozen
    assert before == blocks.chosen(model, "all_but_head")
    with pytest.raises(SettingError, match=rf"{BLOCKS[name]} (before|blocks)"):
        registry.frozen_layers(model, settings, f"transfer@{BLOCKS[name] + 1}")


def test_more_blocks_than_a_known_network_has_are_refused_before_anything_is_read() -> None:
    for name, count in BLOCKS_KNOWN.items():
        assert count == BLOCKS[name]
        asked = {"seeds": [1], "settings": {"network": name}}
        check_parameters({**asked, "arms": ["baseline", f"transfer@{count}"]})
        with pytest.raises(SettingError, match=f"has {count} before its head"):
            check_parameters({**asked, "arms": ["baseline", f"transfer@{count + 1}"]})


@pytest.mark.parametrize("name", [name for name in NAMES if name != "paper"] + [LITE], ids=lambda name: name[-20:])
def test_what_the_rule_freezes_keeps_every_bit_and_its_outputs_are_cached(name: str) -> None:
    model = built(name)
    frozen = registry.frozen_layers(model, StageSettings(network=name), "transfer")
    assert blocks.head(model) not in frozen
    assert len(frozen) == len(blocks.weighted(model)) - 1
    freezing.freeze(model, frozen)
    before = freezing.layer_digests(model)
    images, labels = tiny_images.pictures(3, 16, seed=1)
    depth = frozen_depth(model, RECIPE)
    assert depth, "one tensor goes from what is frozen to the head"
    features = Backbone(model, depth, RECIPE).features(images)
    assert features.shape[1:] == head_of(model, depth).input_shape[1:]
    # EfficientNetV2 drops whole branches at random, frozen or not: its cut is before the first that does.
    if name != "efficientnet-v2-b0":
        assert features[0].size <= 2048, "pooled: the smallest that is the same"
    loop = TrainingLoop(head_of(model, depth), RECIPE, features, labels, seed=1)
    loop.run_epoch(1)
    after = freezing.layer_digests(model)
    assert [layer for layer in before if before[layer] != after[layer]] == [blocks.head(model)]
    direct = np.asarray(model(images.astype(np.float32), training=False))
    assert np.allclose(loop.evaluate(features, labels)[2], direct, atol=1e-5)


def test_rules_say_which_blocks_are_frozen() -> None:
    model = built("mobilenet-v3-small")
    first = blocks.chosen(model, "first_1_blocks")
    assert first == ("conv", "conv_bn")
    most = blocks.chosen(model, "all_but_last_2_blocks")
    assert set(blocks.chosen(model, "all_but_head")) - set(most) == {
        "conv_1", "conv_1_bn", *(layer.name for layer in model.layers if layer.name.startswith("expanded_conv_10_")
                                 and layer.weights)
    }  # fmt: skip
    assert blocks.chosen(model, "conv_1*, conv") == ("conv", "conv_1", "conv_1_bn")
    assert blocks.chosen(model, "conv*", normalisation=False) == ("conv", "conv_1")
    assert blocks.chosen(model, "nothing") == ()
    with pytest.raises(SettingError, match="13 blocks"):
        blocks.chosen(model, "first_14_blocks")
    with pytest.raises(SettingError, match="block7"):
        blocks.chosen(model, "block7*")


def test_partly_frozen_residual_networks_are_cached_where_one_tensor_is_left() -> None:
    model = built("efficientnet-v2-b0")
    # The next block adds its input to its output and drops its branch at random: the cut is before it.
    freezing.freeze(model, blocks.chosen(model, "first_5_blocks"))
    depth = frozen_depth(model, RECIPE)
    assert depth
    assert model.layers[depth - 1].name.startswith("block2a")
    images, _ = tiny_images.pictures(3, 4, seed=1)
    features = Backbone(model, depth, RECIPE).features(images)
    rest = head_of(model, depth)(features, training=False)
    assert np.allclose(np.asarray(rest), np.asarray(model(images.astype(np.float32), training=False)), atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"network": "resnet"}, "resnet50"),
        ({"network": "x:y z"}, "network"),
        ({"network": "resnet50", "final_trainable": "head"}, "backbone_layers"),
        ({"network": "resnet50", "first_stride": 2}, "first_stride"),
        ({"early_layers": "nothing", "finetune_frozen": ["conv2d_1"]}, "Give one"),
        ({"early_layers": "first_0_blocks ("}, "first_N_blocks"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_built(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingError, match=message):
        resolve("demo", "transfer", settings)


OWN = """
import keras
def small(image_size, classes, dropout=0.0):
    inputs = keras.Input((image_size, image_size, 3))
    x = keras.layers.Rescaling(1 / 255)(inputs)
    x = keras.layers.Conv2D(4, 3, strides=2, activation="relu")(x)
    x = keras.layers.BatchNormalization()(x)
    y = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    x = keras.layers.Add()([x, y])
    x = keras.layers.GlobalAveragePooling2D()(x)
    if dropout:
        x = keras.layers.Dropout(dropout)(x)
    return keras.Model(inputs, keras.layers.Dense(classes, activation="softmax")(x))
def logits(image_size, classes):
    model = small(image_size, classes)
    model.layers[-1].activation = keras.activations.linear
    return keras.Model(model.inputs, model.layers[-1](model.layers[-2].output))
def code(image_size, classes):
    inputs = keras.Input((image_size, image_size, 3))
    x = keras.layers.Lambda(lambda y: y / 255)(inputs)
    return keras.Model(inputs, keras.layers.Dense(classes, "softmax")(keras.layers.Flatten()(x)))
def nothing(image_size, classes):
    return None
def broken(image_size, classes):
    raise RuntimeError("no such thing")
def wrong_size(image_size, classes):
    return small(image_size + 1, classes)
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    file = tmp_path / "own.py"
    file.write_text(OWN)
    return file


@pytest.mark.parametrize(
    ("function", "message"),
    [
        ("logits", "softmax"),
        ("code", "safely"),
        ("nothing", "NoneType"),
        ("broken", "no such thing"),
        ("wrong_size", "expected"),
        ("absent", "absent"),
    ],
)
def test_a_network_of_ones_own_that_cannot_be_used_is_refused(own: Path, function: str, message: str) -> None:
    with pytest.raises(SettingError, match=message):
        built(f"{own}:{function}")


def test_a_missing_file_or_module_is_named() -> None:
    assert own_network("paper") is None
    with pytest.raises(SettingError, match=r"nowhere\.py"):
        built("/nowhere.py:network")
    with pytest.raises(SettingError, match="in the image"):
        built("no_such_module:network")


def test_two_stages_of_a_network_of_ones_own(own: Path, zygote: Any, source_set: Path, target_set: Path) -> None:
    """Its layers have no names: weights land where they belong all the same, and what is frozen is in the record."""
    settings = {"network": f"{own}:small", "batch_size": 16, "epochs": 2}
    folder = own.parent
    first = tiny_images.call(folder, "pretrain", source_set, settings=settings, model=folder / "first")
    assert zygote.run(RunSpecification(**first), folder) == 0
    second = tiny_images.call(
        folder, "final", target_set, settings=settings, initial_model=folder / "first", model=folder / "second",
        saved_model=folder / "served",
    )  # fmt: skip
    assert zygote.run(RunSpecification(**second), folder) == 0
    record = json.loads((folder / "final.json").read_text())
    assert record["status"] == "succeeded", record["reason"]
    assert record["prefix_cached"]
    assert record["stage"]["frozen"] == ["conv2d", "batch_normalization", "conv2d_1"]
    before, after = (export.load_model(folder / name)[0] for name in ("first", "second"))
    for layer in record["stage"]["frozen"]:
        assert freezing.layer_digests(before)[layer] == freezing.layer_digests(after)[layer]
    assert json.loads((folder / "second/model.json").read_text())["network"] == settings["network"]


def test_another_network_code_is_another_run(own: Path, source_set: Path) -> None:
    spec = RunSpecification(
        **tiny_images.call(own.parent, "pretrain", source_set, settings={"network": f"{own}:small"})
    )
    before = spec.fingerprint("data", None)
    own.write_text(OWN.replace("Conv2D(4", "Conv2D(5"))
    assert spec.fingerprint("data", None) != before


def test_a_model_of_another_network_is_refused_by_layer_name() -> None:
    with pytest.raises(HeadstartError, match="conv2d_1"):
        freezing.carry_over(freezing.weights_of(built("mobilenet-v3-small")), built("paper"), new_head="dense_3")


def test_recipes_follow_the_image_size() -> None:
    small, large = (resolve("fast", "pretrain", None, size).recipe for size in (52, 208))
    assert large.shift == 4 * small.shift
    assert large.evaluation_batch_size < small.evaluation_batch_size
    assert resolve("fast", "pretrain", {"shift": 1, "evaluation_batch_size": 500}, 208).recipe.shift == 1
