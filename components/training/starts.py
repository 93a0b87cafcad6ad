"""Where transferred weights come from when they are not prepared here: a model that somebody has already."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from headstart.components import machine, storage
from headstart.components.atomic_files import whole_folder, write_json
from headstart.components.credentials import masked_address
from headstart.components.errors import HeadstartError, SettingError, TemporaryError
from headstart.components.progress import emit
from headstart.components.records import Given
from headstart.components.regular_files import LARGEST_TEXT, read_json, read_text
from headstart.components.training import environment
from headstart.components.training.checkpoint import is_model
from headstart.components.training.lineage import TRAINED_ON
from headstart.components.training.settings import resolve

MODEL_FILE, DESCRIPTION_FILE, SUMMARY_FILE = "model.keras", "model.json", "summary.json"
# In a run's output folder: what later stages start from, the best first.
OF_A_RUN = ("model/finetuned.keras", "model/pretrained.keras")
WEIGHTS = ".weights.h5"
MOST_BYTES = 4 << 30
EXPECTED = (
    "Expected NAME.keras, NAME.weights.h5, a model folder (model.keras with model.json), a SavedModel that Headstart "
    "wrote, a run's output folder or a model store."
)


def fetch_start(
    uri: str,
    folder: Path,
    *,
    preparation: int,
    hours: float | None,
    network: Callable[[int], Any],
    register: Callable[[], None] = lambda: None,
) -> Given:
    """Put the model at `uri` into `folder` as model.keras and model.json, and return what is known about it.

    `uri` is local, gs://, s3:// or minio://, see `EXPECTED`. `network(classes)` builds the network that weights without
    an architecture are loaded into. `register()` is called where a file has layers that Keras does not know, to make
    them known. `hours` is what preparing it cost; None: as its run measured it, or not known. A
    model without a description gets one, with the digests of what was found. HeadstartError where it is none of these,
    where it cannot be loaded safely, and where the weights do not fit the network.
    """
    emit("stage", stage="pretrain", state="start", text=f"takes the weights of {masked_address(uri)}")
    with tempfile.TemporaryDirectory(prefix="headstart-start-") as scratch, whole_folder(folder, is_model) as new:
        measured = _place(uri, new, Path(scratch), network)
        given = Given(left_out=["pretrain"], source=masked_address(uri), hours=measured if hours is None else hours)
        _describe(new, uri, given, preparation, register)
    return given


def _place(uri: str, new: Path, scratch: Path, network: Callable[[int], Any]) -> float | None:
    """Fill `new` with the model at `uri` and return the hours that preparing it took, where its run measured them."""
    if uri.endswith(".keras"):
        if not storage.exists(uri):
            raise SettingError(f"prepared: {masked_address(uri)} is not there.", EXPECTED)
        copy_model(uri, new)
        return measured_hours(uri)
    found = _local(uri, scratch)
    if found.is_dir():
        if (found / "saved_model.pb").is_file():
            _from_served(found, new, network)
            return None
        for name in OF_A_RUN:
            if (found / name).is_file() and (found / SUMMARY_FILE).is_file():
                copy_model(str(found / name), new)
                return measured_hours(str(found / name))
        if (found / MODEL_FILE).is_file():
            copy_model(str(found / MODEL_FILE), new)
            return None
        if (found / "current.json").is_file() or (found / "prepared.json").is_file():
            _from_store(uri, found, new, scratch)
            return None
    elif found.name.endswith(WEIGHTS):
        _from_weights(found, new, network)
        return None
    raise SettingError(
        f"prepared: {masked_address(uri)} is none of the kinds of model that a run can start from.", EXPECTED
    )


def _local(uri: str, scratch: Path) -> Path:
    if storage.is_remote(uri):
        return storage.download(uri, scratch / "fetched")
    path = storage.local_path(uri)
    if not path.exists():
        raise SettingError(f"prepared: {uri} is not there.", EXPECTED)
    return path


def copy_model(uri: str, folder: Path) -> None:
    """Copy NAME.keras as model.keras; its description and what it was trained on too, where they lie beside it."""
    name = uri.rpartition("/")[2]
    stem, beside = uri.removesuffix(".keras"), uri.removesuffix(name)
    trained_on = f"{beside}{TRAINED_ON}" if name == MODEL_FILE else f"{stem}.{TRAINED_ON}"
    for source, target in ((uri, MODEL_FILE), (f"{stem}.json", DESCRIPTION_FILE), (trained_on, TRAINED_ON)):
        if source == uri or storage.exists(source):
            (folder / target).write_bytes(storage.read_bytes(source, MOST_BYTES))


def measured_hours(model: str) -> float | None:
    """Return what preparing `model` (the URI of a file NAME.keras) took; None unless it lies in the output of a run.

    A run's output has it as model/NAME.keras, and beside the folder model its summary.
    """
    folder, _, _ = model.rpartition("/")
    run, _, inner = folder.rpartition("/")
    if inner != "model" or not run:
        return None
    try:
        seconds = json.loads(storage.read_bytes(f"{run}/{SUMMARY_FILE}", LARGEST_TEXT)).get("preparation_seconds")
    except (HeadstartError, ValueError, AttributeError, RecursionError):
        return None
    known = isinstance(seconds, int | float) and math.isfinite(seconds) and seconds >= 0
    return seconds / 3600 if known else None


def _from_store(uri: str, found: Path, new: Path, scratch: Path) -> None:
    from headstart.components.promotion.store import open_store

    store = open_store(uri if storage.is_remote(uri) else str(found))
    fetched = scratch / "prepared"
    if not store.fetch_prepared(fetched):
        pointer, _ = store.pointer()
        if pointer is None:
            raise SettingError(f"prepared: the store {masked_address(uri)} keeps no model yet.")
        fetched = store.fetch(pointer.version, scratch / "version") / "model"
    copy_model(str(fetched / MODEL_FILE), new)


def _from_weights(file: Path, new: Path, network: Callable[[int], Any]) -> None:
    """Load `.weights.h5` into the network; its head may have any number of classes."""
    import h5py  # type: ignore[import-untyped]

    try:
        with h5py.File(file) as content:
            layers = content["layers"]
            dense = [name for name in layers if name.split("_")[0] == "dense" and "vars/1" in layers[name]]
            last = max(dense, key=lambda name: int(name.partition("_")[2] or 0))
            classes = int(layers[last]["vars/1"].shape[0])
    except (OSError, KeyError, ValueError) as error:
        raise HeadstartError(
            f"prepared: {file.name} holds no weights of a network that ends with a dense layer ({error}).",
            "Write it with Keras 3: model.save_weights('NAME.weights.h5').",
        ) from error
    model = network(classes)
    try:
        model.load_weights(file)
    except Exception as error:  # Keras names the layer, in errors of several kinds
        first = " ".join(str(error).split())[:400]
        raise HeadstartError(
            f"prepared: {file.name} does not fit the network: {first}",
            "Is it of this network? See the setting network.",
        ) from error
    model.save(new / MODEL_FILE)


def _from_served(folder: Path, new: Path, network: Callable[[int], Any]) -> None:
    """Take the weights out of a SavedModel of ours into the network; every one of them must be there."""
    import tensorflow as tf

    from headstart.components.training.served_graph import check_graph

    check_graph(folder)
    try:
        classes = read_text(folder / "assets" / "classes.txt").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise HeadstartError(f"prepared: {folder.name} is not a SavedModel of Headstart ({error}).") from error
    model = network(len(classes))
    try:
        restored = tf.train.Checkpoint(model=model).read(str(folder / "variables" / "variables"))
        restored.assert_existing_objects_matched()
    except Exception as error:  # TensorFlow names the variable, in errors of several kinds
        first = " ".join(str(error).split())[:400]
        raise HeadstartError(
            f"prepared: {folder.name} does not fit the network: {first}",
            "Is it of this network? See the setting network.",
        ) from error
    model.save(new / MODEL_FILE)


def _describe(folder: Path, uri: str, given: Given, preparation: int, register: Callable[[], None]) -> None:
    """Write what this experiment needs to know into model.json; a model without one is loaded, safely, to be described.

    The digests that a description carries are checked when the model is loaded, here and in every run.
    """
    from headstart.components.training import export
    from headstart.components.training.freezing import weights_digest

    file = folder / DESCRIPTION_FILE
    ours = _is_ours(file)

    def load() -> tuple[Any, dict[str, Any]]:
        return export.load_model(folder) if ours else (export.load_file(folder / MODEL_FILE, masked_address(uri)), {})

    try:
        model, description = load()
    except export.UnknownLayerError as error:
        try:
            register()
        except SettingError as missing:
            raise SettingError(
                f"{error.message} What might register it cannot be used: {missing.message}",
                "A .keras file with layers of its own needs the module of --network where it is read: on a cluster in "
                "the image of the task that failed too.",
            ) from missing
        model, description = load()
    if not getattr(model, "inputs", None):
        found = type(model).__name__
        raise SettingError(
            f"prepared: {masked_address(uri)} holds a {found}, expected a functional or sequential model."
        )
    if not ours:
        description = {
            "weights": weights_digest(model),
            "sha256": hashlib.sha256((folder / MODEL_FILE).read_bytes()).hexdigest(),
            "image_size": model.input_shape[1],
        }
    write_json(file, {**description, "preparation": preparation, "given": given.model_dump()})


def _is_ours(file: Path) -> bool:
    try:
        found = read_json(file)
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and {"weights", "sha256"} <= set(found)


def nothing(folder: Path) -> None:
    """Put down in `folder` that pretraining was left out and no model took its place."""
    with whole_folder(folder, is_model) as new:
        write_json(new / DESCRIPTION_FILE, {"given": Given(left_out=["pretrain"], hours=0.0).model_dump()})


def main(arguments: list[str]) -> int:
    """Fetch as the named JSON file says and write what came of it beside it: `{}`, or kind, error and remedy."""
    request = json.loads(Path(arguments[0]).read_text(encoding="utf-8"))
    answer: dict[str, str] = {}
    try:
        environment.prepare_tensorflow(machine.thread_count(machine.usable_cores()), 0)
        from headstart.components.training.networks import registry

        settings = resolve(request["preset"] or "paper", "pretrain", request["settings"], request["image_size"])

        def network(classes: int) -> Any:
            return registry.build(settings.stage, settings.recipe, request["image_size"], classes)

        fetch_start(
            request["uri"],
            Path(request["folder"]),
            preparation=request["preparation"],
            hours=request["hours"],
            network=network,
            register=lambda: registry.load_own(settings.stage.network),
        )
    except HeadstartError as error:
        answer = {"kind": type(error).__name__, "error": error.message, "remedy": error.remedy}
    Path(arguments[0]).with_suffix(".answer").write_text(json.dumps(answer), encoding="utf-8")
    return 0


def fetch(uri: str, folder: Path, **request: Any) -> None:
    """Call `fetch_start` in a process of its own, so that this one does without TensorFlow.

    `request` holds preparation, hours (None: not given), preset, settings and image_size.
    """
    with tempfile.TemporaryDirectory(prefix="headstart-start-") as scratch:
        file = Path(scratch, "start.json")
        file.write_text(json.dumps({**request, "uri": uri, "folder": str(folder.absolute())}), encoding="utf-8")
        environ = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2")}
        done = subprocess.run(
            [sys.executable, "-P", "-m", "headstart.components.training.starts", str(file)], env=environ, check=False
        )
        try:
            answer = json.loads(file.with_suffix(".answer").read_text(encoding="utf-8"))
        except OSError as error:
            raise TemporaryError(f"prepared: taking it over ended with status {done.returncode}.") from error
    if answer:
        kinds = {kind.__name__: kind for kind in (SettingError, TemporaryError)}
        raise kinds.get(answer["kind"], HeadstartError)(answer["error"], answer["remedy"])


def hand_on(stage: str, initial_model: Path, folder: Path) -> None:
    """Copy the model that `stage` would have started from, and put down that the stage was left out."""
    with whole_folder(folder, is_model) as new:
        shutil.copytree(initial_model, new, dirs_exist_ok=True)
        description = read_json(new / DESCRIPTION_FILE)
        given = Given.model_validate(description.get("given") or {})
        given.left_out.append(stage)
        write_json(new / DESCRIPTION_FILE, {**description, "given": given.model_dump()})


if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stdout.flush()
    os._exit(status)  # TensorFlow's clean-up at exit takes time that nobody needs
