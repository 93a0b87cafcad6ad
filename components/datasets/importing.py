"""Imports a data set: finds out what it is, checks it, packs it and describes what came in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from components.atomic_files import whole_folder
from components.datasets import cifar100, folders, leakage
from components.datasets.collection import TRAIN, Collection
from components.datasets.packed import SPLITS, Description, write_description
from components.datasets.packing import Packing, pack
from components.datasets.settings import ImportSettings, parse_settings
from components.datasets.sources import opened, without_credentials
from components.datasets.splitting import assign_splits, check_classes, generator, reorder
from components.errors import HeadstartError
from components.progress import emit


def import_dataset(
    uri: str, folder: str | Path, *, layout: str = "auto", image_size: int = 52, seed: int = 0, **settings: Any
) -> Description:
    """Import the images at `uri` into `folder` as a packed data set and return its description.

    `uri` is a local path, `file://`, `gs://`, `https://`, or `demo:source` / `demo:fruits` for the data that the
    program draws. `settings` are those of `ImportSettings`. The folder is whole or not there. SettingError for a wrong
    setting, HeadstartError for what is wrong with the images.
    """
    options = parse_settings(ImportSettings, {"layout": layout, "image_size": image_size, "seed": seed, **settings})
    source = without_credentials(uri)
    emit("stage", stage="import", state="start", source=source)
    with opened(uri, options) as found, whole_folder(folder) as partial:
        collection = found if isinstance(found, Collection) else recognise(found, options)
        check_not_empty(collection, source)
        check_classes_before = len(collection.classes)
        assign_splits(collection, options)
        check_classes(collection, source, options)
        thin_out(collection, options)
        packing = pack(collection, partial, options.image_size, options.workers)
        check_skipped(packing, len(collection), source, options)
        description = describe(partial, collection, packing, source, options)
        write_description(partial, description)
    emit("stage", stage="import", state="done", images=sum(description.counts.values()), classes=check_classes_before)
    return description


def recognise(path: Path, options: ImportSettings) -> Collection:
    """Find out which layout lies at `path` and collect its images; HeadstartError says what was found otherwise."""
    layout = options.layout
    if layout in ("auto", "cifar100"):
        if path.is_file():
            collection = cifar100.read_archive(path)
            if collection is not None:
                return collection
        elif (own := cifar100.find_in_folder(path)) is not None:
            return cifar100.read_folder(own)
    if path.is_dir():
        root = folders.find_split_root(path)
        if root is not None:
            name = layout if layout != "auto" else "images"
            return folders.read_split_tree(root, name, options)
    raise HeadstartError(f"{path}: no data set was recognised there.")


def check_not_empty(collection: Collection, source: str) -> None:
    """Refuse a source without images."""
    if len(collection) == 0:
        raise HeadstartError(f"{source}: no images in it.")


def thin_out(collection: Collection, options: ImportSettings) -> None:
    """Keep at most `images_per_class` training images a class, drawn by the seed."""
    if not options.images_per_class:
        return
    keep = np.ones(len(collection), bool)
    for index, label in enumerate(collection.classes):
        rows = np.flatnonzero((collection.labels == index) & (collection.splits == TRAIN))
        if len(rows) > options.images_per_class:
            drawn = generator(options.seed, "thin", label).permutation(rows)[options.images_per_class :]
            keep[drawn] = False
    reorder(collection, np.flatnonzero(keep))


def check_skipped(packing: Packing, total: int, source: str, options: ImportSettings) -> None:
    """Refuse an import of which more than the share `skip_share` could not be read."""
    skipped = len(packing.failures)
    if skipped > options.skip_share * total:
        first = "; ".join(f"{path}: {why}" for path, why in packing.failures[:3])
        raise HeadstartError(
            f"{source}: {skipped} of {total} images cannot be read, more than the share "
            f"{options.skip_share:g} that skip_share allows. {first}.",
            "Get whole copies of them, or raise skip_share.",
        )


def describe(
    folder: Path, collection: Collection, packing: Packing, source: str, options: ImportSettings
) -> Description:
    """Count, hash and look for leakage in what was packed."""
    found = leakage.examine(folder, packing.labels, options.image_size, options.near_duplicates)
    classes = collection.classes
    return Description(
        name=collection.name,
        digest=leakage.digest(folder, classes, options.image_size, packing.labels),
        source=source,
        image_size=options.image_size,
        classes=classes,
        counts={split: len(packing.labels[split]) for split in SPLITS},
        class_counts={split: np.bincount(packing.labels[split], minlength=len(classes)).tolist() for split in SPLITS},
        skipped=len(packing.failures),
        skipped_examples=[f"{path}: {why}" for path, why in packing.failures[:10]],
        converted=dict(sorted(packing.converted.items())),
        duplicates_across_splits=found.duplicates,
        near_duplicates_across_splits=found.near_duplicates,
        notes=collection.notes + found.notes,
        settings=options.model_dump(),
    )
