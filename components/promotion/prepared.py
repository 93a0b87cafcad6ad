"""The prepared model that a retraining starts from: given by URI, or kept in the store from the last time."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from headstart.components.errors import HeadstartError, SettingError
from headstart.components.promotion.store import ModelStore
from headstart.components.regular_files import read_json
from headstart.components.storage import open_place

MODEL_FILE = "model.keras"
DESCRIPTION_FILE = "model.json"


def prepare_initial_model(store: ModelStore, uri: str, target: Path, image_size: int) -> dict[str, Any]:
    """Put the prepared model into `target` (model.keras, model.json) and return its description.

    Where `uri` names it, the store keeps it, so that later retrainings need not name it again. SettingError where
    there is none, or where it was made for images of another size.
    """
    description = read_prepared(store, uri, target)
    found = description.get("image_size")
    if found != image_size:
        raise SettingError(
            f"The prepared model takes images of {found} pixels, the data were imported with {image_size}.",
            f"Set image_size to {found}.",
        )
    if uri:
        store.put_prepared(target)
    return description


def read_prepared(store: ModelStore, uri: str, target: Path) -> dict[str, Any]:
    """Copy the prepared model into `target` and return its description, without keeping it in the store.

    `uri` is a folder with model.keras and model.json, or a file NAME.keras with NAME.json beside it, here or in an
    object store. Empty: the one that the store keeps. SettingError where there is none.
    """
    if uri:
        _copy(uri, target)
        return _description(target, uri)
    if not store.fetch_prepared(target):
        raise SettingError(
            f"{store.uri}: keeps no prepared model yet.",
            "Name one with --model (on a cluster: the parameter prepared): the fine-tuned model of an experiment, "
            "model/finetuned.keras in its output.",
        )
    return _description(target, f"{store.uri}/prepared")


def _copy(uri: str, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    pairs = {MODEL_FILE: MODEL_FILE, DESCRIPTION_FILE: DESCRIPTION_FILE}
    folder = uri.rstrip("/")
    if folder.endswith(".keras"):
        folder, _, name = folder.rpartition("/")
        pairs = {name: MODEL_FILE, name.removesuffix(".keras") + ".json": DESCRIPTION_FILE}
    for source, file in pairs.items():
        data, _ = open_place(folder).read(source)
        if data is None:
            raise SettingError(
                f"Prepared model {uri!r}: {source} is not there.",
                "Expected a folder with model.keras and model.json, or NAME.keras with NAME.json beside it.",
            )
        (target / file).write_bytes(data)


def _description(folder: Path, uri: str) -> dict[str, Any]:
    try:
        description = read_json(folder / DESCRIPTION_FILE)
        if not isinstance(description, dict) or not (folder / MODEL_FILE).exists():
            raise ValueError("it lacks the model or its description")
    except (OSError, ValueError) as error:
        raise HeadstartError(
            f"Prepared model {uri}: cannot be used: {error}.", "Name it again with --model."
        ) from error
    return description
