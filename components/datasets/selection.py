"""Derives a data set of a few merged classes, such as apple, pears and noise, from a packed one."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.components.datasets import leakage
from headstart.components.datasets.collection import counted
from headstart.components.datasets.left_out import left_out
from headstart.components.datasets.packed import (
    PREVIEW_FILE,
    SPLITS,
    Description,
    PackedDataset,
    packed_folder,
    write_description,
    write_packed,
)
from headstart.components.datasets.preview import write_preview
from headstart.components.datasets.settings import REST, SelectionSettings, parse_settings
from headstart.components.datasets.splitting import check_class_names, draw_groups, generator
from headstart.components.errors import HeadstartError, SettingError
from headstart.components.progress import emit


def words(name: str) -> list[str]:
    """Return the words of a class name in lower case: runs of letters and digits, so `Apple_Red-1` has three."""
    return re.findall(r"[^\W_]+", name.lower())


def _longest_match(name: str, pattern: str) -> int:
    """Return how many words the longest alternative of `pattern` that is in `name` as whole words has; 0: none."""
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
    try:
        check_class_names(list(classes), "Setting classes")
    except HeadstartError as error:
        raise SettingError(error.message, error.remedy) from error
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
            known = ", ".join(names[:8]) + ", …" * (len(names) > 8)
            raise SettingError(
                f"Setting classes: {new}={classes[new]} takes in none of the {len(names)} classes ({known})."
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


def most_per_class(options: SelectionSettings, fewest_tested: int) -> dict[str, int]:
    """Return how many images a selection takes of a class at most, by split; `fewest_tested`: that every class has."""
    return {
        "train": options.images_per_class,
        "validation": max(1, round(options.validation_share * options.images_per_class)),
        "test": options.test_images_per_class or fewest_tested,
    }


def choose_rows(
    labels: npt.NDArray[np.int32],
    splits: npt.NDArray[np.intp],
    new_label: npt.NDArray[np.int32],
    new_names: list[str],
    options: SelectionSettings,
) -> tuple[dict[str, list[npt.NDArray[np.intp]]], list[int], list[str]]:
    """Choose rows for each split and new class.

    `labels` and `splits` (index into SPLITS) are those of all N source images, `new_label` gives each source class its
    new one. Returns for each split a list of ascending rows per new class, how many images of each new class the
    training images were drawn from, and notes on what was short.
    """
    notes: list[str] = []
    if options.split_by == "variety":
        splits = splits.copy()
        for index, new in enumerate(new_names):
            rows = np.flatnonzero(new_label[labels] == index)
            names = [str(label) for label in labels]
            if len(np.unique(labels[rows])) < 2:
                raise SettingError(
                    f"Setting split_by: {new} takes in a single class, so it cannot be split by variety.",
                    "Use split_by=official, or let the rule take in more classes.",
                )
            tested = draw_groups(rows, names, options.test_share, generator(options.seed, "variety", new))
            # What the tested varieties have in training is not for training; what the others have in test is unused.
            splits[rows[splits[rows] == SPLITS.index("test")]] = -1
            splits[tested] = SPLITS.index("test")
        notes.append(
            "Test images are of varieties that the training images do not show; a stage that trains on the set that "
            "these were selected from must do without them (hold_out)."
        )
    chosen: dict[str, list[npt.NDArray[np.intp]]] = {split: [] for split in SPLITS}
    for number, split in enumerate(SPLITS):
        available = [
            np.flatnonzero((new_label[labels] == index) & (splits == number)) for index in range(len(new_names))
        ]
        if split == "train":
            pool = [len(rows) for rows in available]
        wanted = most_per_class(options, min(map(len, available)))[split]
        # The test images are the same in every draw.
        draw = [f"draw {options.draw}"] if options.draw and split != "test" else []
        for new, rows in zip(new_names, available, strict=True):
            drawn = rows[draw_evenly(labels[rows], wanted, generator(options.seed, "select", split, new, *draw))]
            if len(drawn) < wanted:
                there = counted(len(drawn), f"{split} image", f"{split} images")
                notes.append(f"{new}: {there}; {wanted} were asked for.")
            if not len(drawn):
                raise HeadstartError(f"Class {new} has no {split} images to select.", "Import more images.")
            chosen[split].append(drawn)
    return chosen, pool, notes


def select_classes(packed: str | Path, folder: str | Path, **settings: Any) -> Description:
    """Derive a packed data set in `folder` from the one in `packed`; `settings` are those of `SelectionSettings`.

    `settings` in the description say of which classes of the source each new one was made (`taken`), of which set
    (`selected_from`, its digest) and, where split by variety, which classes of the source the test images are of
    (`tested_classes`): a stage that trains on the source must do without these, see `holding_out.hold_out`.

    The same input and seed give the same digest on every machine. The folder is whole or not there.
    """
    options = parse_settings(SelectionSettings, settings)
    emit("stage", stage="select", state="start")
    source = PackedDataset(packed)
    _check_split(options, source.description)
    taken = assign_classes(source.classes, options.classes)
    new_names = list(taken)
    new_label = np.zeros(len(source.classes), np.int32)
    for index, new in enumerate(new_names):
        for name in taken[new]:
            new_label[source.classes.index(name)] = index
    opened = {split: source.split(split) for split in SPLITS}
    counts = [len(opened[split][1]) for split in SPLITS]
    starts = np.cumsum([0, *counts])
    labels = np.concatenate([opened[split][1] for split in SPLITS])
    chosen, pool, notes = choose_rows(labels, np.repeat(np.arange(len(SPLITS)), counts), new_label, new_names, options)

    def pixels(row: np.intp) -> npt.NDArray[np.uint8]:
        number = int(np.searchsorted(starts, row, "right")) - 1
        image: npt.NDArray[np.uint8] = opened[SPLITS[number]][0][row - starts[number]]
        return image

    arrays = {
        split: (
            np.stack([pixels(row) for rows in chosen[split] for row in rows]),
            np.concatenate([np.full(len(rows), index, np.int32) for index, rows in enumerate(chosen[split])]),
        )
        for split in SPLITS
    }
    groups = source.all_groups()
    if groups is not None:
        every = np.concatenate([groups[split] for split in SPLITS])
        groups = {split: every[np.concatenate(chosen[split])] for split in SPLITS}
    about = source.description
    made = {**options.model_dump(), "taken": taken, "selected_from": about.digest}
    if "layout" in about.settings:
        made["layout"] = about.settings["layout"]
    if options.split_by == "variety":
        made["tested_classes"] = sorted({source.classes[labels[row]] for rows in chosen["test"] for row in rows})
    with packed_folder(folder, packed) as partial:
        description = write_packed(
            partial,
            {
                "name": "/".join(new_names),
                "source": about.source,
                "reading": about.reading,
                "classes": new_names,
                "skipped": about.skipped,
                "skipped_examples": about.skipped_examples,
                "converted": about.converted,
                "training_pool": pool,
                "notes": notes,
                "settings": made,
            },
            arrays,
            groups,
        )
        strict = leakage.strictly_split(about.settings, options.model_dump())
        found = leakage.examine(arrays, options.near_duplicates, strict)
        description.duplicates_across_splits = found.duplicates
        description.near_duplicates_across_splits = found.near_duplicates
        description.notes += found.notes
        write_description(partial, description)
        write_preview(partial, partial / PREVIEW_FILE, 12)
    emit("stage", stage="select", state="done", images=sum(description.counts.values()), classes=len(new_names))
    return description


def _check_split(options: SelectionSettings, source: Description) -> None:
    """Films and images are told apart at the import; a packed set has the split that it was imported with."""
    imported = source.settings.get("split_by", "official")
    if options.split_by in ("film", "image") and imported != options.split_by:
        raise SettingError(
            f"Setting split_by: a selection cannot split by {options.split_by}: {source.name} was imported with "
            f"split_by={imported}, and its splits are kept.",
            f"Import it with split_by={options.split_by}, or select with split_by=variety.",
        )


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

    `settings` are those of the import where there is a `target_uri`, else further ones of the selection; what
    `selection` names wins over them. An empty rule (`classes={}`) takes the packed set as it is.
    """
    if not target_uri and selection.get("classes") == {}:
        return _as_it_is(Path(intermediate), folder)
    if not target_uri:
        return select_classes(intermediate, folder, **{"seed": seed, **(settings or {}), **selection})
    from headstart.components.datasets.importing import import_dataset

    size = left_out(intermediate) or PackedDataset(intermediate, checked=False).description.image_size
    return import_dataset(
        target_uri, folder, **{"layout": target_layout, "image_size": size, "seed": seed, **(settings or {})}
    )


def _as_it_is(packed: Path, folder: str | Path) -> Description:
    description = PackedDataset(packed).description
    with packed_folder(folder, packed) as partial:
        shutil.copytree(packed, partial, dirs_exist_ok=True)
    return description
