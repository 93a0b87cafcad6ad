"""The programs in docs/serving.md, run as they are written there."""

import http.server
import json
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

tf = pytest.importorskip("tensorflow")

CLASSES = ["apple", "pears, ripe"]
CLIENT, READER = re.findall(
    r"^```python\n(.*?)^```", (Path(__file__).parents[2] / "docs/serving.md").read_text(encoding="utf-8"), re.M | re.S
)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import keras

    from headstart.components.training import export

    network = keras.Sequential([keras.Input((8, 8, 3)), keras.layers.GlobalAveragePooling2D(),
                                keras.layers.Rescaling(1 / 64), keras.layers.Dense(2, "softmax")])  # fmt: skip
    network.layers[-1].set_weights([np.array([[1, -1], [0, 0], [-1, 1]], np.float32), np.zeros(2, np.float32)])
    folder = tmp_path_factory.mktemp("model") / "saved_model"
    export.save_served(network, folder, CLASSES, 8)
    return folder


class Server(http.server.BaseHTTPRequestHandler):
    """In place of TensorFlow Serving, which no package registry has: its protocol over the SavedModel's endpoint.

    https://www.tensorflow.org/tfx/serving/api_rest#predict_api: rows of named inputs, bytes as {"b64": …}.
    """

    endpoints: Any = None

    def do_POST(self) -> None:
        import base64

        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        contents = [base64.b64decode(row["image_bytes"]["b64"]) for row in asked["instances"]]
        found = self.endpoints[asked["signature_name"]](image_bytes=tf.constant(contents))
        columns = {name: value.numpy().tolist() for name, value in found.items()}
        columns["class"] = [name.decode() for name in columns["class"]]
        rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        body = json.dumps({"predictions": rows}).encode()
        self.send_response(200 if self.path == "/v1/models/fruits:predict" else 404)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def test_the_client_of_ten_lines(model: Path, tmp_path: Path) -> None:
    assert len(CLIENT.strip().splitlines()) <= 10
    Image.new("RGB", (20, 30), (250, 20, 20)).save(tmp_path / "red.png")
    Image.new("RGB", (30, 20), (20, 20, 250)).save(tmp_path / "blue.jpg")
    Server.endpoints = tf.saved_model.load(str(model)).signatures
    with http.server.HTTPServer(("127.0.0.1", 0), Server) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}/v1/models/fruits"
        words = [sys.executable, "-c", CLIENT, address, "red.png", "blue.jpg"]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=True)
        server.shutdown()
    assert re.fullmatch(r"red.png: apple \(9\d.\d%\)\nblue.jpg: pears, ripe \(9\d.\d%\)\n", done.stdout)


@pytest.mark.parametrize("kind", ["onnx", "tflite"])
def test_the_reader_of_class_names(kind: str, model: Path, tmp_path: Path) -> None:
    if kind == "onnx":
        pytest.importorskip("tf2onnx")
    from click.testing import CliRunner

    from headstart.pipelines.commands.export import command

    file = tmp_path / f"model.{kind}"
    done = CliRunner().invoke(command, [kind, str(model), str(file)], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    shown = subprocess.run([sys.executable, "-c", READER, str(file)], capture_output=True, text=True, check=True)
    assert shown.stdout == f"8 {CLASSES}\n"
