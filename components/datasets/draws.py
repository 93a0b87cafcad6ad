"""Several draws of a target set's training images; the test images are the same in all of them.

A set with draws is a packed set, which is draw 0, with a folder `draws/N` for each further one: a packed set of its own
whose test images are those of draw 0.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from headstart.components.datasets.packed import Description, PackedDataset, packed_folder, share_split, write_packed
from headstart.components.datasets.selection import select_classes, select_target
from headstart.components.datasets.splitting import draw_groups_jointly, generator


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
