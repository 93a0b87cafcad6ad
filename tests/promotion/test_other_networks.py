"""Retraining, promotion and prediction with networks other than the paper's: one of the registry, one of one's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from PIL import Image

from headstart.components.datasets.packed import PackedDataset, write_packed
from headstart.components.errors import SettingError
from headstart.components.promotion.gate import Rules
from headstart.components.promotion.prepared import prepare_initial_model
from headstart.components.promotion.promote import promote
from headstart.components.promotion.store import open_store
from headstart.components.training import export
from headstart.components.training.networks import registry
from headstart.components.training.prediction import classify
from headstart.components.training.recipes import recipe
from headstart.components.training.stage_settings import StageSettings
from headstart.components.training.stages import run_stage
from headstart.pipelines.local_retraining import starting_point, with_network

SIZE = 40
OWN = """
import keras

def network(size, classes):
    x = inputs = keras.Input((size, size, 3))
    x = keras.layers.Rescaling(1 / 255, name="scaled")(x)
    x = keras.layers.Conv2D(4, 3, strides=4, activation="relu", name="body")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(inputs, keras.layers.Dense(classes, "softmax", name="head")(x))
"""
COLOURS = np.array([[220, 30, 30], [30, 220, 30], [30, 30, 220]])


def images(folder: Path) -> PackedDataset:
    def split(count: int, seed: int) -> tuple[Any, Any]:
        labels = (np.arange(count) % 3).astype(np.int32)
        noise = np.random.default_rng(seed).normal(0, 20, (count, SIZE, SIZE, 3))
        return np.clip(COLOURS[labels][:, None, None] + noise, 0, 255).astype(np.uint8), labels

    folder.mkdir()
    about = {"name": "colours", "source": "test:colours", "classes": ["red", "green", "blue"]}
    write_packed(folder, about, {"train": split(24, 1), "validation": split(9, 2), "test": split(30, 3)})
    return PackedDataset(folder)


@pytest.mark.parametrize("kind", ["own", "mobilenet-v3-small"])
def test_a_prepared_model_is_retrained_promoted_and_predicts(kind: str, tmp_path: Path) -> None:
    network = kind
    if kind == "own":
        (tmp_path / "own.py").write_text(OWN)
        network = f"{tmp_path / 'own.py'}:network"
    stage = StageSettings(network=network)
    keras.utils.set_random_seed(2)
    prepared = registry.build(stage, recipe("demo", "finetune"), SIZE, 5)
    facts = {"arm": "finetune", "seed": 0, "classes": list("abcde"), "image_size": SIZE, "network": network}
    export.save_model(prepared, tmp_path / "prepared", facts)

    store, data = open_store(str(tmp_path / "store")), images(tmp_path / "data")
    description = prepare_initial_model(store, str(tmp_path / "prepared"), tmp_path / "initial", SIZE)
    assert description["network"] == network
    # The next time, nobody names the model: the store keeps it, and knows its network.
    assert starting_point(store, "")[::2] == (SIZE, network)
    record = run_stage(
        arm="final", dataset=tmp_path / "data", initial_model=tmp_path / "initial", seed=1, run_id="monday",
        preset="demo", settings={"network": network, "epochs": 2, "batch_size": 8}, checkpoints="", accelerators=0,
        image="", record=tmp_path / "record.json", model=tmp_path / "model", saved_model=None,
    )  # fmt: skip
    assert (record.status, record.reason) == ("succeeded", "")
    assert record.frozen
    assert all(layer.before == layer.after for layer in record.frozen)
    outcome = promote(data, [tmp_path / "model"], [tmp_path / "record.json"], store, Rules.of({}), "monday", [])
    assert (outcome.status, outcome.version) == ("promoted", 1), outcome.reasons

    version = store.fetch(1, tmp_path / "version")
    pixels = np.tile(COLOURS[1].astype(np.uint8), (SIZE, SIZE, 1))
    Image.fromarray(pixels).save(tmp_path / "green.png")
    trained, facts = export.load_model(version / "model")
    expected = trained(pixels[None].astype(np.float32), training=False).numpy()[0]
    for place in (version / "model", version / "serving" / "1"):
        (found,) = classify(place, [tmp_path / "green.png"])
        assert dict(found.classes) == pytest.approx(dict(zip(facts["classes"], expected, strict=True)), abs=1e-5)


def test_the_network_of_the_prepared_model_is_taken_where_none_is_named() -> None:
    assert with_network({"epochs": 1}, "resnet50") == {"epochs": 1, "network": "resnet50"}
    for settings, network in (
        ({}, ""),
        ({}, "paper"),
        ({"network": "a.py:f"}, "resnet50"),
        ({"target.network": "x"}, "b:f"),
    ):
        assert with_network(settings, network) == settings
    with pytest.raises(SettingError, match=r"network stolen\.py:run"):
        with_network({}, "stolen.py:run")


def test_the_description_of_a_model_names_no_code_that_scouting_runs(tmp_path: Path) -> None:
    from headstart.components.scouting.scout import scout

    (tmp_path / "own.py").write_text(OWN)
    stage = StageSettings(network=f"{tmp_path / 'own.py'}:network")
    model = registry.build(stage, recipe("demo", "finetune"), SIZE, 5)
    trap = tmp_path / "trap.py"
    trap.write_text(f"open({str(tmp_path / 'sprung')!r}, 'w')")
    export.save_model(model, tmp_path / "model", {"image_size": SIZE, "network": f"{trap}:network"})
    images(tmp_path / "data")
    (found,) = scout([str(tmp_path / "model")], tmp_path / "data")
    assert (found.network, found.features) == ("", 4)
    assert not (tmp_path / "sprung").exists()
    assert json.loads((tmp_path / "model/model.json").read_text())["network"].startswith(str(trap))
