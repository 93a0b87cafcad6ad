"""Finds the prepared models that a curve or further runs start from, and takes them over under their numbers."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headstart.components import storage
from headstart.components.atomic_files import whole_folder, write_json
from headstart.components.credentials import masked_address
from headstart.components.errors import SettingError
from headstart.components.records import Given
from headstart.components.regular_files import read_json
from headstart.components.stages import PREPARATION
from headstart.components.training.checkpoint import is_model
from headstart.components.training.starts import DESCRIPTION_FILE, copy_model, fetch, measured_hours

# Where prepared models lie in a folder: a run's output or its folder `model`, what `gather_prepared` wrote, a model
# folder; the first that fits is taken.
_LAYOUTS = (r"(?:model/)?finetuned(?:-p\d+)?\.keras", r"\d+/model\.keras", r"model\.keras")


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
    for layout in _LAYOUTS:
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


def fetch_prepared(uris: Sequence[str], prepared: Path, image_size: int, network: str = "paper") -> int:
    """Put the prepared models in `uris` into `prepared`, each as its number from 0, and return how many there are.

    The description of each says, as that of `fetch_start` does, which stages the model takes the place of and what its
    run says it took. Only a model without a description is loaded, to be described; it may have layers that the module
    of `network` registers, which is imported for these alone. SettingError where a model is missing or named twice, or
    where its description says that it was made for images of another size than `image_size` (pixels).
    """
    models = [model for uri in uris for model in find_models(uri)]
    if not models:
        raise SettingError("prepared: no model is named.", "Name the output folder of an experiment.")
    weights: dict[str, str] = {}
    with whole_folder(prepared, is_prepared) as new:
        for number, model in enumerate(models):
            place = new / str(number)
            described = _prepared_model(model, place, image_size, network)
            given = Given(left_out=list(PREPARATION), source=masked_address(model), hours=measured_hours(model))
            write_json(place / DESCRIPTION_FILE, {**described, "preparation": number, "given": given.model_dump()})
            own = str(described["weights"])
            if own in weights:
                raise SettingError(
                    f"prepared: {model} and {weights[own]} are the same model.", "Name every model once."
                )
            weights[own] = model
    return len(models)


def _prepared_model(model: str, place: Path, image_size: int, network: str) -> dict[str, Any]:
    """Put `model`, the URI of a file NAME.keras, into `place`; return its description, a new one where it has none.

    A run that starts from a model of somebody else hands it on with the description that it was given there: no stage.
    """
    if not storage.exists(f"{model.removesuffix('.keras')}.json"):
        settings = {"network": network}
        fetch(model, place, preparation=0, hours=None, preset="", settings=settings, image_size=image_size)
        return dict(read_json(place / DESCRIPTION_FILE))
    place.mkdir()
    copy_model(model, place)
    try:
        content = read_json(place / DESCRIPTION_FILE)
    except (OSError, ValueError) as error:
        raise SettingError(
            f"prepared: the description of {model} cannot be read: {error}.",
            "A model that a run prepared has its description NAME.json beside it.",
        ) from error
    found: dict[str, Any] = content if isinstance(content, dict) else {}
    trained = {"weights", "arm", "seed"} <= found.keys()
    if not trained and not {"weights", "sha256", "given"} <= found.keys():
        raise SettingError(
            f"prepared: the file beside {model} does not describe a prepared model.",
            "Move it away where Headstart did not write it; the model is then taken as that of another program.",
        )
    # Weights of another program are carried over by layer, whatever size of images they were made for.
    if trained and found.get("image_size") != image_size:
        raise SettingError(
            f"prepared: {model} takes images of {found.get('image_size')} pixels; the target images have {image_size}.",
            f"Set image_size to {found.get('image_size')}.",
        )
    return found


def is_prepared(folder: Path) -> bool:
    """Say whether `folder` holds numbered folders of models that a run wrote, and nothing else in these."""
    return all(is_model(child) for child in folder.iterdir() if child.is_dir())
