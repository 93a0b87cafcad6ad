"""`headstart export onnx` and `tflite`: each file answers as the model does, and knows its classes."""

from __future__ import annotations

import dataclasses
import json
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_images
from click.testing import CliRunner
from PIL import Image

tf = pytest.importorskip("tensorflow")

from headstart.components.datasets.packed import write_packed  # noqa: E402
from headstart.components.errors import HeadstartError, SettingError  # noqa: E402
from headstart.components.training import conversion, export  # noqa: E402
from headstart.components.training.networks.paper import build_network  # noqa: E402
from headstart.pipelines.commands.export import command  # noqa: E402
from tests.json_results import read_result  # noqa: E402

CLASSES = ["apple", "pears, ripe", "näise"]
SIZE = 32


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    import keras

    keras.utils.set_random_seed(3)
    network = build_network(SIZE, 3)
    head = network.get_layer("dense_3")
    head.set_weights([head.get_weights()[0] * 20, np.array([0.1, 0.0, -0.1], np.float32)])
    folder = tmp_path_factory.mktemp("written")
    export.save_model(network, folder / "model", {"classes": CLASSES, "image_size": SIZE, "first_stride": 1})
    export.save_served(network, folder / "served", CLASSES, SIZE)
    return network, folder


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("packed")
    splits = {
        split: tiny_images.pictures(3, 23, seed=seed) for seed, split in enumerate(("train", "validation", "test"))
    }
    write_packed(folder, {"name": "drawn", "source": "drawn", "image_size": SIZE, "classes": CLASSES}, splits)
    return folder


def run(*words: str | Path) -> dict[str, Any]:
    done = CliRunner().invoke(command, [*map(str, words), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = read_result(f"export {words[0]}", done.stdout)
    return found


def test_an_onnx_file_answers_as_the_model_and_names_its_classes(model: Any, packed: Path, tmp_path: Path) -> None:
    onnxruntime = pytest.importorskip("onnxruntime")
    network, folder = model
    found = run("onnx", folder / "model", tmp_path / "model.onnx", "--images", packed)
    images = np.load(packed / "test/images.npy")
    assert found["images"] == found["same_class"] == len(images)
    assert found["largest_difference"] < 1e-5

    session = onnxruntime.InferenceSession(str(tmp_path / "model.onnx"))
    facts = session.get_modelmeta().custom_metadata_map
    assert json.loads(facts["classes"]) == CLASSES == found["classes"]
    assert json.loads(facts["image_size"]) == SIZE
    (answers,) = session.run(None, {"pixels": images[:5].astype(np.float32)})
    assert np.abs(answers - np.asarray(network(images[:5].astype(np.float32), training=False))).max() < 1e-5


@pytest.mark.parametrize("kind", ["served", "model"])
def test_a_tflite_file_answers_as_the_model_and_names_its_classes(kind: str, model: Any, tmp_path: Path) -> None:
    network, folder = model
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    pixels, _ = tiny_images.pictures(3, 6, seed=5)
    for number, picture in enumerate(pixels):
        Image.fromarray(picture).save(pictures / f"{number}.png")
    found = run("tflite", folder / kind, tmp_path / "model.tflite", "--images", pictures)
    assert found["images"] == found["same_class"] == len(pixels)
    assert found["bytes"] == (tmp_path / "model.tflite").stat().st_size

    with zipfile.ZipFile(tmp_path / "model.tflite") as inside:
        assert inside.read("labels.txt").decode().split("\n") == [*CLASSES, ""]
        assert json.loads(inside.read("description.json"))["image_size"] == SIZE
    interpreter = tf.lite.Interpreter(model_path=str(tmp_path / "model.tflite"))
    answers = interpreter.get_signature_runner()(pixels=pixels.astype(np.float32))["probabilities"]
    assert np.abs(answers - np.asarray(network(pixels.astype(np.float32), training=False))).max() < 1e-5


@pytest.mark.parametrize("fault", [0.99, float("nan")], ids=["other answers", "not a number"])
def test_a_file_that_answers_otherwise_is_not_written(
    fault: float, model: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    """A converter that loses the weights writes a file too; its answers were not numbers when it was tried."""
    write = conversion._write_tflite

    def careless(source: Any, file: Path) -> None:
        spoilt = tf.function(
            lambda pixels: {"probabilities": fault * source.function(pixels)["probabilities"]},
            input_signature=source.function.input_signature,
            autograph=False,
        )
        write(dataclasses.replace(source, function=spoilt), file)

    monkeypatch.setattr(conversion, "_write_tflite", careless)
    with pytest.raises(HeadstartError, match=r"a probability differs by .* nothing was written"):
        run("tflite", model[1] / "model", tmp_path / "model.tflite")
    assert list(tmp_path.iterdir()) == []


def test_what_is_there_is_not_replaced(model: Any, tmp_path: Path) -> None:
    file = tmp_path / "model.onnx"
    file.write_text("mine")
    with pytest.raises(SettingError, match="is there already"):
        run("onnx", model[1] / "model", file)
    assert file.read_text() == "mine"


def test_a_package_that_is_missing_is_named(model: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(HeadstartError, match=r"tf2onnx is not installed.*headstart\[onnx\]"):
        run("onnx", model[1] / "model", tmp_path / "model.onnx")


def test_images_of_another_size_and_damaged_ones_are_named(model: Any, tmp_path: Path) -> None:
    images = {
        split: (np.zeros((3, 8, 8, 3), np.uint8), np.arange(3, dtype=np.int32))
        for split in ("train", "validation", "test")
    }
    (tmp_path / "small").mkdir()
    write_packed(tmp_path / "small", {"name": "small", "source": "", "image_size": 8, "classes": CLASSES}, images)
    with pytest.raises(SettingError, match="has images of 8 pixels, the model 32"):
        run("tflite", model[1] / "model", tmp_path / "out", "--images", tmp_path / "small")
    (tmp_path / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(HeadstartError, match=r"--images .*torn\.png: "):
        run("tflite", model[1] / "model", tmp_path / "out", "--images", tmp_path / "torn.png")
