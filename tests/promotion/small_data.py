"""Packed data sets of plain colours: images that a small model can tell apart at once."""

from pathlib import Path

import numpy as np

from headstart.components.datasets.packed import PackedDataset, write_packed

COLOURS = {"apple": (200, 40, 40), "pears": (60, 190, 60), "noise": (70, 70, 210), "plum": (200, 190, 40)}


def colours(
    folder: Path,
    classes: tuple[str, ...] = ("apple", "pears", "noise"),
    train: int = 24,
    test: int = 20,
    seed: int = 0,
    size: int = 52,
    mislabelled: float = 0.0,
    noise: float = 25.0,
    **about: object,
) -> PackedDataset:
    """`train` training and `test` test images per class; `mislabelled` is the share of training labels moved by one."""
    rng = np.random.default_rng(seed)
    splits = {}
    for split, count in (("train", train), ("validation", max(2, train // 6)), ("test", test)):
        labels = np.repeat(np.arange(len(classes), dtype=np.int32), count)
        base = np.array([COLOURS[name] for name in classes])[labels][:, None, None, :]
        pixels = np.clip(base + rng.normal(0, noise, (len(labels), size, size, 3)), 0, 255).astype(np.uint8)
        if split != "test" and mislabelled:
            moved = rng.random(len(labels)) < mislabelled
            labels = np.where(moved, (labels + 1) % len(classes), labels).astype(np.int32)
        splits[split] = (pixels, labels)
    folder.mkdir(parents=True, exist_ok=True)
    write_packed(folder, {"name": "colours", "source": "test:colours", "classes": list(classes), **about}, splits)
    return PackedDataset(folder)
