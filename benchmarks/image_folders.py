"""Where the images lie as class folders, the form that both sides read; drawn where no real ones are named."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from headstart.components.atomic_files import whole_folder

NAMES = {"source": ("cifar100", "source"), "intermediate": ("fruits360", "fruits-360", "intermediate")}


@dataclass
class ImageFolders:
    """A source and an intermediate set, each a folder with train/test (or Training/Test) and class folders below."""

    source: Path
    intermediate: Path
    name: str


def find(data: Path) -> ImageFolders:
    """Return the two sets that lie below `data`."""
    found: dict[str, Path] = {}
    for role, names in NAMES.items():
        folders = [data / name for name in names if (data / name).is_dir()]
        if not folders:
            raise SystemExit(f"{data}: no folder {' or '.join(names)} in it")
        found[role] = folders[0].resolve()
    return ImageFolders(**found, name=" + ".join(f"{folder.name} ({count(folder):,})" for folder in found.values()))


def split_folder(root: Path, split: str) -> Path:
    """Return the folder of the training or the test images."""
    names = {"train": ("train", "Training", "training"), "test": ("test", "Test")}[split]
    return next(root / name for name in names if (root / name).is_dir())


def count(folder: Path) -> int:
    """Number of files below a folder."""
    return sum(len(files) for _, _, files in os.walk(folder))


def draw(folder: Path) -> ImageFolders:
    """Write the demonstration data of the program as PNG files in class folders, once."""
    from PIL import Image

    from headstart.components.datasets.collection import TRAIN
    from headstart.components.datasets.demonstration import draw_fruits, draw_source

    for role, drawn in (("source", draw_source), ("intermediate", draw_fruits)):
        if (folder / role).is_dir():
            continue
        collection = drawn()
        assert collection.pixels is not None
        folder.mkdir(parents=True, exist_ok=True)
        with whole_folder(folder / role) as partial:
            for row, (pixels, label, split) in enumerate(
                zip(collection.pixels, collection.labels, collection.splits, strict=True)
            ):
                target = partial / ("train" if split == TRAIN else "test") / collection.classes[label]
                target.mkdir(parents=True, exist_ok=True)
                Image.fromarray(pixels).save(target / f"{row:05d}.png", compress_level=1)
    return ImageFolders(folder / "source", folder / "intermediate", "drawn")
