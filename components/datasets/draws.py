"""Draws and subsets of a target set's training images; the test images are the same in all of them.

A set with draws is a packed set, which is draw 0, with a folder `draws/N` for each further one: a packed set of its own
whose test images are those of draw 0.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.components.datasets.packed import Description, PackedDataset, packed_folder, share_split, write_packed
from headstart.components.datasets.selection import select_classes, select_target
from headstart.components.datasets.splitting import draw_groups_jointly, generator
from headstart.components.design import mean_per_class
from headstart.components.errors import SettingError
from headstart.components.records import Subset


def draw_folder(dataset: Path, draw: int) -> Path:
    """Return the folder of one draw of the set in `dataset`."""
    return dataset / "draws" / str(draw) if draw else dataset


def draw_folders(dataset: Path) -> list[Path]:
    """Return the folders of all draws of the set in `dataset`, that of draw 0 first."""
    further = (dataset / "draws").glob("*/dataset.json")
    return [dataset, *sorted((file.parent for file in further), key=lambda folder: int(folder.name))]


def select_draws(
    intermediate: str | Path,
    folder: str | Path,
    *,
    draws: int = 1,
    target_uri: str = "",
    settings: dict[str, Any] | None = None,
    seed: int = 0,
    **selection: Any,
) -> Description:
    """Derive or import the target set (see `select_target`) and draw its training images `draws` times.

    A set that is selected draws other training and validation images of its classes from the intermediate set. One that
    was imported, or is taken as it is, has no others: each draw divides all its training and validation images again,
    with as many of each class in both. Returns the description of draw 0.
    """
    folder = Path(folder)
    description = select_target(intermediate, folder, target_uri=target_uri, settings=settings, seed=seed, **selection)
    selection.pop("target_layout", None)
    for draw in range(1, draws):
        place = draw_folder(folder, draw)
        if target_uri or selection.get("classes") == {}:
            divide_anew(folder, place, seed=seed, draw=draw)
        else:
            select_classes(intermediate, place, **{"seed": seed, **(settings or {}), **selection, "draw": draw})
        share_split(folder, place, "test")
    return description


def divide_anew(packed: str | Path, folder: str | Path, *, seed: int, draw: int) -> Description:
    """Write the packed set `packed` into `folder` with its training and validation images divided at random.

    Of each class there are as many in training and in validation as before, or nearly as many where groups of images
    were kept together in the set, since they are kept together again.
    """
    source = PackedDataset(packed)
    about = source.description
    pixels, labels = (np.concatenate([source.split(name)[part] for name in ("train", "validation")]) for part in (0, 1))
    groups = source.all_groups()
    both = np.concatenate([groups["train"], groups["validation"]]) if groups is not None else None
    if groups is not None and both is not None and not set(groups["train"]) & set(groups["validation"]):
        # They were kept together, and are here too.
        share, every = about.counts["validation"] / len(labels), np.arange(len(labels))
        drawn = draw_groups_jointly(labels, every, list(map(str, both)), share, generator(seed, "divide", str(draw)))
        chosen = ~np.isin(every, drawn)
    else:
        train: list[int] = []
        for label, count in enumerate(about.class_counts["train"]):
            rows = generator(seed, "divide", str(draw), str(label)).permutation(np.flatnonzero(labels == label))
            train += rows[:count].tolist()
        chosen = np.isin(np.arange(len(labels)), train)
    if groups is not None and both is not None:
        groups |= {"train": both[chosen], "validation": both[~chosen]}
    fields = about.model_dump(exclude={"digest", "image_digests", "image_size", "counts", "class_counts"})
    pool = [
        sum(about.class_counts[name][label] for name in ("train", "validation")) for label in range(len(about.classes))
    ]
    with packed_folder(folder) as partial:
        return write_packed(
            partial,
            {**fields, "training_pool": pool, "settings": {**about.settings, "draw": draw}},
            {
                "train": (pixels[chosen], labels[chosen]),
                "validation": (pixels[~chosen], labels[~chosen]),
                "test": source.split("test"),
            },
            groups,
        )


def images_per_class(description: Description) -> int:
    """Return the mean number of training images per class, rounded; at least 1."""
    return mean_per_class(description.counts["train"], len(description.classes))


@contextlib.contextmanager
def subset(packed: Path, size: int) -> Iterator[tuple[Path, Subset | None]]:
    """Yield a packed set with `size` training images per class of the one in `packed`, and what the record says of it.

    The folder is a temporary one. A size of 0 yields the set as it is and None.
    """
    if not size:
        yield packed, None
        return
    with tempfile.TemporaryDirectory(prefix="headstart-subset-") as folder:
        yield Path(folder), write_subset(packed, Path(folder), size)


def write_subset(packed: Path, folder: Path, size: int) -> Subset:
    """Write the subset of `size` training images per class of the set in `packed` into the empty `folder`.

    Of classes of unequal size `size` is the mean. SettingError where the set has fewer images.
    """
    source = PackedDataset(packed, checked=False)
    about = source.description
    there = images_per_class(about)
    if size > there:
        raise SettingError(
            f"sizes: {size} training images per class; {about.name} has {there}.", f"Give sizes up to {there}."
        )
    share = size / there
    chosen = {split: _rows(source, split, share if size < there else 1.0) for split in ("train", "validation")}
    arrays = {}
    for split, rows in chosen.items():
        pixels, labels = source.split(split)
        arrays[split] = pixels[rows], labels[rows]
    arrays["test"] = source.split("test")
    groups = source.all_groups()
    if groups is not None:
        groups |= {split: groups[split][rows] for split, rows in chosen.items()}
    fields = about.model_dump(exclude={"digest", "image_digests", "image_size", "counts", "class_counts"})
    write_packed(folder, {**fields, "settings": {**about.settings, "subset": size}}, arrays, groups)
    share_split(packed, folder, "test")
    return Subset(size_per_class=size, images=len(chosen["train"]))


def _rows(source: PackedDataset, split: str, share: float) -> npt.NDArray[np.intp]:
    """Return the rows of a subset, ascending: of each class the first of one permutation, at least one."""
    labels = source.split(split)[1]
    chosen = []
    for label in np.unique(labels):
        of_class = np.flatnonzero(labels == label)
        order = generator(0, "subset", source.description.digest, split, str(label)).permutation(of_class)
        chosen.append(order[: max(1, round(share * len(of_class)))])
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, np.intp)
