"""Derives a data set of a few merged classes, such as apple, pears and noise, from a packed one."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.atomic_files import whole_folder
from components.datasets import leakage
from components.datasets.packed import SPLITS, Description, PackedDataset, write_description, write_packed
from components.datasets.preview import PREVIEW_FILE, write_preview
from components.datasets.settings import REST, SelectionSettings, parse_settings
from components.datasets.splitting import generator
from components.errors import SettingError
from components.progress import emit


def words(name: str) -> list[str]:
    """Return the words of a class name in lower case: runs of letters and digits, so `Apple_Red-1` has three."""
    return re.findall(r"[^\W_]+", name.lower())


def _longest_match(name: str, pattern: str) -> int:
    """Return how many words the longest alternative of `pattern` that stands in `name` as whole words has; 0: none."""
    have = words(name)
    best = 0
    for alternative in pattern.split(","):
        want = words(alternative)
        for start in range(len(have) - len(want) + 1):
            if all(h in (w, f"{w}s") for h, w in zip(have[start:], want, strict=False)):
                best = max(best, len(want))
    return best


def assign_classes(names: list[str], classes: dict[str, str]) -> dict[str, list[str]]:
    """Say which of the class `names` each new class takes in, by whole words, ignoring case; plural s is allowed.

    The new classes come in alphabetical order, the rest (`*`) last, so that the order in which a rule was written or
    transported does not matter. SettingError for a rule that takes in nothing or leaves a class to two.
    """
    rest = [new for new, pattern in classes.items() if pattern.strip() == REST]
    if len(rest) > 1:
        raise SettingError(f"Setting classes: {' and '.join(rest)} both take the rest (*); one may.")
    if len(classes) < 2:
        raise SettingError(f"Setting classes: {len(classes)} class; a classifier needs two or more.")
    order = sorted(new for new in classes if new not in rest) + rest
    taken: dict[str, list[str]] = {new: [] for new in order}
    for name in names:
        lengths = {new: _longest_match(name, classes[new]) for new in order if new not in rest}
        best = max(lengths.values(), default=0)
        winners = [new for new, length in lengths.items() if length == best] if best else rest
        if len(winners) > 1:
            raise SettingError(
                f"Setting classes: {name} fits {' and '.join(winners)}.", "Make one rule longer, as in 'apple red'."
            )
        for new in winners:
            taken[new].append(name)
    for new, sources in taken.items():
        if not sources:
            raise SettingError(
                f"Setting classes: {new}={classes[new]} takes in none of the {len(names)} classes "
                f"({', '.join(names[:8])}, …)."
            )
    return taken


def draw_evenly(labels: npt.NDArray[np.int32], count: int, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Draw `count` rows so that the classes in `labels` give as equal numbers as they can; ascending rows."""
    queues = [rng.permutation(np.flatnonzero(labels == label)) for label in rng.permutation(np.unique(labels))]
    drawn: list[int] = []
    for turn in range(max((len(queue) for queue in queues), default=0)):
        drawn += [int(queue[turn]) for queue in queues if turn < len(queue)]
        if len(drawn) >= count:
            break
    return np.array(sorted(drawn[:count]), np.intp)


def select_classes(packed: str | Path, folder: str | Path, **settings: Any) -> Description:
    """Derive a packed data set in `folder` from the one in `packed`; `settings` are those of `SelectionSettings`."""
    options = parse_settings(SelectionSettings, settings)
    emit("stage", stage="select", state="start")
    source = PackedDataset(packed)
    taken = assign_classes(source.classes, options.classes)
    new_names = list(taken)
    new_label = np.zeros(len(source.classes), np.int32)
    for index, new in enumerate(new_names):
        for name in taken[new]:
            new_label[source.classes.index(name)] = index
    notes: list[str] = []
    parts: dict[str, list[tuple[npt.NDArray[np.uint8], int]]] = {split: [] for split in SPLITS}
    opened = {split: source.split(split) for split in SPLITS}
    test_labels = opened["test"][1]
    smallest = min(int((new_label[test_labels] == index).sum()) for index in range(len(new_names)))
    for index, new in enumerate(new_names):
        validation_count = max(
            1, round(options.validation_share * options.images_per_class)
        )  # beside the training images
        wanted = {
            "train": options.images_per_class,
            "validation": validation_count,
            "test": options.test_images_per_class or smallest,
        }
        for split in SPLITS:
            images, labels = opened[split]
            rows = np.flatnonzero(new_label[labels] == index)
            rng = generator(options.seed, "select", split, new)
            drawn = rows[draw_evenly(labels[rows], wanted[split], rng)]
            if len(drawn) < wanted[split]:
                notes.append(f"{new}: {len(drawn)} {split} images, {wanted[split]} were asked for.")
            parts[split].append((images[drawn], index))
    arrays = {
        split: (
            np.concatenate([pixels for pixels, _ in parts[split]]),
            np.concatenate([np.full(len(pixels), index, np.int32) for pixels, index in parts[split]]),
        )
        for split in SPLITS
    }
    with whole_folder(folder) as partial:
        about = {
            "name": "/".join(new_names),
            "source": source.description.source,
            "classes": new_names,
            "skipped": source.description.skipped,
            "notes": notes,
            "settings": {**options.model_dump(), "taken": taken, "from_digest": source.description.digest},
        }
        description = write_packed(partial, about, arrays)
        found = leakage.examine(
            partial,
            {split: arrays[split][1] for split in SPLITS},
            source.description.image_size,
            options.near_duplicates,
        )
        description.duplicates_across_splits = found.duplicates
        description.near_duplicates_across_splits = found.near_duplicates
        description.notes += found.notes
        write_description(partial, description)
        write_preview(partial, partial / PREVIEW_FILE, 12)
    emit("stage", stage="select", state="done", images=sum(description.counts.values()))
    return description


def select_target(
    intermediate: str | Path,
    folder: str | Path,
    *,
    target_uri: str = "",
    target_layout: str = "auto",
    settings: dict[str, Any] | None = None,
    seed: int = 0,
    **selection: Any,
) -> Description:
    """Derive the target set from the packed `intermediate`, or import it from `target_uri` at the same image size.

    `settings` are those of the import where there is a `target_uri`, else further ones of the selection. An empty
    rule (`classes={}`) takes the packed set as it is.
    """
    if not target_uri and selection.get("classes") == {}:
        return _as_it_is(Path(intermediate), folder)
    if not target_uri:
        return select_classes(intermediate, folder, **{"seed": seed, **selection, **(settings or {})})
    from components.datasets.importing import import_dataset

    size = PackedDataset(intermediate).description.image_size
    return import_dataset(
        target_uri, folder, **{"layout": target_layout, "image_size": size, "seed": seed, **(settings or {})}
    )


def _as_it_is(packed: Path, folder: str | Path) -> Description:
    description = PackedDataset(packed).description
    with whole_folder(folder) as partial:
        shutil.copytree(packed, partial, dirs_exist_ok=True)
    return description
