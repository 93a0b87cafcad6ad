"""A prepared model in a bucket that speaks S3 is taken as one on a local path is, with what its run says it took."""

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")
import keras

from headstart.components.training import export, prepared_models, starts
from tests.uploads import upload


def network(classes: int) -> keras.Model:
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(2, 3, name="body")(inputs)
    return keras.Model(inputs, keras.layers.Dense(classes, "softmax")(keras.layers.GlobalAveragePooling2D()(x)))


def test_a_file_and_the_output_of_a_run(s3: str, tmp_path: Path) -> None:
    model = network(3)
    export.save_model(model, tmp_path / "made", {"arm": "finetune", "seed": 0, "image_size": 8})
    run = tmp_path / "run"
    (run / "model").mkdir(parents=True)
    for name in ("model.keras", "model.json"):
        (tmp_path / "made" / name).rename(run / "model" / name.replace("model", "finetuned"))
    (run / "summary.json").write_text(json.dumps({"preparation_seconds": 900.0}))
    place = f"s3://{s3}/results/run"
    upload(run, place)
    for number, uri in enumerate((place, f"{place}/model/finetuned.keras")):
        folder = tmp_path / f"fetched{number}"
        given = starts.fetch_start(uri, folder, preparation=0, hours=None, network=network)
        assert (given.source, given.hours) == (uri, 0.25)
        loaded, _ = export.load_model(folder)
        assert np.array_equal(loaded.get_layer("body").get_weights()[0], model.get_layer("body").get_weights()[0])
    assert prepared_models.fetch_prepared([place], tmp_path / "curve", 8) == 1
    description = json.loads((tmp_path / "curve/0/model.json").read_text())
    assert description["given"] == {
        "left_out": ["pretrain", "finetune"],
        "source": f"{place}/model/finetuned.keras",
        "hours": 0.25,
    }
