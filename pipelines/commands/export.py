"""`headstart export`: results and models for other tools."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
import numpy as np

from headstart.components.datasets.images import UnreadableImageError, decode
from headstart.components.datasets.packed import PackedDataset, is_packed
from headstart.components.errors import HeadstartError, SettingError
from headstart.components.foreign_text import echo
from headstart.components.training.conversion import Format, convert
from headstart.components.training.prediction import local, read_image
from headstart.pipelines.commands.predict import check_version, image_files
from headstart.pipelines.json_output import json_option, print_json
from headstart.pipelines.options import ADDRESS

Function = TypeVar("Function", bound=Callable[..., Any])


@click.group("export")
def command() -> None:
    """Hand results and models to other tools."""


@command.command("mlflow")
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--tracking-uri",
    required=True,
    envvar="MLFLOW_TRACKING_URI",
    show_envvar=True,
    help="Address of the tracking server.",
)
@click.option("--experiment", default="headstart", show_default=True, help="Experiment there; made where it is none.")
@json_option
def mlflow(run: Path, tracking_uri: str, experiment: str, as_json: bool) -> None:
    """Send a run to MLflow. It becomes a parent run with the report's files, and a child run per record.

    RUN is the output folder of `headstart run`, or a folder of records. Given again, the command sends what is new or
    has changed, and nothing twice.
    """
    from headstart.pipelines.mlflow_export import export
    from headstart.pipelines.mlflow_server import TrackingServer

    done = export(run, TrackingServer(tracking_uri), experiment)
    if as_json:
        print_json(done)
        return
    states = list(done.runs.values())
    counts = ", ".join(f"{states.count(state)} {state}" for state in ("created", "updated", "unchanged"))
    echo(f"{tracking_uri}, experiment {experiment}: run {done.run_id} ({done.state}) with {counts} below it.")
    echo(done.url)
    if done.left_out:
        echo(f"Files were not stored: {done.left_out}.", err=True)


def _model_options(function: Function) -> Function:
    """Add what the exports of a model share; the command receives MODEL, OUT and the options."""
    for option in (
        json_option,
        click.option(
            "--tolerance",
            type=click.FloatRange(min=0),
            default=1e-3,
            show_default=True,
            help="By how much a probability may differ from the model's; if it does by more, nothing is written.",
        ),
        click.option(
            "--images",
            multiple=True,
            type=ADDRESS,
            metavar="PATH",
            help="Images to compare answers on: files, folders of them, or a packed data set, whose test images are "
            "taken; repeatable.  [default: noise]",
        ),
        click.argument("out", type=click.Path(path_type=Path, dir_okay=False)),
        click.argument("model", type=ADDRESS),
    ):
        function = option(function)
    return function


@command.command("onnx")
@_model_options
def onnx(model: str, out: Path, images: tuple[str, ...], tolerance: float, as_json: bool) -> None:
    """Write a model as an ONNX file. The class names are in its metadata.

    MODEL is what `headstart predict` takes, OUT the file. The answers of ONNX Runtime are compared with the model's.
    It needs tf2onnx, onnx and onnxruntime.
    """
    _convert(model, out, "onnx", images, tolerance, as_json)


@command.command("tflite")
@_model_options
def tflite(model: str, out: Path, images: tuple[str, ...], tolerance: float, as_json: bool) -> None:
    """Write a model as a TensorFlow Lite file. The class names are in it as the associated file labels.txt.

    MODEL is what `headstart predict` takes, OUT the file. The answers of TensorFlow Lite are compared with the model's.
    """
    _convert(model, out, "tflite", images, tolerance, as_json)


def _convert(model: str, out: Path, to: Format, images: tuple[str, ...], tolerance: float, as_json: bool) -> None:
    place = local(model, "MODEL")
    check_version(place)
    sources = [local(image, "--images") for image in images]
    done = convert(place, out, to, lambda size: _comparison_images(sources, size), tolerance)
    if as_json:
        print_json(done)
        return
    echo(f"{done.file}: {done.bytes:,} bytes, {len(done.classes)} classes")
    what = "images" if images else "images of noise (--images names real ones)"
    echo(
        f"On {done.images} {what} the class is the model's for {done.same_class}; "
        f"probabilities differ by at most {done.largest_difference:.2g}."
    )


def _comparison_images(sources: list[Path], size: int) -> Any:
    """Return the images of `sources`, uint8, N × size × size × 3; of a packed data set the test split.

    Without sources it is noise. SettingError where a source has another image size or holds no image, HeadstartError
    where a file cannot be read.
    """
    if not sources:
        return np.random.default_rng(0).integers(0, 256, (64, size, size, 3), dtype=np.uint8)
    parts = []
    for source in sources:
        if is_packed(source):
            images, _ = PackedDataset(source).split("test")
            if images.shape[1] != size:
                raise SettingError(f"--images {source}: has images of {images.shape[1]} pixels, the model {size}.")
            parts.append(images)
            continue
        for file in image_files(source):
            try:
                parts.append(decode(read_image(file), size)[0][np.newaxis])
            except UnreadableImageError as error:
                raise HeadstartError(f"--images {file}: {error}.", "Name others, or a folder without it.") from error
    return np.concatenate(parts)
