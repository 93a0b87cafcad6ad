"""`headstart predict` on what people and intruders give it."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from click.testing import Result
from PIL import Image
from small_data import COLOURS, colours
from small_models import trained

from headstart.components.errors import HeadstartError
from headstart.components.promotion.gate import Rules
from headstart.components.promotion.promote import promote
from headstart.components.promotion.store import open_store
from headstart.components.training.export import load_model, save_served
from headstart.components.training.served_graph import check_graph
from tests.commands import invoke
from tests.json_results import read_result

CLASSES = ["apple", "pears", "noise"]


@pytest.fixture(scope="module")
def keras_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("keras"), 1)[0]


@pytest.fixture(scope="module")
def served(keras_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("served") / "saved_model"
    save_served(load_model(keras_model)[0], folder, CLASSES, 52)
    return folder


def picture(path: Path, name: str) -> Path:
    Image.fromarray(np.tile(np.array(COLOURS[name], np.uint8), (52, 52, 1))).save(path)
    return path


def predict(*arguments: object) -> Result:
    return invoke("predict", *arguments)


def answers(result: Result) -> dict[str, str | None]:
    found = json.loads(result.stdout)
    return {Path(one["image"]).name: one["class"] for one in found}


@pytest.mark.parametrize("kind", ["keras_model", "served"])
def test_every_format_that_is_trained_on_is_predicted(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    model = request.getfixturevalue(kind)
    for suffix in ("png", "jpg", "bmp", "gif", "tif", "webp", "ppm"):
        picture(tmp_path / f"a.{suffix}", "pears")
    (tmp_path / "._a.jpg").write_bytes(b"what another system leaves behind")
    (tmp_path / "notes.txt").write_text("not an image")
    os.mkfifo(tmp_path / "queue.png")
    result = predict(model, tmp_path, "--json")
    assert answers(result) == {f"a.{name}": "pears" for name in ("png", "jpg", "bmp", "gif", "tif", "webp", "ppm")}
    assert "1 other files left out (.txt)" in result.stderr


@pytest.mark.parametrize("kind", ["keras_model", "served"])
def test_what_is_no_image_is_named_and_the_rest_answered(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "queue.png")
    (tmp_path / "zero.png").symlink_to("/dev/zero")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "cut.jpg").write_bytes(picture(tmp_path / "whole.jpg", "noise").read_bytes()[:40])
    files = [tmp_path / name for name in ("queue.png", "zero.png", "empty.jpg", "cut.jpg", "missing.png", "whole.jpg")]
    result = predict(request.getfixturevalue(kind), *files, "--json")
    assert result.return_value == 1
    said = {Path(one["image"]).name: one["error"] for one in read_result("predict", result.stdout)}
    assert said["queue.png"] == said["zero.png"] == "not a regular file, but a folder, a pipe or a device"
    assert said["missing.png"] == "No such file or directory"
    assert all(said[name] for name in ("empty.jpg", "cut.jpg"))
    assert answers(result)["whole.jpg"] == "noise"


@pytest.mark.parametrize(
    ("model", "image", "told"),
    [
        ("gs://bucket/model", "a.png", "MODEL: found an address (gs://…), expected a path on this machine"),
        ("https://host/model.keras", "a.png", "MODEL: found an address (https://…)"),
        ("{keras}", "https://host/a.png", "IMAGE: found an address (https://…)"),
        ("{keras}", "gs://bucket/a.png", "gcloud storage cp"),
        ("{tmp}/none", "a.png", "there is no such file or folder"),
        ("{tmp}/renamed", "a.png", "Name it renamed.keras and put its description beside it as renamed.json."),
        ("{tmp}/best.keras", "a.png", "its description best.json is not beside it"),
        ("{tmp}/notes.txt", "a.png", "neither a model"),
        (
            "{tmp}/store",
            "a.png",
            "a model store, which holds several. `headstart models show --store {tmp}/store --uri`",
        ),
    ],
)
def test_what_is_wrong_with_a_path_is_said_before_tensorflow_is_loaded(
    model: str, image: str, told: str, keras_model: Path, tmp_path: Path
) -> None:
    for name in ("renamed", "best.keras"):
        shutil.copy(keras_model / "model.keras", tmp_path / name)
    (tmp_path / "notes.txt").write_text("no model")
    (tmp_path / "store").mkdir()
    (tmp_path / "store/current.json").touch()
    script = (
        "import sys\nfrom headstart.pipelines.cli import headstart\n"
        "from headstart.components.errors import HeadstartError\n"
        "try:\n    headstart(sys.argv[1:], standalone_mode=False)\nexcept HeadstartError as error:\n    print(error)\n"
        "print('loaded' if 'tensorflow' in sys.modules else 'not loaded')"
    )
    given = [text.format(keras=keras_model, tmp=tmp_path) for text in (model, image)]
    ended = subprocess.run(
        [sys.executable, "-c", script, "predict", *given], capture_output=True, text=True, check=True
    )
    assert told.format(tmp=tmp_path) in ended.stdout
    assert ended.stdout.endswith("not loaded\n")


def hostile(folder: Path, body: object) -> Path:
    """A SavedModel with Headstart's signatures whose graph does more than compute."""
    module = tf.Module()

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def serve(image_bytes: object) -> dict[str, object]:
        body(image_bytes)  # type: ignore[operator]
        return {"probabilities": tf.constant([[1.0]])}

    module.serve = serve
    tf.saved_model.save(module, str(folder), signatures={"serve": serve, "serve_pixels": serve})
    (folder / "assets").mkdir(exist_ok=True)
    (folder / "assets" / "classes.txt").write_text("apple\n")
    return folder


def test_a_foreign_graph_is_refused_before_it_runs(tmp_path: Path) -> None:
    target = tmp_path / "written"
    bodies = {
        "WriteFile": lambda _: tf.io.write_file(str(target), "in"),
        "ReadFile": lambda _: tf.io.read_file("/etc/hostname"),
        "EagerPyFunc": lambda _: tf.py_function(lambda: target.write_text("in"), [], []),
        "SaveV2": lambda _: tf.raw_ops.SaveV2(
            prefix=str(target), tensor_names=["a"], shape_and_slices=[""], tensors=[tf.constant(1)]
        ),
        "PrintV2": lambda _: tf.print("in", output_stream=f"file://{target}"),
    }
    image = picture(tmp_path / "a.png", "apple")
    for name, body in bodies.items():
        folder = hostile(tmp_path / name, body)
        result = predict(folder, image)
        assert name in str(result.exception), name
        assert "It was not loaded." in str(result.exception)

    # Hidden in a function that is only called from another, in a loop's body, or behind a saver's name.
    @tf.function
    def nested() -> None:
        tf.io.write_file(str(target), "in")

    hidden = hostile(tmp_path / "nested", lambda _: nested())
    looped = hostile(tmp_path / "loop", lambda _: tf.while_loop(lambda i: i < 1, lambda i: (nested(), i + 1)[1], [0]))
    for folder in (hidden, looped):
        assert "WriteFile" in str(predict(folder, image).exception)
    assert not list(tmp_path.glob("written*"))


def test_a_savers_name_does_not_hide_an_operation(served: Path, tmp_path: Path) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    def altered(change: object) -> Path:
        folder = tmp_path / "altered"
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(served, folder)
        model = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
        change(model.meta_graphs[0])  # type: ignore[operator]
        (folder / "saved_model.pb").write_bytes(model.SerializeToString())
        return folder

    def saver(graph: object) -> object:
        functions = graph.graph_def.library.function  # type: ignore[attr-defined]
        return next(one for one in functions if one.signature.name.startswith("__inference__traced_save_"))

    def other(graph: object) -> object:
        functions = graph.graph_def.library.function  # type: ignore[attr-defined]
        return next(one for one in functions if one.signature.name.startswith("__inference_serve_"))

    def write(graph: object) -> None:
        saver(graph).node_def.add(op="WriteFile", name="w")  # type: ignore[attr-defined]

    def call(graph: object) -> None:
        node = other(graph).node_def.add(op="PartitionedCall", name="w")  # type: ignore[attr-defined]
        node.attr["f"].func.name = saver(graph).signature.name  # type: ignore[attr-defined]

    def saveable(graph: object) -> None:
        node = graph.object_graph_def.nodes[0]  # type: ignore[attr-defined]
        node.saveable_objects["x"].save_function = 1

    def rename(graph: object) -> None:
        saver(graph).signature.name = "Identity"  # type: ignore[attr-defined]

    check_graph(altered(lambda graph: None))
    for change in (write, call, saveable, rename):
        with pytest.raises(HeadstartError, match="does more than compute"):
            check_graph(altered(change))
    for content in (b"", b"\xff" * 100):
        (tmp_path / "altered" / "saved_model.pb").write_bytes(content)
        with pytest.raises(HeadstartError):
            check_graph(tmp_path / "altered")


def test_a_version_of_a_store_is_checked_by_its_digests(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    model, record = trained(tmp_path / "a", 1)
    promote(colours(tmp_path / "data"), [model], [record], store, Rules(), "run", [])
    image = picture(tmp_path / "a.png", "noise")
    version = tmp_path / "store" / "versions" / "1"
    for place in (version, version / "model" / "model.keras", version / "serving", version / "serving" / "1"):
        assert answers(predict(place, image, "--json")) == {"a.png": "noise"}
    variables = version / "serving" / "1" / "variables" / "variables.data-00000-of-00001"
    content = bytearray(variables.read_bytes())
    content[len(content) // 2] ^= 1
    variables.write_bytes(content)
    for place in (version, version / "serving" / "1"):
        assert "is not what was promoted" in str(predict(place, image).exception)


@pytest.mark.slow
def test_ten_thousand_images_in_bounded_memory(keras_model: Path, tmp_path: Path) -> None:
    picture(tmp_path / "a.png", "apple")
    large = tmp_path / "large.bmp"
    Image.fromarray(np.tile(np.array(COLOURS["pears"], np.uint8), (600, 600, 1))).save(large)  # 1 MB each
    (tmp_path / "many").mkdir()
    for number in range(10_000):
        os.link(large, tmp_path / "many" / f"{number:05}.bmp")
    script = (
        "import resource, sys\nfrom headstart.pipelines.cli import headstart\n"
        "headstart(sys.argv[1:], standalone_mode=False)\n"
        "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)"
    )
    peaks = {}
    for name in ("a.png", "many"):
        ended = subprocess.run(
            [sys.executable, "-c", script, "predict", str(keras_model), str(tmp_path / name), "--json"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        peaks[name] = int(ended.stderr.splitlines()[-1]) / 1024
        found = json.loads(ended.stdout)
    assert len(found) == 10_000
    assert {one["class"] for one in found} == {"pears"}
    assert peaks["many"] - peaks["a.png"] < 250, peaks  # MiB; the files together have 10 GB
