"""Leaves out of an intermediate set what a target set tests on, and on request all of the target's classes."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.components.datasets.collection import counted
from headstart.components.datasets.draws import draw_folders
from headstart.components.datasets.packed import (
    DESCRIPTION_FILE,
    PREVIEW_FILE,
    SPLITS,
    Description,
    Labels,
    PackedDataset,
    Pixels,
    packed_folder,
    write_description,
    write_packed,
)
from headstart.components.datasets.preview import write_preview
from headstart.components.datasets.selection import words
from headstart.components.datasets.settings import REST
from headstart.components.errors import HeadstartError
from headstart.components.progress import emit

_SEEN = ("train", "validation")
"""Splits that a preparing stage looks at while it trains."""
_STEP = 1024


def hold_out(
    intermediate: str | Path, target: str | Path, folder: str | Path, *, target_classes: bool = False
) -> Description:
    """Write into `folder` the packed set `intermediate` without what the packed set `target` must find unseen.

    Always left out: the classes that a selection with split_by=variety tests on (`tested_classes` in the target's
    settings), and training and validation images that are pixel for pixel test images of the target. With
    `target_classes` (the experiment's `hold_out_target`) also every class that a class of the target was made from,
    and every training and validation image that is any image of the target; of a class that takes the rest (`*`) only
    its images are left out, since the rest of it is all that remains to train on. For a target that was imported, its
    classes are those whose words occur in the name of the other, whole words, ignoring case.

    A class that is left without training or test images goes as well. If nothing has to go, the set is handed on as it
    is, digest included. `settings` of the result gain:

    - `held_out`: `target` (digest), `from` (digest), `target_classes`, `classes` (names), `images` (per split);
    - `seen_before`: `images` (training and validation images left of the classes that each class of the target was
      made from), `training_images` and `test_images` (images of these splits of the target that are left in training
      or validation; the latter is 0).

    HeadstartError if fewer than two classes are left or the image sizes differ.
    """
    source, wanted = PackedDataset(intermediate), PackedDataset(target)
    about, goal = source.description, wanted.description
    if about.image_size != goal.image_size:
        raise HeadstartError(
            f"{target}: its images are {goal.image_size} pixels wide, those of {intermediate} {about.image_size}.",
            "Import both with the same image_size.",
        )
    emit("stage", stage="hold_out", state="start")
    made_from = made_from_classes(goal, about.classes)
    rest = {new for new, rule in goal.settings.get("classes", {}).items() if rule.strip() == REST}
    names = set(goal.settings.get("tested_classes", []))
    if target_classes:
        names |= {name for new, sources in made_from.items() if new not in rest for name in sources}
    test_images = set(_digests(wanted, "test"))
    train_images = _digests(wanted, "train")
    unseen = set(test_images)
    if target_classes:
        for drawn in map(PackedDataset, draw_folders(Path(target))):
            unseen |= {value for name in _SEEN for value in _digests(drawn, name)}
    kept, left = _kept_rows(source, names & set(about.classes), unseen)
    if len(kept["classes"]) < 2:
        raise HeadstartError(
            f"Without what the target {goal.name} must find unseen, {len(kept['classes'])} of {len(about.classes)} "
            f"classes of {about.name} have training and test images left; two or more are needed.",
            "Take an intermediate set with other classes, narrower rules in classes, or fewer images_per_class"
            + (", or leave hold_out_target out." if target_classes else "."),
        )
    seen = {
        "images": {new: sum(kept["seen"].get(name, 0) for name in sources) for new, sources in made_from.items()},
        "training_images": sum(value in left for value in train_images),
        "test_images": len(test_images & left),
    }
    images = {split: about.counts[split] - len(kept[split]) for split in SPLITS}
    gone = [name for name in about.classes if name not in kept["classes"]]
    held = {
        "target": goal.digest,
        "from": about.digest,
        "target_classes": target_classes,
        "classes": gone,
        "images": images,
    }
    settings = {**about.settings, "held_out": held, "seen_before": seen}
    with packed_folder(folder, intermediate) as partial:
        if any(images.values()):
            description = _write(partial, source, kept, settings, goal.name)
        else:
            shutil.copytree(intermediate, partial, dirs_exist_ok=True, copy_function=_link_or_copy)
            description = _described_again(partial, about, settings)
    emit(
        "stage", stage="hold_out", state="done", images=sum(description.counts.values()), left_out=sum(images.values())
    )
    return description


def made_from_classes(target: Description, intermediate: list[str]) -> dict[str, list[str]]:
    """Return for each class of `target` the classes of the intermediate set that it was made from, or is the same as.

    A selection says so itself (`taken` in its settings). An imported target is compared by name: the words of one
    name occur side by side in the other.
    """
    taken = target.settings.get("taken")
    if taken is not None:
        return {str(new): [name for name in sources if name in intermediate] for new, sources in taken.items()}
    return {new: [name for name in intermediate if _same_thing(words(new), words(name))] for new in target.classes}


def _same_thing(one: list[str], other: list[str]) -> bool:
    short, long = sorted((one, other), key=len)
    return bool(short) and any(
        all(s in (w, f"{w}s") or w == f"{s}s" for s, w in zip(short, long[start:], strict=False))
        for start in range(len(long) - len(short) + 1)
    )


def _digests(packed: PackedDataset, split: str) -> list[bytes]:
    return [row.tobytes() for row in packed.image_digests(split)]


def _kept_rows(source: PackedDataset, names: set[str], unseen: set[bytes]) -> tuple[dict[str, Any], set[bytes]]:
    """Return what is kept and the digests of what is left in training and validation.

    What is kept: for each split ascending rows, `classes` their names, `seen` training and validation images by class.
    """
    position = {name: index for index, name in enumerate(source.classes)}
    gone = {position[name] for name in names}
    labels: dict[str, Labels] = {split: source.split(split)[1] for split in SPLITS}
    digests = {split: _digests(source, split) for split in _SEEN}
    keep: dict[str, npt.NDArray[np.bool_]] = {}
    for split in SPLITS:
        keep[split] = ~np.isin(labels[split], sorted(gone))
        if split in _SEEN:
            keep[split] &= np.array([value not in unseen for value in digests[split]], bool)
    present = [set(labels[split][keep[split]].tolist()) for split in ("train", "test")]
    complete = sorted(present[0] & present[1])
    rows = {split: np.flatnonzero(keep[split] & np.isin(labels[split], complete)) for split in SPLITS}
    counts = sum(np.bincount(labels[split][rows[split]], minlength=len(position)) for split in _SEEN)
    left = {digests[split][row] for split in _SEEN for row in rows[split]}
    classes = [source.classes[index] for index in complete]
    seen = {name: int(np.asarray(counts)[position[name]]) for name in classes}
    return {**rows, "classes": classes, "seen": seen}, left


def _write(
    folder: Path, source: PackedDataset, kept: dict[str, Any], settings: dict[str, Any], target: str
) -> Description:
    """Write the kept rows, a block at a time, so that memory does not grow with the set."""
    about = source.description
    new_label = np.full(len(source.classes), -1, np.int32)
    for index, name in enumerate(kept["classes"]):
        new_label[source.classes.index(name)] = index
    splits: dict[str, tuple[Pixels, Labels]] = {}
    parts: list[Path] = []
    for split in SPLITS:
        images, labels = source.split(split)
        rows = kept[split]
        shape = (len(rows), about.image_size, about.image_size, 3)
        pixels: Any = np.zeros(shape, np.uint8)[:0]
        if len(rows):
            parts.append(folder / f"{split}.part.npy")
            pixels = np.lib.format.open_memmap(parts[-1], "w+", np.uint8, shape)
            for start in range(0, len(rows), _STEP):
                pixels[start : start + _STEP] = images[rows[start : start + _STEP]]
        splits[split] = (pixels, new_label[labels[rows]])
    groups = source.all_groups()
    if groups is not None:
        groups = {split: groups[split][kept[split]] for split in SPLITS}
    held = settings["held_out"]
    what = "all classes of the target" if held["target_classes"] else "what the target tests on"
    some = ", ".join(held["classes"][:5]) + (", …" if len(held["classes"]) > 5 else "")
    gone = counted(sum(held["images"].values()), "image", "images")
    whole = counted(len(held["classes"]), "class", "classes")
    note = f"Held out for the target {target} was {what}: {gone}"
    note += f", among them all of {whole} ({some})." if held["classes"] else "."
    fields = about.model_dump(
        include={
            "name",
            "source",
            "reading",
            "skipped",
            "skipped_examples",
            "converted",
            "duplicates_across_splits",
            "near_duplicates_across_splits",
        }
    )
    description = write_packed(
        folder,
        {**fields, "classes": kept["classes"], "notes": [*about.notes, note], "settings": settings},
        splits,
        groups,
    )
    for part in parts:
        part.unlink()
    write_preview(folder, folder / PREVIEW_FILE)
    return description


def _described_again(folder: Path, about: Description, settings: dict[str, Any]) -> Description:
    description = about.model_copy(update={"settings": settings})
    (folder / DESCRIPTION_FILE).unlink()  # it may be a link to the one of the set that was handed on
    write_description(folder, description)
    return description


def _link_or_copy(source: str, place: str) -> None:
    """Packed files are never changed in place, so that two sets may share them."""
    try:
        os.link(source, place)
    except OSError:
        shutil.copy2(source, place)
