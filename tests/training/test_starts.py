"""Starting from a model that is there already: every kind that is taken, and every kind that is refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_images

from headstart.components.errors import HeadstartError, SettingError
from headstart.components.preflight.parameters import check_parameters
from headstart.components.records import Given

pytest.importorskip("tensorflow")
import keras

from headstart.components.training import export, prepared_models, starts
from headstart.components.training.networks import registry
from headstart.components.training.recipes import recipe
from headstart.components.training.stage_settings import StageSettings


def network(classes: int, **settings: Any) -> Any:
    return registry.build(StageSettings(**settings), recipe("demo", "pretrain"), tiny_images.SIZE, classes)


@pytest.fixture(scope="module")
def model() -> Any:
    keras.utils.set_random_seed(5)
    return network(4)


@pytest.fixture
def ours(model: Any, tmp_path: Path) -> Path:
    """A folder as the fine-tuning writes it, and beside it what a run's output folder holds."""
    facts = {"arm": "finetune", "seed": 7, "classes": list("abcd"), "image_size": tiny_images.SIZE, "data": "d"}
    export.save_model(model, tmp_path / "ours", facts)
    (tmp_path / "run/model").mkdir(parents=True)
    for name in ("model.keras", "model.json"):
        shutil.copy(tmp_path / "ours" / name, tmp_path / "run/model" / name.replace("model", "finetuned"))
    (tmp_path / "run/summary.json").write_text(json.dumps({"preparation_seconds": 1800.0}))
    return tmp_path / "ours"


def fetched(uri: Path, folder: Path, hours: float | None = None) -> tuple[Given, Any, dict[str, Any]]:
    given = starts.fetch_start(str(uri), folder, preparation=0, hours=hours, network=network)
    loaded, description = export.load_model(folder)
    return given, loaded, description


def same(first: Any, second: Any) -> bool:
    return all(np.array_equal(a, b) for a, b in zip(first.get_weights(), second.get_weights(), strict=True))


def test_every_kind_of_model_gives_the_same_weights(model: Any, ours: Path, tmp_path: Path) -> None:
    model.save(tmp_path / "foreign.keras")
    model.save_weights(tmp_path / "some.weights.h5")
    export.save_served(model, tmp_path / "served", list("abcd"), tiny_images.SIZE)
    kinds = {
        "folder": (ours, None),
        "file": (ours / "model.keras", None),
        "foreign": (tmp_path / "foreign.keras", None),
        "weights": (tmp_path / "some.weights.h5", None),
        "served": (tmp_path / "served", None),
        "run": (tmp_path / "run", 0.5),
    }
    for name, (uri, hours) in kinds.items():
        given, loaded, description = fetched(uri, tmp_path / f"out-{name}")
        assert same(loaded, model), name
        assert given == Given(left_out=["pretrain"], source=str(uri), hours=hours), name
        assert description["given"] == given.model_dump()
        assert description["weights"] == export.read_description(ours)["weights"], name


def test_hours_that_were_given_win_over_measured_ones(ours: Path, tmp_path: Path) -> None:
    assert fetched(tmp_path / "run", tmp_path / "out", 3.0)[0].hours == 3.0


def test_a_store_gives_the_prepared_model_that_it_keeps(model: Any, ours: Path, tmp_path: Path) -> None:
    from headstart.components.promotion.store import open_store

    store = open_store(str(tmp_path / "store"))
    store.put_prepared(ours)
    given, loaded, _ = fetched(tmp_path / "store", tmp_path / "out")
    assert same(loaded, model)
    assert given.hours is None


def test_a_stage_that_was_left_out_hands_the_model_on(model: Any, ours: Path, tmp_path: Path) -> None:
    fetched(ours, tmp_path / "first")
    starts.hand_on("finetune", tmp_path / "first", tmp_path / "second")
    loaded, description = export.load_model(tmp_path / "second")
    assert same(loaded, model)
    assert description["given"]["left_out"] == ["pretrain", "finetune"]


def test_weights_of_another_network_are_refused_by_layer_name(tmp_path: Path) -> None:
    inputs = keras.Input((tiny_images.SIZE, tiny_images.SIZE, 3))
    x = keras.layers.Conv2D(7, 5, name="conv2d_1")(inputs)
    outputs = keras.layers.Dense(4, "softmax", name="dense_3")(keras.layers.GlobalAveragePooling2D()(x))
    other = keras.Model(inputs, outputs)
    other.save_weights(tmp_path / "other.weights.h5")
    export.save_served(other, tmp_path / "served", list("abcd"), tiny_images.SIZE)
    with pytest.raises(HeadstartError, match=r"other\.weights\.h5.*conv2d_1"):
        fetched(tmp_path / "other.weights.h5", tmp_path / "out")
    with pytest.raises(HeadstartError, match="served does not fit"):
        fetched(tmp_path / "served", tmp_path / "out")
    assert not (tmp_path / "out").exists()


OWN = """
import keras

@keras.saving.register_keras_serializable("test_starts")
class Scale(keras.layers.Layer):
    def call(self, pixels):
        return pixels / 255

@keras.saving.register_keras_serializable("test_starts")
class Whole(keras.Model):
    def build(self, shape):
        super().build(shape)

    def call(self, pixels):
        return pixels

def network(image_size, classes):
    raise AssertionError("is not called")
"""


def test_layers_of_ones_own_are_loaded_where_the_module_of_the_network_registers_them(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(OWN)
    own = f"{tmp_path / 'own.py'}:network"
    registry.load_own(own)
    inputs = keras.Input((8, 8, 3))
    scaled = keras.saving.get_registered_object("test_starts>Scale")()(inputs)
    keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(scaled))).save(tmp_path / "mine.keras")
    keras.Model(inputs, keras.layers.Lambda(lambda pixels: pixels)(scaled)).save(tmp_path / "code.keras")
    with pytest.raises(HeadstartError, match=r"code\.keras"):
        fetched(tmp_path / "code.keras", tmp_path / "out")
    prepared = [str(tmp_path / "mine.keras")]
    with pytest.raises(HeadstartError, match=r"(?s)mine\.keras.*module of your --network"):
        prepared_models.fetch_prepared(prepared, tmp_path / "out", 8)  # in another process, where nothing is registered
    assert prepared_models.fetch_prepared(prepared, tmp_path / "out", 8, own) == 1
    keras.saving.get_registered_object("test_starts>Whole")().save(tmp_path / "whole.keras")
    with pytest.raises(SettingError, match=r"whole\.keras holds a Whole, expected a functional or sequential model"):
        prepared_models.fetch_prepared([str(tmp_path / "whole.keras")], tmp_path / "out", 8, own)
    assert "dense" in "".join(export.load_weights(tmp_path / "out" / "0")[0])


def test_the_module_of_the_network_is_imported_only_where_a_file_has_layers_that_keras_does_not_know(
    tmp_path: Path,
) -> None:
    (tmp_path / "own.py").write_text(OWN)
    registry.load_own(f"{tmp_path / 'own.py'}:network")
    inputs = keras.Input((8, 8, 3))
    scaled = keras.saving.get_registered_object("test_starts>Scale")()(inputs)
    for name, pixels in (("own", scaled), ("plain", inputs)):
        keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(pixels))).save(tmp_path / f"{name}.keras")
    absent = "absent_from_this_image:network"
    assert prepared_models.fetch_prepared([str(tmp_path / "plain.keras")], tmp_path / "out", 8, absent) == 1
    with pytest.raises(SettingError, match=r"(?s)own\.keras.*Scale.*absent_from_this_image cannot be imported"):
        prepared_models.fetch_prepared([str(tmp_path / "own.keras")], tmp_path / "out", 8, absent)


def test_code_damage_and_other_files_are_refused(model: Any, ours: Path, tmp_path: Path) -> None:
    inputs = keras.Input((8, 8, 3))
    code = keras.Model(inputs, keras.layers.Lambda(lambda x: x * 2)(inputs))
    code.save(tmp_path / "code.keras")
    (tmp_path / "junk.keras").write_bytes(b"junk")
    (tmp_path / "junk.weights.h5").write_bytes(b"junk")
    (tmp_path / "old.h5").write_bytes(b"junk")
    (tmp_path / "empty").mkdir()
    for name in ("code.keras", "junk.keras", "junk.weights.h5", "old.h5", "empty", "absent.keras"):
        with pytest.raises(HeadstartError, match=name.replace(".", r"\.")):
            fetched(tmp_path / name, tmp_path / "out")
    content = (ours / "model.keras").read_bytes()
    (ours / "model.keras").write_bytes(content[:-1] + b"x")
    with pytest.raises(HeadstartError, match="SHA-256"):
        fetched(ours, tmp_path / "out")
    with pytest.raises(SettingError, match="https"):
        starts.fetch_start("https://example.org/a.keras", tmp_path / "out", preparation=0, hours=None, network=network)
    assert not (tmp_path / "out").exists()


def test_the_process_that_fetches_passes_on_what_is_wrong(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match=r"nowhere\.keras"):
        starts.fetch(str(tmp_path / "nowhere.keras"), tmp_path / "out", preparation=0, hours=None, preset="demo",
                     settings={}, image_size=32)  # fmt: skip


SETS = {"source_data": "none", "intermediate_data": "none", "target_data": "/photos", "prepared": "/m.keras"}


def test_what_would_select_from_a_set_of_ones_own_is_refused() -> None:
    for name, value in {"classes": {"a": "x", "b": "*"}, "images_per_class": 10, "test_images_per_class": 5}.items():
        sets = {"intermediate_data": "demo:fruits", "target_data": "/photos"}
        check_parameters({**sets, "target_data": "", name: value})
        with pytest.raises(SettingError, match=f"^{name}: it selects"):
            check_parameters({**sets, name: value})
        # As in the preflight of a retraining, which selects from its data.
        check_parameters({**sets, "intermediate_data": "", name: value})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"source_data": "demo:source"}, "prepared"),
        ({"prepared": ""}, "nothing to transfer"),
        ({"target_data": ""}, "target_data"),
        ({"hold_out_target": True}, "hold_out_target"),
        ({"preparation_hours": -2}, "preparation_hours"),
        ({"preparation_hours": float("nan")}, "preparation_hours"),
        ({"prepared": "", "source_data": "demo:source", "preparation_hours": 1.0}, "preparation_hours"),
        ({"preparations": 2, "seeds": [1, 2]}, "preparations"),
        ({"settings": {"epochs": 3, "pretrain.epochs": 2}}, "pretrain.epochs: source_data is none"),
        ({"settings": {"finetune.epochs": 2}}, "finetune.epochs: intermediate_data is none"),
    ],
)
def test_what_cannot_be_left_out_is_refused(changes: dict[str, Any], message: str) -> None:
    check_parameters({**SETS, "seeds": [1], "settings": {"epochs": 3, "target.epochs": 2}})
    with pytest.raises(SettingError, match=message):
        check_parameters({"seeds": [1], **SETS, **changes})


def test_a_curve_on_prepared_models_needs_a_set_to_select_from_or_a_target() -> None:
    check_parameters({"intermediate_data": "none", "target_data": "/photos", "sizes": ["auto"]})
    with pytest.raises(SettingError, match="would be selected from it"):
        check_parameters({"intermediate_data": "none", "target_data": "", "sizes": ["auto"]})
