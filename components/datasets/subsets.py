"""Nested subsets of a target set's training images, for a learning curve: the test images are the same in all of them.

A subset keeps the shares of the classes, in validation as in training, so that a run on it is what a run would have
been had only that many images been labelled. The images of a smaller subset are among those
of every larger one.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from headstart.components.datasets.packed import Description, PackedDataset, share_split, write_packed
from headstart.components.datasets.splitting import generator
from headstart.components.errors import SettingError
from headstart.components.records import Subset


def images_per_class(description: Description) -> int:
    """Return how many training images a class has, the mean of all classes, rounded; at least 1."""
    return max(1, round(description.counts["train"] / len(description.classes)))


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
