"""Reads CIFAR-100 in the forms it is published in.

Source of the formats: https://www.cs.toronto.edu/~kriz/cifar.html. The "python version" holds `meta`, `train` and
`test`, each a pickle; the "binary version" holds `train.bin`, `test.bin` and `fine_label_names.txt`, a record being a
coarse label, a fine label and 3072 bytes of pixels, red plane first.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from headstart.components.datasets.archives import members, open_tar
from headstart.components.datasets.collection import TEST, TRAIN, Collection
from headstart.components.datasets.packed import Pixels
from headstart.components.datasets.unpickling import load_pickle
from headstart.components.errors import HeadstartError
from headstart.components.regular_files import read_regular

_SIDE = 32
_PIXELS = 3 * _SIDE * _SIDE
_PYTHON = ("meta", "train", "test")
_BINARY = ("fine_label_names.txt", "train.bin", "test.bin")
# The published training file has 155 MB; a file far beyond that is not it, and is not read into memory.
_MEMBER_LIMIT = 256 << 20

Reader = Callable[[str], bytes]


def _planes(rows: Any, name: str) -> Pixels:
    """Turn N × 3072 bytes, red plane first, into uint8 N × 32 × 32 × 3."""
    data = rows if isinstance(rows, np.ndarray) else np.empty((0, 0))
    if data.dtype != np.uint8 or data.ndim != 2 or data.shape[1] != _PIXELS:
        raise HeadstartError(
            f"{name}: pixels are {data.dtype} {data.shape}, expected uint8 (N, {_PIXELS}) for 32×32 images in colour."
        )
    return np.ascontiguousarray(data.reshape(-1, 3, _SIDE, _SIDE).transpose(0, 2, 3, 1))


def _text(content: Any, name: str) -> str:
    try:
        return content.decode() if isinstance(content, bytes) else str(content)
    except UnicodeDecodeError as error:
        raise HeadstartError(f"{name}: class names are not UTF-8.", "Download it again.") from error


def _numbers(labels: Any, name: str) -> Any:
    """Return labels as an array; nested lists are refused unread, since a small pickle can nest them without end."""
    if isinstance(labels, list) and all(type(label) is int and abs(label) < 1 << 31 for label in labels):
        return np.array(labels, np.int64)
    if isinstance(labels, np.ndarray):
        return labels
    raise HeadstartError(f"{name}: fine_labels are not a list of whole numbers, as CIFAR-100's are.")


def _python_version(read: Reader, where: str) -> Collection:
    meta = load_pickle(read("meta"), f"{where}: meta")
    names = meta.get(b"fine_label_names") if isinstance(meta, dict) else None
    if not isinstance(names, list) or not names:
        raise HeadstartError(f"{where}: meta has no fine_label_names; is it CIFAR-10? CIFAR-100 was expected.")
    classes = [_text(name, f"{where}: meta") for name in names]
    parts = []
    for split in ("train", "test"):
        batch = load_pickle(read(split), f"{where}: {split}")
        if not isinstance(batch, dict) or b"data" not in batch or b"fine_labels" not in batch:
            raise HeadstartError(f"{where}: {split} holds no `data` and `fine_labels`, as CIFAR-100's files do.")
        labels = _numbers(batch[b"fine_labels"], f"{where}: {split}")
        parts.append((_planes(batch[b"data"], f"{where}: {split}"), labels, split))
    return _collect(classes, parts, where)


def _binary_version(read: Reader, where: str) -> Collection:
    classes = _text(read("fine_label_names.txt"), f"{where}: fine_label_names.txt").split()
    parts = []
    for split in ("train", "test"):
        content = np.frombuffer(read(f"{split}.bin"), np.uint8)
        if len(content) % (_PIXELS + 2):
            raise HeadstartError(
                f"{where}: {split}.bin has {len(content)} bytes, not a multiple of {_PIXELS + 2}: it is cut short.",
                "Download it again.",
            )
        rows = content.reshape(-1, _PIXELS + 2)
        parts.append((_planes(rows[:, 2:], f"{where}: {split}.bin"), rows[:, 1].astype(np.int32), split))
    return _collect(classes, parts, where)


def _collect(classes: list[str], parts: list[tuple[Pixels, Any, str]], where: str) -> Collection:
    for pixels, labels, split in parts:
        if labels.shape != (len(pixels),) or len(labels) == 0:
            raise HeadstartError(f"{where}: {split} has {len(pixels)} images but {labels.size} labels.")
        if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0 or labels.max() >= len(classes):
            raise HeadstartError(
                f"{where}: {split} has labels outside 0…{len(classes) - 1}, the {len(classes)} classes."
            )
    return Collection(
        name="cifar100",
        classes=classes,
        labels=np.concatenate([labels for _, labels, _ in parts]).astype(np.int32),
        splits=np.concatenate(
            [np.full(len(labels), TRAIN if split == "train" else TEST, np.int8) for _, labels, split in parts]
        ),
        pixels=np.concatenate([pixels for pixels, _, _ in parts]),
    )


def find_in_folder(folder: Path) -> Path | None:
    """Return the folder at or below `folder` that holds CIFAR-100's own files, or None."""
    for candidate in (folder, *sorted(child for child in folder.glob("*") if child.is_dir())):
        for names in (_PYTHON, _BINARY):
            if all((candidate / name).is_file() for name in names):
                return candidate
    return None


def read_folder(folder: Path) -> Collection:
    """Read the python or the binary version from the folder that holds its files."""

    def read(name: str) -> bytes:
        return read_regular(folder / name, _MEMBER_LIMIT)

    if all((folder / name).is_file() for name in _PYTHON):
        return _python_version(read, str(folder))
    return _binary_version(read, str(folder))


def read_archive(path: Path) -> Collection | None:
    """Read either version straight from its tar archive, without unpacking; None if it holds neither."""
    contents: dict[str, bytes] = {}
    try:
        with open_tar(path) as archive:
            for member in members(archive):
                name = Path(member.name).name
                if member.isfile() and name in (*_PYTHON, *_BINARY) and len(Path(member.name).parts) <= 3:
                    if member.size > _MEMBER_LIMIT:
                        raise HeadstartError(f"{path}: {member.name} has {member.size} bytes; CIFAR-100's has 155 MB.")
                    file = archive.extractfile(member)
                    contents[name] = file.read() if file else b""
    except HeadstartError:
        raise
    except Exception as error:  # the readers raise nearly anything on damaged input
        raise HeadstartError(f"{path}: the archive is damaged or cut short ({error}).", "Download it again.") from error
    if all(name in contents for name in _PYTHON):
        return _python_version(contents.__getitem__, str(path))
    if all(name in contents for name in _BINARY):
        return _binary_version(contents.__getitem__, str(path))
    return None
