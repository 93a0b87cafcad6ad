"""A trained model for other runtimes: ONNX and TensorFlow Lite files with the class names inside.

Both take `pixels` (float32, N × size × size × 3, 0 to 255) and return `probabilities` (float32, N × classes), as the
SavedModel's endpoint `serve_pixels` does. A file is only written if its own runtime answers as the model does.
"""

from __future__ import annotations

import json
import logging
import tempfile
import warnings
import zipfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from headstart.components.atomic_files import whole_file
from headstart.components.errors import PIP_INSTALL, HeadstartError, SettingError
from headstart.components.training import environment
from headstart.components.training.prediction import Answerer, kind_of, opened

Format = Literal["onnx", "tflite"]
Batch = npt.NDArray[np.float32]
Answers = Callable[[Batch], Batch]
LABELS, DESCRIPTION = "labels.txt", "description.json"
_OPSET = 18
_BATCH = 64


@dataclass(frozen=True)
class Converted:
    """What was written, and how its answers compare with the model's on `images` images."""

    file: str
    bytes: int
    classes: list[str]
    images: int
    largest_difference: float
    same_class: int


@dataclass(frozen=True)
class _Source:
    function: Any  # a tf.function from pixels to {"probabilities": …}
    model: Answerer

    def description(self) -> dict[str, Any]:
        """What a caller must know: the classes in their order, and how a file becomes pixels."""
        model = self.model
        return {"classes": model.classes, "image_size": model.size, "reading": asdict(model.reading)}

    def answers(self, pixels: Batch) -> Batch:
        found: Batch = self.function(pixels)["probabilities"].numpy()
        return found


def convert(
    model: Path, file: Path, to: Format, pixels: Callable[[int], npt.NDArray[Any]], tolerance: float
) -> Converted:
    """Write `model` (anything that `headstart predict` takes) to `file`.

    Args:
        model: see `headstart.components.training.prediction.kind_of`.
        file: must not exist.
        to: format of the file.
        pixels: returns images to compare answers on, N × size × size × 3 with values of 0 to 255, for a size.
        tolerance: by how much a probability may differ; otherwise HeadstartError, and nothing is written.
    """
    if file.exists():
        raise SettingError(f"{file}: is there already.", "Name another file, or move that one away.")
    place = kind_of(model)
    environment.prepare_on_processor()
    if to == "onnx":
        _check_packages()
    source = _source(*place)
    images = pixels(source.model.size)
    for name in ("tensorflow", "tf2onnx"):
        logging.getLogger(name).setLevel(logging.ERROR)  # notices to developers of converters
    with whole_file(file) as partial:
        try:
            write, answers = (_write_onnx, _onnx_answers) if to == "onnx" else (_write_tflite, _tflite_answers)
            write(source, partial)
            converted = answers(partial)
        except Exception as error:  # converters raise nearly anything for a network that they do not know
            raise HeadstartError(f"{model}: cannot be converted to {to}: {error}") from error
        difference, same = _compare(source.answers, converted, images)
        if not difference <= tolerance:
            raise HeadstartError(
                f"{file}: a probability differs by {difference:.2g} from the model's, more than {tolerance:g}; "
                "nothing was written.",
                "--tolerance allows more.",
            )
        size = partial.stat().st_size
    return Converted(str(file), size, source.model.classes, len(images), difference, same)


def _compare(one: Answers, other: Answers, images: npt.NDArray[Any]) -> tuple[float, int]:
    """Return the largest difference between two answers, and for how many images the first class is the same."""
    largest, same = 0.0, 0
    for start in range(0, len(images), _BATCH):
        batch = images[start : start + _BATCH].astype(np.float32)
        mine, theirs = one(batch), other(batch)
        # Not max() of Python, which would lose what is not a number.
        largest = float(np.maximum(largest, np.abs(mine - theirs).max()))
        same += int((mine.argmax(axis=1) == theirs.argmax(axis=1)).sum())
    return largest, same


def _source(kind: str, place: Path) -> _Source:
    import tensorflow as tf

    model = opened(kind, place)
    signature = [tf.TensorSpec([None, model.size, model.size, 3], tf.float32, name="pixels")]
    function = tf.function(
        lambda pixels: {"probabilities": model.network(pixels)}, input_signature=signature, autograph=False
    )
    return _Source(function, model)


def _check_packages() -> None:
    try:
        import onnx  # noqa: F401
        import onnxruntime  # noqa: F401
        import tf2onnx  # noqa: F401
    except ModuleNotFoundError as error:
        raise HeadstartError(
            f"The package {error.name} is not installed.", f"Install it with: {PIP_INSTALL} 'headstart[onnx]'"
        ) from error


def _write_onnx(source: _Source, file: Path) -> None:
    import onnx
    import tf2onnx.convert
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    # Constants first: what a SavedModel's function captures beside its variables would become an input.
    frozen = convert_variables_to_constants_v2(source.function.get_concrete_function())
    names = {frozen.inputs[0].name: "pixels", frozen.outputs[0].name: "probabilities"}
    inputs, outputs = [[name] for name in names]
    graph = frozen.graph.as_graph_def()
    found, _ = tf2onnx.convert.from_graph_def(graph, input_names=inputs, output_names=outputs, opset=_OPSET)
    for node in found.graph.node:
        for places in (node.input, node.output):
            places[:] = [names.get(name, name) for name in places]
    for value in (*found.graph.input, *found.graph.output):
        value.name = names.get(value.name, value.name)
    described = {name: json.dumps(value, ensure_ascii=False) for name, value in source.description().items()}
    onnx.helper.set_model_props(found, described)
    found.doc_string = "pixels: float32, N x size x size x 3, 0 to 255; probabilities: float32, N x classes"
    onnx.checker.check_model(found)
    file.write_bytes(found.SerializeToString())


def _onnx_answers(file: Path) -> Answers:
    import onnxruntime

    # The file has no suffix yet, by which a path would be told from a model's content.
    session = onnxruntime.InferenceSession(file.read_bytes(), providers=["CPUExecutionProvider"])
    return lambda pixels: session.run(["probabilities"], {"pixels": pixels})[0]


def _write_tflite(source: _Source, file: Path) -> None:
    """Write the model, and behind it a zip archive with what TensorFlow Lite calls associated files."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    # Variables would stay variables in the file, and without their values: its answers would not be numbers.
    fixed = convert_variables_to_constants_v2(source.function.get_concrete_function())
    module = tf.Module()
    module.function = tf.function(
        lambda pixels: {"probabilities": fixed(pixels)[0]},
        input_signature=source.function.input_signature,
        autograph=False,
    )
    with tempfile.TemporaryDirectory(prefix="headstart-export-") as folder:
        # By way of a SavedModel, which gives the file a signature with the names of input and output.
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)  # of no use to an interpreter
        tf.saved_model.save(module, folder, signatures=module.function, options=options)
        content = tf.lite.TFLiteConverter.from_saved_model(folder).convert()
    file.write_bytes(content)
    with zipfile.ZipFile(file, "a") as archive:
        archive.writestr(LABELS, "".join(f"{name}\n" for name in source.model.classes))
        archive.writestr(DESCRIPTION, json.dumps(source.description(), ensure_ascii=False))


def _tflite_answers(file: Path) -> Answers:
    import tensorflow as tf

    with warnings.catch_warnings():
        # It points to the package that will have the interpreter one day.
        warnings.simplefilter("ignore")
        interpreter = tf.lite.Interpreter(model_content=file.read_bytes())
    runner = interpreter.get_signature_runner()
    return lambda pixels: runner(pixels=pixels)["probabilities"]
