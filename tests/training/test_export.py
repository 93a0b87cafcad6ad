"""What comes out answers as the network did: the model file, the SavedModel, `headstart predict`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tiny_images
from PIL import Image

tf = pytest.importorskip("tensorflow")

from headstart.components.datasets.images import decode  # noqa: E402
from headstart.components.errors import HeadstartError  # noqa: E402
from headstart.components.training import export  # noqa: E402
from headstart.components.training.networks.paper import build_network  # noqa: E402

CLASSES = ["apple", "pears, ripe", "näise"]
SIZE = 32


@pytest.fixture(scope="module")
def written(tmp_path_factory) -> tuple[object, Path]:
    import keras

    keras.utils.set_random_seed(3)
    model = build_network(SIZE, 3)
    head = model.get_layer("dense_3")
    head.set_weights([head.get_weights()[0] * 20, np.array([0.1, 0.0, -0.1], np.float32)])
    folder = tmp_path_factory.mktemp("written")
    export.save_model(model, folder / "model", {"classes": CLASSES, "image_size": SIZE, "first_stride": 1})
    export.save_served(model, folder / "served", CLASSES, SIZE)
    return model, folder


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """One smooth picture of 100 × 80 in every kind that both decoders read."""
    folder = tmp_path_factory.mktemp("pictures")
    ramp = np.linspace(0, 255, 100)[None, :, None] * np.array([1, 0.5, 0.2]) + np.arange(80)[:, None, None]
    picture = Image.fromarray(np.clip(ramp, 0, 255).astype(np.uint8))
    faded = picture.copy()
    faded.putalpha(Image.fromarray(np.tile(np.linspace(0, 255, 100), (80, 1)).astype(np.uint8)))
    paths = {}
    for name, image in {
        "photo.jpg": picture,
        "picture.png": picture,
        "gray.png": picture.convert("L"),
        "gray.jpg": picture.convert("L"),
        "faded.png": faded,
        "flat.bmp": picture,
    }.items():
        paths[name] = folder / name
        image.save(paths[name])
    return paths


def test_the_served_model_sees_the_pixels_of_training(written, files):
    model, folder = written
    served = tf.saved_model.load(str(folder / "served"))
    contents = [path.read_bytes() for path in files.values()]
    answers = served.signatures["serving_default"](image_bytes=tf.constant(contents))
    pixels = np.stack([decode(path.read_bytes(), SIZE)[0] for path in files.values()])
    expected = np.asarray(model(pixels.astype(np.float32), training=False))
    # The two decoders agree to a level of 255, see headstart.components.datasets.images.
    assert np.abs(answers["probabilities"].numpy() - expected).max() < 0.02
    named = [name.decode() for name in answers["class"].numpy()]
    assert named == [CLASSES[index] for index in answers["probabilities"].numpy().argmax(axis=1)]
    assert np.allclose(answers["probability"].numpy(), answers["probabilities"].numpy().max(axis=1))
    straight = served.signatures["serve_pixels"](pixels=tf.constant(pixels.astype(np.float32)))
    assert np.array_equal(straight["probabilities"].numpy(), expected)
    assert (folder / "served" / "assets" / "classes.txt").read_text(encoding="utf-8").splitlines() == CLASSES


def test_a_model_is_loaded_as_it_was_written_or_not_at_all(written, tmp_path):
    model, folder = written
    loaded, description = export.load_model(folder / "model")
    assert description["classes"] == CLASSES
    for ours, theirs in zip(loaded.get_weights(), model.get_weights(), strict=True):
        assert np.array_equal(ours, theirs)
    copy = tmp_path / "renamed.keras"
    copy.write_bytes((folder / "model" / "model.keras").read_bytes())
    copy.with_suffix(".json").write_bytes((folder / "model" / "model.json").read_bytes())
    assert export.load_model(copy)[1] == description
    content = bytearray(copy.read_bytes())
    content[len(content) // 2] ^= 1
    copy.write_bytes(content)
    with pytest.raises(HeadstartError, match=r"renamed.keras: SHA-256 is .*, renamed.json says"):
        export.load_model(copy)
    copy.write_bytes((folder / "model" / "model.keras").read_bytes())
    changed = description | {"weights": description["weights"][::-1]}
    copy.with_suffix(".json").write_text(json.dumps(changed))
    with pytest.raises(HeadstartError, match="the weights' SHA-256 is"):
        export.load_model(copy)
    copy.with_suffix(".json").unlink()
    with pytest.raises(HeadstartError, match="holds no model"):
        export.load_model(copy)


def test_weights_are_read_without_building_the_model_and_are_the_same(written, tmp_path, monkeypatch):
    model, folder = written
    with monkeypatch.context() as patched:
        patched.setattr(export, "load_file", None)
        weights, description = export.load_weights(folder / "model")
    assert description["classes"] == CLASSES
    assert list(weights) == [layer.name for layer in model.layers if layer.weights]
    for layer in (layer for layer in model.layers if layer.weights):
        for ours, theirs in zip(weights[layer.name], layer.get_weights(), strict=True):
            assert np.array_equal(ours, theirs)
    changed = description | {"weights": description["weights"][::-1]}
    (tmp_path / "model.keras").write_bytes((folder / "model" / "model.keras").read_bytes())
    (tmp_path / "model.json").write_text(json.dumps(changed))
    with pytest.raises(HeadstartError, match="the weights' SHA-256 is"):
        export.load_weights(tmp_path)


def test_weights_of_a_nested_model_are_those_that_keras_loads(tmp_path):
    import keras

    keras.utils.set_random_seed(5)
    inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3), keras.layers.BatchNormalization()], name="in")
    image = keras.Input((4,))
    model = keras.Model(image, keras.layers.Dense(2, activation="softmax", name="head")(inner(image)))
    export.save_model(model, tmp_path / "model", {"classes": ["a", "b"]})
    weights, _ = export.load_weights(tmp_path / "model")
    assert list(weights) == ["in", "head"]
    for ours, theirs in zip(weights["in"], inner.get_weights(), strict=True):
        assert np.array_equal(ours, theirs)


@pytest.mark.slow
@pytest.mark.parametrize("which", ["model/model.keras", "served"])
def test_predict_prints_the_classes(which, written, files, tmp_path):
    model, folder = written
    damaged = tmp_path / "damaged.jpg"
    damaged.write_bytes(files["photo.jpg"].read_bytes()[:200])
    given = [files["photo.jpg"], damaged, files["picture.png"], tmp_path / "absent.png"]
    command = [
        sys.executable,
        "-m",
        "headstart.pipelines.cli",
        "predict",
        str(folder / which),
        *map(str, given),
        "--json",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stderr  # two of them cannot be read
    photo, broken, picture, absent = json.loads(done.stdout)
    for answer, name in ((photo, "photo.jpg"), (picture, "picture.png")):
        pixels = decode(files[name].read_bytes(), SIZE)[0][None].astype(np.float32)
        expected = np.asarray(model(pixels, training=False))[0]
        assert answer["class"] == CLASSES[expected.argmax()]
        assert answer["probability"] == pytest.approx(expected.max(), abs=0.02)
        assert answer["error"] is None
        assert [entry["class"] for entry in answer["classes"]] == [CLASSES[index] for index in expected.argsort()[::-1]]
    assert broken["class"] is None
    assert broken["error"]
    assert "No such file" in absent["error"]


def test_the_confusion_matrix_and_the_samples():
    from headstart.components.training.evaluation import confusion, samples

    labels = np.array([0, 0, 1, 2, 2, 2], np.int32)
    probabilities = np.eye(3, dtype=np.float32)[[0, 1, 1, 2, 0, 2]]
    assert confusion(labels, probabilities) == [[1, 1, 0], [0, 1, 0], [1, 0, 2]]
    assert confusion(np.arange(21), np.eye(21)) is None
    images, _ = tiny_images.pictures(3, 6, seed=1)
    chosen = samples(images, labels, probabilities, CLASSES, 4, seed=1)
    # The classes in turn, and only one image of the second.
    assert [sample.truth for sample in chosen[:3]] == CLASSES
    assert len(chosen) == 4
    assert chosen == samples(images, labels, probabilities, CLASSES, 4, seed=1)
    assert all(len(sample.png) < 12_000 for sample in chosen)
