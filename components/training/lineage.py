"""What a model was made from: the stages before it, and the images that these were trained on.

A model that later stages start from has a file `trained_on.npz` beside it. It holds for every stage of its chain the
digest of each training image (`digests_N`, uint8 M × 16, see `headstart.components.datasets.packed.digests_of`), its
label (`labels_N`, int32 M), thumbnails of at most 20,000 of them (`thumbnails_N`, see
`headstart.components.datasets.leakage.thumbnails`), and as JSON in `about` the stage, the digest of its data and its
class names.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from headstart.components.atomic_files import whole_file
from headstart.components.datasets.holding_out import made_from_classes
from headstart.components.datasets.leakage import near_twins, thumbnails
from headstart.components.datasets.packed import PackedDataset, release
from headstart.components.datasets.settings import REST
from headstart.components.errors import HeadstartError
from headstart.components.records import Ancestor, SeenBefore

TRAINED_ON = "trained_on.npz"
_KEPT = 20_000
"""Thumbnails that are kept of a stage, at most: 10 MB."""
_LOOKED_AT = 200
"""Test images for which near-twins are looked for, at most: every run of an arm does so, in a fraction of a second."""


class TrainedOn(NamedTuple):
    """The training images of one stage."""

    stage: str
    data: str
    classes: list[str]
    digests: npt.NDArray[np.uint8]
    labels: npt.NDArray[np.int32]
    thumbnails: npt.NDArray[np.uint8] | None = None


def chain(description: dict[str, Any]) -> list[Ancestor]:
    """Return the stages that led to the model with this `model.json`, itself the last if the file says which it is."""
    earlier = [Ancestor.model_validate(entry) for entry in description.get("lineage", [])]
    if not {"arm", "seed", "weights"} <= set(description):
        return earlier
    facts = {"stage": description["arm"], "seed": description["seed"], "weights": description["weights"]}
    return [*earlier, Ancestor(**facts, data=description.get("data", ""))]


def write_trained_on(model: Path, stage: str, dataset: PackedDataset, initial_model: Path | None) -> None:
    """Write beside `model` what it was trained on, and what the model that it started from had been trained on."""
    stages = (read_trained_on(initial_model) or []) if initial_model else []
    own = TrainedOn(
        stage,
        dataset.description.digest,
        dataset.classes,
        dataset.image_digests("train"),
        dataset.split("train")[1],
        _thumbnails(dataset, "train", _KEPT),
    )
    arrays: dict[str, Any] = {}
    about = []
    for number, part in enumerate([*stages, own]):
        arrays[f"digests_{number}"], arrays[f"labels_{number}"] = part.digests, part.labels
        if part.thumbnails is not None:
            arrays[f"thumbnails_{number}"] = part.thumbnails
        about.append({"stage": part.stage, "data": part.data, "classes": part.classes})
    text = np.frombuffer(json.dumps(about).encode(), np.uint8)
    with whole_file(model / TRAINED_ON) as partial, partial.open("wb") as file:
        np.savez(file, about=text, **arrays)


def read_trained_on(model: Path) -> list[TrainedOn] | None:
    """Return what `write_trained_on` wrote beside `model`, the earliest stage first; None if there is no such file."""
    path = model / TRAINED_ON
    if not path.is_file():
        return None
    try:
        with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
            about = json.loads(file["about"].tobytes())
            return [
                TrainedOn(
                    entry["stage"],
                    entry["data"],
                    entry["classes"],
                    file[f"digests_{number}"],
                    file[f"labels_{number}"],
                    file[f"thumbnails_{number}"] if f"thumbnails_{number}" in file.files else None,
                )
                for number, entry in enumerate(about)
            ]
    except Exception as error:  # numpy's and zipfile's readers raise nearly anything on damaged bytes
        raise HeadstartError(f"{path}: cannot be read ({error}).", "Train the stage that makes it again.") from error


def seen_before(dataset: PackedDataset, initial_model: Path) -> SeenBefore | None:
    """Say what of `dataset` the stages before `initial_model`, and it itself, were trained on; None: not known.

    Images are the same if their pixels are. Labelled images of the target's classes are those of the classes that these
    were selected from, or, in other data, of the classes with the same name (`made_from_classes`); a class that takes
    the rest (`*`) is left out.
    """
    stages = read_trained_on(initial_model)
    if stages is None:
        return None
    training, test = (_among(dataset.image_digests(split), stages) for split in ("train", "test"))
    return SeenBefore(
        class_images=sum(_of_these_classes(dataset, part) for part in stages),
        training_images=training,
        test_images=test,
        near_test_share=_near_share(dataset, [part.thumbnails for part in stages]),
    )


def _among(digests: npt.NDArray[np.uint8], stages: list[TrainedOn]) -> int:
    """Count the `digests` that are those of images of `stages`."""
    seen = set()
    for part in stages:
        # Few are equal in their first half, which can be compared as a number.
        alike = np.isin(part.digests.view(np.uint64)[:, 0], digests.view(np.uint64)[:, 0])
        seen |= {row.tobytes() for row in part.digests[alike]}
    return sum(row.tobytes() in seen for row in digests)


def _thumbnails(dataset: PackedDataset, split: str, most: int) -> npt.NDArray[np.uint8]:
    """Return thumbnails of a split's images, of `most` at even distances where there are more."""
    pixels = dataset.split(split)[0]
    rows = np.linspace(0, max(0, len(pixels) - 1), min(len(pixels), most)).astype(int)
    parts = []
    for start in range(0, max(1, len(rows)), 1024):
        parts.append(thumbnails(pixels[rows[start : start + 1024]]))
        release(pixels)
    return np.concatenate(parts)


def _near_share(dataset: PackedDataset, known: list[npt.NDArray[np.uint8] | None]) -> float | None:
    """Return the share of test images with a near-twin in `known`; None where a stage kept no thumbnails like these."""
    tested = _thumbnails(dataset, "test", _LOOKED_AT)
    kept = [each for each in known if each is not None and each.shape[1:] == tested.shape[1:]]
    if len(kept) < len(known) or not len(tested):
        return None
    return float(near_twins(tested, np.concatenate(kept)).mean())


def _of_these_classes(dataset: PackedDataset, part: TrainedOn) -> int:
    target = dataset.description
    rest = {new for new, rule in target.settings.get("classes", {}).items() if rule.strip() == REST}
    made_from = made_from_classes(target, part.classes)
    if not any(made_from.values()):  # it was selected from other data: only names can tell
        made_from = made_from_classes(target.model_copy(update={"settings": {}}), part.classes)
    names = {name for new, sources in made_from.items() if new not in rest for name in sources}
    labels = [label for label, name in enumerate(part.classes) if name in names]
    return int(np.isin(part.labels, labels).sum())
