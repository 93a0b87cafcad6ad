"""The packed data set: the form in which images travel between stages.

A folder with few files, so that it uploads quickly and memory-maps:

    dataset.json            who made it of what: classes, counts, image size, source, what was skipped, digest
    <split>/images.npy      uint8, N × H × W × 3, C order
    <split>/labels.npy      int32, N, index into the class names
    <split>/digests.npy     uint8, N × 16, what tells whether two images are equal, in this data set or in two
    <split>/groups.npy      int32, N, the number of the film or object that each image is of, −1 where it is not known;
                            only in sets in which images are known to belong together

The splits are `train`, `validation` and `test`. The digest identifies the content wherever it is named: SHA-256 over
the class names, the image size, and every split's labels and pixels, so that equal images give an equal digest on every
machine, wherever they came from. The digests of single images lie in a file of their own because `dataset.json` is read
and printed whole: 60,000 images have 1 MB of them. `dataset.json` holds the SHA-256 of each of these files' content
and of its own fields.
"""

from __future__ import annotations

import hashlib
import json
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headstart.components import records
from headstart.components.atomic_files import holds_only, whole_folder, write_text
from headstart.components.datasets.reading import Reading
from headstart.components.errors import HeadstartError, SettingError
from headstart.components.regular_files import LARGEST_TEXT, check_regular, read_regular

SCHEMA_VERSION = 1
SPLITS = ("train", "validation", "test")
DESCRIPTION_FILE = "dataset.json"
PREVIEW_FILE = "preview.png"
_ARRAYS = ("images.npy", "labels.npy", "digests.npy", "groups.npy")

Pixels = npt.NDArray[np.uint8]
Labels = npt.NDArray[np.int32]
Digests = npt.NDArray[np.uint8]
"""N × 16, see `digests_of`."""
Groups = npt.NDArray[np.int32]
"""N numbers, the same in all splits of a set; −1: not known."""


class Description(BaseModel):
    """The content of `dataset.json`."""

    model_config = ConfigDict(extra="ignore")

    schema_version: int = SCHEMA_VERSION
    name: str = Field(description="what it is, for people: cifar100, fruits360, apple/pears/noise, …")
    digest: str
    image_digests: dict[str, str] = Field(
        default_factory=dict, description="SHA-256 of the image digests of each split; empty in sets of older versions"
    )
    group_digests: dict[str, str] = Field(
        default_factory=dict, description="SHA-256 of the groups of each split; empty where no groups are known"
    )
    checksum: str = Field("", description="SHA-256 of the other fields; empty in sets of older versions")
    source: str = Field(description="URI it was imported from, without credentials")
    image_size: int = Field(ge=1)
    reading: Reading = Field(Reading(), description="how files became these pixels; a model trained on them keeps it")
    classes: list[str]
    counts: dict[str, int] = Field(description="images per split")
    class_counts: dict[str, list[int]] = Field(description="images per split and class, in the order of `classes`")
    training_pool: list[int] | None = Field(
        None, description="images of each class that the training images were drawn from; null: all there were"
    )
    skipped: int = 0
    skipped_examples: list[str] = Field(default_factory=list, description="the first ten: path and why")
    converted: dict[str, int] = Field(default_factory=dict, description="images converted to RGB, by their mode")
    duplicates_across_splits: int = 0
    near_duplicates_across_splits: int | None = None
    notes: list[str] = Field(default_factory=list, description="what a reader of the report should know")
    settings: dict[str, Any] = Field(default_factory=dict, description="how it was made: seed, fractions, rule, …")

    def record(self) -> records.Data:
        """Return the part of it that a run record carries, without the groups: see `PackedDataset.record`."""
        return records.Data(**self.model_dump(include=set(records.Data.model_fields)))

    def artifact_metadata(self) -> dict[str, str | float]:
        """Return what a pipeline's artifact says of it: strings and floats, which every backend hands on unchanged."""
        return {
            "digest": self.digest,
            "source": self.source,
            "classes": float(len(self.classes)),
            **{f"{split}_images": float(count) for split, count in self.counts.items()},
        }


def content_digest(classes: list[str], image_size: int, splits: dict[str, tuple[Pixels, Labels]]) -> str:
    """SHA-256 over class names, image size and, for each split in the fixed order, labels and pixels."""
    digest = hashlib.sha256()
    digest.update(json.dumps({"classes": classes, "image_size": image_size}, ensure_ascii=True).encode())
    for split in SPLITS:
        pixels, labels = splits[split]
        digest.update(f"{split}:{len(labels)}:".encode())
        digest.update(np.ascontiguousarray(labels, dtype="<i4").data)
        for block in blocks(pixels):
            digest.update(np.ascontiguousarray(block, dtype=np.uint8).data)
    return digest.hexdigest()


def blocks(pixels: Pixels, step: int = 4096) -> Iterator[Pixels]:
    """Yield images in blocks of `step`; of a memory-mapped array no more than one block is in memory at a time."""
    for start in range(0, len(pixels), step):
        yield pixels[start : start + step]
        release(pixels)


def release(pixels: Pixels) -> None:
    """Give back the memory of a memory-mapped array that was read; what is needed again comes from the file.

    Nothing is done to other arrays. Pages that are mapped twice count twice in a process's memory.
    """
    if isinstance(pixels, np.memmap) and pixels.mode == "r" and hasattr(mmap, "MADV_DONTNEED"):
        pixels._mmap.madvise(mmap.MADV_DONTNEED)  # type: ignore[attr-defined]


def digests_of(pixels: Pixels) -> Digests:
    """Return one digest for each image of uint8 N × H × W × 3: 16 bytes of BLAKE2b over its pixels.

    Equal pixels have equal digests. Model stores hold the same ones, as hexadecimal lines, of what a model was trained
    on.
    """
    joined = b"".join([hashlib.blake2b(image.data, digest_size=16).digest() for image in np.ascontiguousarray(pixels)])
    return np.frombuffer(joined, np.uint8).reshape(len(pixels), 16)


class PackedDataset:
    """A packed data set on disk, opened for reading; images stay on disk until they are touched.

    Whether the files still hold what the digest names is checked when the set is opened (0.3 s for the 60,000 images
    of CIFAR-100 at 52 × 52). Whether two sets share images: `image_digests(split)`, uint8 N × 16 in the order of the
    split's rows, is equal for two images exactly where all their packed pixels are; as sets of bytes:
    `{row.tobytes() for row in dataset.image_digests("test")}`.
    """

    def __init__(self, folder: str | Path, *, checked: bool = True) -> None:
        """Open `folder`; HeadstartError says which file is missing, damaged or not what it should be.

        `checked=False` reads the description alone, for those who do not use the images.
        """
        self.folder = Path(folder)
        file = self.folder / DESCRIPTION_FILE
        try:
            content = read_regular(file, LARGEST_TEXT)
            self.description = Description.model_validate_json(content)
        except OSError as error:
            raise HeadstartError(
                f"{self.folder}: not a packed data set: {DESCRIPTION_FILE} cannot be read ({error.strerror}).",
                "`headstart data` makes one from images.",
            ) from error
        except (ValidationError, UnicodeDecodeError) as error:
            raise HeadstartError(f"{file}: not the description of a packed data set: {error}") from error
        if self.description.schema_version > SCHEMA_VERSION:
            raise HeadstartError(
                f"{file}: schema version {self.description.schema_version}; "
                f"this Headstart reads up to {SCHEMA_VERSION}.",
                "Install a newer Headstart, or import the images again.",
            )
        if self.description.checksum not in ("", _checksum(content)):
            raise HeadstartError(
                f"{file}: was changed or damaged: its checksum is {_checksum(content)}, it says "
                f"{self.description.checksum}.",
                "Import the data again.",
            )
        if checked:
            self.verify()

    @property
    def classes(self) -> list[str]:
        """Class names; a label is an index into them."""
        return self.description.classes

    def split(self, name: str) -> tuple[Pixels, Labels]:
        """Return one split: images (uint8, N × H × W × 3, memory-mapped) and labels (int32, N)."""
        size, count = self.description.image_size, self.description.counts.get(name, 0)
        images = self._array(name, "images.npy", np.uint8, (count, size, size, 3))
        return images, np.asarray(self._array(name, "labels.npy", np.int32, (count,)))

    def image_digests(self, split: str) -> Digests:
        """Return the digest of every image of a split (`digests_of`): uint8, N × 16, in the order of its rows.

        They are computed where the set was written by a version that did not keep them. HeadstartError where they are
        not those that `dataset.json` names.
        """
        expected = self.description.image_digests.get(split)
        if expected is None:
            return np.concatenate([np.zeros((0, 16), np.uint8), *map(digests_of, blocks(self.split(split)[0]))])
        shape = (self.description.counts.get(split, 0), 16)
        digests = np.ascontiguousarray(self._array(split, "digests.npy", np.uint8, shape))
        if _sha256(digests) != expected:
            raise HeadstartError(
                f"{self.folder / split / 'digests.npy'}: not the digests that {DESCRIPTION_FILE} names.",
                "A file was changed or damaged; import the data again.",
            )
        return digests

    def groups(self, split: str) -> Groups | None:
        """Return the number of the film or object of every image of a split; None where no groups are known.

        HeadstartError where they are not those that `dataset.json` names.
        """
        expected = self.description.group_digests.get(split)
        if expected is None:
            return None
        groups = self._array(split, "groups.npy", np.int32, (self.description.counts.get(split, 0),))
        if _sha256(groups) != expected:
            raise HeadstartError(
                f"{self.folder / split / 'groups.npy'}: not the groups that {DESCRIPTION_FILE} names.",
                "Import the data again.",
            )
        return np.asarray(groups)

    def all_groups(self) -> dict[str, Groups] | None:
        """Return the groups of all splits, by split; None where none are known."""
        found = {split: groups for split in SPLITS if (groups := self.groups(split)) is not None}
        return found if len(found) == len(SPLITS) else None

    def record(self) -> records.Data:
        """Return what a run record says of the data, with the group of each test image where groups are known."""
        data, groups = self.description.record(), self.groups("test")
        if groups is not None:
            data.test_groups = [int(group) if group >= 0 else None for group in groups]
        return data

    def verify(self, *, images: bool = False) -> None:
        """Read everything and compare its digest with that of the description; HeadstartError if they differ.

        With `images` the digest of every single image too.
        """
        splits = {name: self.split(name) for name in SPLITS}
        content = content_digest(self.classes, self.description.image_size, splits)
        if content != self.description.digest:
            raise HeadstartError(
                f"{self.folder}: its content has digest {content}, {DESCRIPTION_FILE} says {self.description.digest}.",
                "A file was changed or damaged; import the data again.",
            )
        for name, (_, labels) in splits.items():
            self.groups(name)
            known = labels.min(initial=0) >= 0 and labels.max(initial=-1) < len(self.classes)
            if not known or np.bincount(
                labels, minlength=len(self.classes)
            ).tolist() != self.description.class_counts.get(name):
                raise HeadstartError(
                    f"{self.folder}: {DESCRIPTION_FILE} does not say how many {name} images each class has.",
                    "The file was changed or damaged; import the data again.",
                )
        for name in set(SPLITS) & set(self.description.image_digests) if images else ():
            computed = np.concatenate([np.zeros((0, 16), np.uint8), *map(digests_of, blocks(splits[name][0]))])
            if not np.array_equal(computed, self.image_digests(name)):
                raise HeadstartError(
                    f"{self.folder / name / 'digests.npy'}: not the digests of the images in {name}.",
                    "Import the data again.",
                )

    def _array(self, split: str, file: str, dtype: type[np.generic], shape: tuple[int, ...]) -> Any:
        path = self.folder / split / file
        try:
            check_regular(path)
            array = mapped(path, self.description.counts.get(split, 0))
        except Exception as error:  # numpy's reader raises nearly anything on a damaged header
            raise HeadstartError(f"{path}: cannot be read: {error}.", "Import the data again.") from error
        if array.dtype != dtype or array.shape != shape:
            raise HeadstartError(
                f"{path}: {array.dtype} {array.shape}, expected {np.dtype(dtype)} {shape} as {DESCRIPTION_FILE} says.",
                "Import the data again.",
            )
        return array


def mapped(path: Path, rows: int) -> Any:
    """Return the array in a file, memory-mapped if it has rows: numpy cannot map an empty one."""
    return np.load(path, mmap_mode="r" if rows else None, allow_pickle=False)


def _checksum(content: bytes) -> str:
    """SHA-256 of the fields in `dataset.json` but that of the checksum, however they are laid out."""
    fields = {name: value for name, value in json.loads(content).items() if name != "checksum"}
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()


def _sha256(values: Digests | Groups) -> str:
    return hashlib.sha256(values.tobytes()).hexdigest()


def write_image_digests(folder: Path, split: str, digests: Digests) -> str:
    """Write the image digests of one split (uint8, N × 16); return what `Description.image_digests` holds of them."""
    np.save(folder / split / "digests.npy", digests, allow_pickle=False)
    return _sha256(digests)


def write_groups(folder: Path, groups: dict[str, Groups] | None) -> dict[str, str]:
    """Write the groups of every split; return what `Description.group_digests` holds of them."""
    for split, numbers in (groups or {}).items():
        np.save(folder / split / "groups.npy", np.ascontiguousarray(numbers, dtype=np.int32), allow_pickle=False)
    return {split: _sha256(numbers.astype(np.int32)) for split, numbers in (groups or {}).items()}


def is_packed(folder: Path) -> bool:
    """Say whether `folder` is a packed data set with nothing else in it, which a new one may replace."""
    arrays = [f"{split}/{array}" for split in SPLITS for array in _ARRAYS]
    names = [DESCRIPTION_FILE, PREVIEW_FILE, *arrays, "draws/*"]  # see headstart.components.datasets.draws
    try:
        PackedDataset(folder, checked=False)
    except HeadstartError:
        return False
    return holds_only(folder, names)


@contextmanager
def packed_folder(folder: str | Path, source: str | Path | None = None) -> Iterator[Path]:
    """Yield a folder to fill with a data set, which then is whole in `folder` or not there (`whole_folder`).

    An earlier packed set in its place is replaced. SettingError where `folder` holds anything else, or where it is
    `source`, the file or folder that is read, contains it or lies in it.
    """
    if source is not None and Path(source).exists():
        read, written = Path(source).resolve(), Path(folder).resolve()
        if read.is_relative_to(written) or written.is_relative_to(read):
            how = "is" if read == written else "contains" if read.is_relative_to(written) else "lies in"
            raise SettingError(f"{folder}: the output {how} the source {source}.", "Name a folder elsewhere.")
    with whole_folder(folder, is_packed) as partial:
        yield partial


def write_description(folder: Path, description: Description) -> None:
    """Write `dataset.json`, last of all files, since its presence says that the data set is whole."""
    description.checksum = _checksum(description.model_dump_json().encode())
    write_text(folder / DESCRIPTION_FILE, description.model_dump_json(indent=1) + "\n")


def write_packed(
    folder: Path,
    description: dict[str, Any],
    splits: dict[str, tuple[Pixels, Labels]],
    groups: dict[str, Groups] | None = None,
) -> Description:
    """Write arrays that are in memory as a packed data set into the existing `folder` and return its description.

    `description` holds the fields of `Description` that do not follow from the arrays: name, source, classes, ….
    `groups` has the group of every image of each split, where groups are known.
    """
    classes = list(description["classes"])
    image_size = int(splits["train"][0].shape[1])
    image_digests = {}
    for split in SPLITS:
        pixels, labels = splits[split]
        (folder / split).mkdir(exist_ok=True)
        np.save(folder / split / "images.npy", np.ascontiguousarray(pixels, dtype=np.uint8), allow_pickle=False)
        np.save(folder / split / "labels.npy", np.ascontiguousarray(labels, dtype=np.int32), allow_pickle=False)
        image_digests[split] = write_image_digests(folder, split, digests_of(np.asarray(pixels, dtype=np.uint8)))
    full = Description(
        **{
            **description,
            "digest": content_digest(classes, image_size, splits),
            "image_digests": image_digests,
            "group_digests": write_groups(folder, groups),
            "image_size": image_size,
            "counts": {split: len(splits[split][1]) for split in SPLITS},
            "class_counts": {split: np.bincount(splits[split][1], minlength=len(classes)).tolist() for split in SPLITS},
        }
    )
    write_description(folder, full)
    return full


def share_split(first: Path, other: Path, split: str) -> None:
    """Let two sets with the same images in `split` share its files, if the file system can; none is ever changed."""
    for file in (first / split).iterdir():
        twin = other / split / file.name
        with suppress(OSError):
            partial = twin.with_suffix(".link")
            os.link(file, partial)
            partial.replace(twin)
