"""Prepared models from earlier runs, by URI: from an output folder, from a task's output, or a single model."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from headstart.components import storage
from headstart.components.atomic_files import whole_folder, write_json
from headstart.components.credentials import masked_address
from headstart.components.errors import HeadstartError, SettingError
from headstart.components.records import Given
from headstart.components.regular_files import LARGEST_TEXT
from headstart.components.stages import PREPARATION
from headstart.components.training.checkpoint import is_model
from headstart.components.training.lineage import TRAINED_ON
from headstart.components.training.starts import MOST_BYTES, measured_hours

# A run's output (or its folder `model`), what `gather_prepared` wrote, a model folder: the first that fits is taken.
LAYOUTS = (r"(?:model/)?finetuned(?:-p\d+)?\.keras", r"\d+/model\.keras", r"model\.keras")


def find_models(uri: str) -> list[str]:
    """Return the URIs of the prepared models in `uri`: NAME.keras itself, or those in a folder, by their number.

    SettingError where there is none.
    """
    if uri.endswith(".keras"):
        if storage.exists(uri):
            return [uri]
        raise SettingError(f"prepared: {uri} is not there.", "Name the model of an experiment, model/finetuned.keras.")
    folder = uri.rstrip("/") + "/"
    names = [str(found).removeprefix(folder) for found in storage.list(folder)]
    for layout in LAYOUTS:
        fitting = [name for name in names if re.fullmatch(layout, name)]
        if fitting:
            return [folder + name for name in sorted(fitting, key=_number)]
    raise SettingError(
        f"prepared: {uri} holds no prepared model.",
        "Expected the output folder of an experiment, or a folder with model.keras and model.json.",
    )


def _number(name: str) -> int:
    """Return the preparation that a name is of; the first one's has no number."""
    found = re.search(r"\d+", name)
    return int(found[0]) if found else 0


def fetch_prepared(uris: Sequence[str], prepared: Path, image_size: int) -> int:
    """Put the prepared models in `uris` into `prepared`, each as its number from 0, and return how many there are.

    A model has its description NAME.json beside it and, where it was kept, what it was trained on. The description
    says, as that of `starts.fetch_start` does, which stages the model takes the place of and what its run says it took.
    SettingError where a model or its description is missing, where one is named twice, or where it was made for images
    of another size than `image_size` (pixels).
    """
    models = [model for uri in uris for model in find_models(uri)]
    if not models:
        raise SettingError("prepared: no model is named.", "Name the output folder of an experiment.")
    weights: dict[str, str] = {}
    with whole_folder(prepared, _is_prepared) as new:
        for number, model in enumerate(models):
            place = new / str(number)
            place.mkdir()
            stem = model.removesuffix(".keras")
            (place / "model.keras").write_bytes(storage.read_bytes(model, MOST_BYTES))
            described = _description(f"{stem}.json")
            given = Given(left_out=list(PREPARATION), source=masked_address(model), hours=measured_hours(model))
            write_json(
                place / "model.json", {**described, "preparation": number, "given": given.model_dump(mode="json")}
            )
            for name in (f"{stem}.{TRAINED_ON}", f"{stem.rpartition('/')[0]}/{TRAINED_ON}"):
                if storage.exists(name):
                    (place / TRAINED_ON).write_bytes(storage.read_bytes(name, MOST_BYTES))
                    break
            if described.get("image_size") != image_size:
                raise SettingError(
                    f"prepared: {model} takes images of {described.get('image_size')} pixels; the target images have "
                    f"{image_size}.",
                    f"Set image_size to {described.get('image_size')}.",
                )
            own = str(described["weights"])
            if own in weights:
                raise SettingError(
                    f"prepared: {model} and {weights[own]} are the same model.", "Name every model once."
                )
            weights[own] = model
    return len(models)


def _description(uri: str) -> dict[str, object]:
    try:
        found = json.loads(storage.read_bytes(uri, LARGEST_TEXT))
    except (ValueError, HeadstartError) as error:
        raise SettingError(
            f"prepared: {uri} cannot be read: {error}.", "A model has its description NAME.json beside it."
        ) from error
    if not isinstance(found, dict) or not {"weights", "arm", "seed"} <= found.keys():
        raise SettingError(f"prepared: {uri} does not describe a prepared model.")
    return found


def _is_prepared(folder: Path) -> bool:
    return all(is_model(child) for child in folder.iterdir() if child.is_dir())
