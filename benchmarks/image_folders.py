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


def photographs(folder: Path) -> Path:
    """Draw photographs as cameras leave them in two class folders below `folder`, once; return that of the classes.

    Sixty files: JPEGs of 12 megapixels, a third of them with an orientation mark, and gray ones of 2 megapixels. Six
    are drawn, with structure at every scale and grain, and each lies there ten times.
    """
    import numpy as np
    from PIL import Image

    if not (folder / "photographs").is_dir():
        folder.mkdir(parents=True, exist_ok=True)
        with whole_folder(folder / "photographs") as partial:
            rng = np.random.default_rng(0)
            for number in range(6):
                width, height, mode = ((4000, 3000, "RGB"), (3000, 4000, "RGB"), (1600, 1200, "L"))[number % 3]
                picture = rng.normal(0, 4, (height, width, 3)).astype(np.float32)
                for cells in (4, 30, 200):
                    small = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), np.uint8))
                    picture += np.asarray(small.resize((width, height), Image.Resampling.BICUBIC), np.float32) / 3
                exif = Image.Exif()
                exif[0x0112] = 6 if number % 3 == 1 else 1
                target = partial / ("one", "other")[number % 2] / f"{number}-0.jpg"
                target.parent.mkdir(exist_ok=True)
                image = Image.fromarray(picture.clip(0, 255).astype(np.uint8)).convert(mode)
                image.save(target, quality=92, exif=exif)
                for copy in range(1, 10):
                    target.with_name(f"{number}-{copy}.jpg").write_bytes(target.read_bytes())
    return folder / "photographs"
