"""Recipes and settings: one flat table of names, one recipe for both arms, every wrong value named."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headstart.components.errors import SettingError
from headstart.components.training.recipes import PRESETS
from headstart.components.training.settings import known, resolve
from headstart.components.training.stage_settings import StageSettings


@pytest.mark.parametrize("preset", PRESETS)
def test_the_arms_that_are_compared_share_one_recipe(preset):
    baseline, transfer, final = (resolve(preset, arm).recipe for arm in ("baseline", "transfer", "final"))
    assert baseline == transfer == final


def test_paper_is_adam_with_its_default_rate_and_no_augmentation():
    for arm in ("pretrain", "finetune", "final", "baseline", "transfer"):
        recipe = resolve("paper", arm).recipe
        assert (recipe.optimizer, recipe.learning_rate, recipe.schedule) == ("adam", 1e-3, "constant")
        assert not recipe.flip
        assert recipe.shift == 0
        assert recipe.patience > 0


def test_an_override_reaches_every_arm_or_one_stage():
    overrides = {"epochs": 3, "pretrain.epochs": 5, "target.batch_size": 16}
    assert resolve("paper", "pretrain", overrides).recipe.epochs == 5
    assert resolve("paper", "finetune", overrides).recipe.epochs == 3
    for arm in ("baseline", "transfer", "final"):
        assert resolve("paper", arm, overrides).recipe.epochs == 3
        assert resolve("paper", arm, overrides).recipe.batch_size == 16
    assert resolve("paper", "pretrain", overrides).recipe.batch_size != 16


def test_the_arm_that_trains_everything_has_a_learning_rate_of_its_own():
    def rate(**overrides):
        return resolve("paper", "finetuned", {key.replace("__", "."): value for key, value in overrides.items()})[
            0
        ].learning_rate

    assert rate() == pytest.approx(1e-4)
    assert rate(learning_rate=0.02) == pytest.approx(2e-3)
    assert rate(target__learning_rate=0.03, learning_rate=0.02) == pytest.approx(3e-3)
    assert rate(finetuned__learning_rate=0.5, target__learning_rate=0.03) == 0.5
    with pytest.raises(SettingError, match=r"transfer\.learning_rate: no such setting"):
        resolve("paper", "transfer", {"transfer.learning_rate": 0.1})


def test_numbers_as_a_cluster_hands_them_over():
    # A parameter of a pipeline that is a struct has floats only.
    assert resolve("paper", "final", {"epochs": 4.0, "flip": True}).recipe.epochs == 4


@pytest.mark.parametrize(
    ("overrides", "names"),
    [
        ({"epoch": 3}, ["epoch", "Did you mean epochs?"]),
        ({"baseline.epochs": 3}, ["baseline.epochs"]),
        ({"epochs": 0}, ["epochs"]),
        ({"epochs": "many"}, ["epochs", "many"]),
        ({"learning_rate": float("nan")}, ["learning_rate"]),
        ({"dropout": 1.0}, ["dropout"]),
        ({"final_trainable": "all"}, ["final_trainable", "last_two", "head", "dense"]),
        ({"threads": -1}, ["threads"]),
        ({"finetune_frozen": ["conv2d_9"]}, ["finetune_frozen", "conv2d_9"]),
    ],
)
def test_what_is_wrong_is_named(overrides, names):
    with pytest.raises(SettingError) as caught:
        resolve("paper", "finetune", overrides)
    for name in names:
        assert name in str(caught.value)


def test_unknown_preset_and_arm():
    with pytest.raises(SettingError, match=r"papers.*paper, fast, demo"):
        resolve("papers", "final")
    with pytest.raises(SettingError, match="arm"):
        resolve("paper", "middle")


@given(
    st.dictionaries(
        st.one_of(st.sampled_from(known()), st.text(max_size=12)),
        st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8), st.lists(st.text())),
        max_size=3,
    )
)
def test_any_override_resolves_or_says_what_is_wrong(overrides):
    try:
        resolve("fast", "transfer", overrides)
    except SettingError as error:
        assert any(name in str(error) or repr(name) in str(error) for name in overrides)


CONVOLUTIONS_1_TO_3 = ("conv2d_1", "batch_normalization_1", "conv2d_2", "batch_normalization_2", "conv2d_3")


@pytest.mark.parametrize(
    ("changes", "arm", "frozen"),
    [
        ({}, "pretrain", ()),
        ({}, "baseline", ()),
        ({}, "finetune", CONVOLUTIONS_1_TO_3),
        ({"freeze_batch_normalisation": False}, "finetune", ("conv2d_1", "conv2d_2", "conv2d_3")),
        ({}, "transfer", (*CONVOLUTIONS_1_TO_3, "conv2d_4", "dense_1")),
        ({"final_trainable": "head"}, "final", (*CONVOLUTIONS_1_TO_3, "conv2d_4", "dense_1", "dense_2")),
        ({"final_trainable": "dense"}, "transfer", (*CONVOLUTIONS_1_TO_3, "conv2d_4")),
        ({"finetune_frozen": ["conv2d_1"]}, "finetune", ("conv2d_1", "batch_normalization_1")),
        ({"finetune_frozen": []}, "finetune", ()),
        ({}, "finetuned", ()),
        ({}, "frozen-random", (*CONVOLUTIONS_1_TO_3, "conv2d_4", "dense_1")),
        ({"final_trainable": "dense"}, "frozen-random", (*CONVOLUTIONS_1_TO_3, "conv2d_4")),
        ({"final_trainable": "dense"}, "head", (*CONVOLUTIONS_1_TO_3, "conv2d_4", "dense_1", "dense_2")),
    ],
)
def test_what_each_stage_freezes(changes, arm, frozen):
    assert StageSettings(**changes).frozen_layers(arm) == frozen


def test_stride_follows_the_image_size_unless_it_is_set():
    assert (StageSettings().stride(52), StageSettings().stride(100)) == (1, 2)
    assert StageSettings(first_stride=3).stride(52) == 3


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"normalisation_momentum": 0.9}, ("batch_norm_momentum", 0.9)),
        ({"minimum_improvement": 0.01}, ("min_delta", 0.01)),
        ({"weights": "last"}, ("restore_best_weights", False)),
        ({"target.weights": "best"}, ("restore_best_weights", True)),
        ({"cache_prefix": False}, ("cache_features", False)),
    ],
)
def test_earlier_names_are_accepted(old, new):
    assert getattr(resolve("fast", "baseline", old).recipe, new[0]) == new[1]
    assert resolve("paper", "final", {"prefix_memory_share": 0.1}).process.input_memory_share == 0.1
