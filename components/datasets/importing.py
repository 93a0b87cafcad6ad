"""Imports a data set: brings it here, finds out what it is, checks it, packs it and describes what came in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.components import storage
from headstart.components.atomic_files import scratch_folder
from headstart.components.credentials import reveal, without_credentials
from headstart.components.datasets import cifar100, downloads, leakage
from headstart.components.datasets.archives import is_archive, is_tar, unpack
from headstart.components.datasets.collection import TRAIN, Collection, counted
from headstart.components.datasets.decoding import TURNED
from headstart.components.datasets.folders import composed
from headstart.components.datasets.layouts import called, recognise
from headstart.components.datasets.packed import (
    PREVIEW_FILE,
    SPLITS,
    Description,
    content_digest,
    mapped,
    packed_folder,
    write_description,
    write_groups,
    write_image_digests,
)
from headstart.components.datasets.packing import Packing, pack
from headstart.components.datasets.preview import write_preview
from headstart.components.datasets.reading import reading_of
from headstart.components.datasets.settings import ImportSettings, parse_settings
from headstart.components.datasets.splitting import assign_splits, check_classes, generator, reorder
from headstart.components.errors import HeadstartError, SettingError
from headstart.components.progress import emit
from headstart.components.regular_files import check_regular


@dataclass(frozen=True)
class Survey:
    """What would be imported: classes, images per split and of each class, and what is worth saying about them."""

    source: str
    classes: list[str]
    counts: dict[str, int]
    per_class: dict[str, dict[str, int]]
    notes: list[str]


def import_dataset(
    uri: str, folder: str | Path, *, layout: str = "auto", image_size: int = 52, seed: int = 0, **settings: Any
) -> Description:
    """Import the images at `uri` into `folder` as a packed data set and return its description.

    `uri` is a local path, `file://`, `gs://`, `s3://`, `https://`, or `demo:source` / `demo:fruits` for the data that
    the program draws. `settings` are those of `ImportSettings`. The folder is whole or not there. SettingError for a
    wrong setting, HeadstartError for what is wrong with the images.
    """
    options = parse_settings(ImportSettings, {"layout": layout, "image_size": image_size, "seed": seed, **settings})
    source = composed(without_credentials(uri))
    emit("stage", stage="import", state="start", source=source)
    with packed_folder(folder, _local_source(uri)) as partial, opened(uri, options) as found:
        with collected(found, options, source) as collection:
            collection.name = composed(collection.name)
            assign_splits(collection, options)
            check_classes(collection, source, options)
            thin_out(collection, options)
            collection.grouped |= options.split_by in ("film", "variety") or options.validation_by == "film"
            packing = pack(collection, partial, options.image_size, reading_of(vars(options)), options.workers)
            check_packed(packing, collection, source, options)
            description = describe(partial, collection, packing, source, options)
        write_description(partial, description)
        write_preview(partial, partial / PREVIEW_FILE)
    emit(
        "stage",
        stage="import",
        state="done",
        images=sum(description.counts.values()),
        classes=len(description.classes),
    )
    return description


def survey(uri: str, *, layout: str = "auto", image_size: int = 52, seed: int = 0, **settings: Any) -> Survey:
    """Recognise and count what an import of `uri` would read, without decoding an image or writing anything.

    Arguments and errors as in `import_dataset`, but for what only decoding shows.
    """
    options = parse_settings(ImportSettings, {"layout": layout, "image_size": image_size, "seed": seed, **settings})
    source = composed(without_credentials(uri))
    with opened(uri, options) as found, collected(found, options, source) as collection:
        assign_splits(collection, options)
        check_classes(collection, source, options)
        thin_out(collection, options)
        splits = [collection.labels[collection.splits == number] for number in range(len(SPLITS))]
        by_class = np.stack([np.bincount(labels, minlength=len(collection.classes)) for labels in splits], axis=1)
        per_class = {
            name: dict(zip(SPLITS, row, strict=True))
            for name, row in zip(collection.classes, by_class.tolist(), strict=True)
        }
        counts = dict(zip(SPLITS, by_class.sum(axis=0).tolist(), strict=True))
        return Survey(source, list(collection.classes), counts, per_class, list(collection.notes))


def _local_source(uri: str) -> Path | None:
    """Return the file or folder that `uri` names on this machine; None where it names none."""
    if "://" in uri.removeprefix("file://") or uri.startswith("demo:"):
        return None
    return storage.local_path(uri)


@contextmanager
def collected(found: Path | Collection, options: ImportSettings, source: str) -> Iterator[Collection]:
    """Yield the collection that lies at a path; an archive is unpacked for as long as it is needed.

    Errors call by `source` what was fetched or unpacked.
    """
    if isinstance(found, Collection):
        yield found
        return
    if options.layout in ("auto", "cifar100") and is_tar(found):
        published = cifar100.read_archive(found)
        if published is not None:
            yield published
            return
    with called(found, source), unpacked(found) as path, called(path, source):
        yield recognise(path, options)


def thin_out(collection: Collection, options: ImportSettings) -> None:
    """Keep at most `images_per_class` training images per class, drawn by the seed."""
    if not options.images_per_class:
        return
    keep = np.ones(len(collection), bool)
    for index, label in enumerate(collection.classes):
        rows = np.flatnonzero((collection.labels == index) & (collection.splits == TRAIN))
        if len(rows) > options.images_per_class:
            drawn = generator(options.seed, "thin", label).permutation(rows)[options.images_per_class :]
            keep[drawn] = False
    reorder(collection, np.flatnonzero(keep))


def check_packed(packing: Packing, collection: Collection, source: str, options: ImportSettings) -> None:
    """Refuse an import that lost more than the share `skip_share`, or all images of a class, as unreadable."""
    total, skipped = len(collection), len(packing.failures)
    if skipped > options.skip_share * total:
        first = "; ".join(f"{path}: {why}" for path, why in packing.failures[:3])
        raise HeadstartError(
            f"{source}: {skipped} of {total} images cannot be read, more than the share "
            f"{options.skip_share:g} that skip_share allows. {first}.",
            "Replace, convert or remove them, or raise skip_share.",
        )
    for split in ("train", "test"):
        present = np.bincount(packing.labels[split], minlength=len(collection.classes))
        if not present.all():
            label = collection.classes[int(np.argmin(present))]
            raise HeadstartError(f"{source}: not one {split} image of class {label} can be read.")


def describe(
    folder: Path, collection: Collection, packing: Packing, source: str, options: ImportSettings
) -> Description:
    """Count, hash and look for leakage in what was packed."""
    strict = set(SPLITS) if collection.groups_given else leakage.strictly_split(options.model_dump())
    splits = {
        split: (mapped(folder / split / "images.npy", len(labels)), labels) for split, labels in packing.labels.items()
    }
    found = leakage.examine(splits, options.near_duplicates, strict)
    classes = collection.classes
    examples = [f"{path}: {why}" for path, why in packing.failures[:10]]
    notes = collection.notes + found.notes
    if packing.converted[TURNED]:
        notes.append(
            f"{counted(packing.converted[TURNED], 'image was', 'images were')} turned as the camera's orientation mark "
            "says (orientation=ignore takes images as they are stored)."
        )
    if examples:
        unreadable = counted(len(packing.failures), "image that cannot be read", "images that cannot be read")
        notes.append(f"Left out: {unreadable}, such as {'; '.join(examples)}.")
    return Description(
        name=collection.name,
        digest=content_digest(classes, options.image_size, splits),
        image_digests={split: write_image_digests(folder, split, digests) for split, digests in found.digests.items()},
        group_digests=write_groups(folder, packing.groups),
        source=source,
        image_size=options.image_size,
        reading=reading_of(vars(options)),
        classes=classes,
        counts={split: len(packing.labels[split]) for split in SPLITS},
        class_counts={split: np.bincount(packing.labels[split], minlength=len(classes)).tolist() for split in SPLITS},
        skipped=len(packing.failures),
        skipped_examples=examples,
        converted=dict(sorted(packing.converted.items())),
        duplicates_across_splits=found.duplicates,
        near_duplicates_across_splits=found.near_duplicates,
        notes=notes,
        settings=options.model_dump(),
    )


@contextmanager
def opened(uri: str, options: ImportSettings) -> Iterator[Path | Collection]:
    """Yield the local path of what `uri` names, or a collection in memory; what was fetched is removed afterwards.

    Fetched files lie below TMPDIR while they are needed.
    """
    if uri.startswith("demo:"):
        from headstart.components.datasets import demonstration

        yield demonstration.draw(uri, options.seed)
        return
    uri = reveal(uri)
    if storage.is_remote(uri) or uri.startswith(("https://", "http://")):
        with scratch_folder("import") as folder:
            yield storage.download(uri, folder) if storage.is_remote(uri) else downloads.fetch(uri, folder, kept=False)
        return
    path = storage.local_path(uri)
    if not path.exists():
        raise SettingError(f"{path}: there is no such file or folder.", "Name the data set's folder or archive.")
    if not path.is_dir():
        try:
            check_regular(path)
        except OSError as error:
            raise SettingError(
                f"{path}: cannot be read: {error.strerror}.", "Name the data set's folder or archive."
            ) from error
    yield path


@contextmanager
def unpacked(path: Path) -> Iterator[Path]:
    """Yield the folder that an archive was unpacked to, or `path` itself where it is none."""
    if not is_archive(path):
        yield path
        return
    with scratch_folder("import") as folder:
        unpack(path, folder)
        yield folder
