"""Draws small data sets in the layouts that people have."""

import io
import pickle
import tarfile
from pathlib import Path

import numpy as np
from PIL import Image


def image(seed: int, size: tuple[int, int] = (20, 20)) -> Image.Image:
    """A picture of its own: smooth, so that JPEG keeps it nearly as it is, and unlike any other seed's."""
    rng = np.random.default_rng(seed)
    small = Image.fromarray(rng.integers(0, 256, (4, 4, 3), dtype=np.uint8))
    return small.resize(size, Image.Resampling.BICUBIC)


def encoded(seed: int, kind: str = "JPEG", size: tuple[int, int] = (20, 20), mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    image(seed, size).convert(mode).save(buffer, kind, **({"quality": 92} if kind == "JPEG" else {}))
    return buffer.getvalue()


def write_tree(root: Path, counts: dict[str, int], kind: str = "JPEG", size: tuple[int, int] = (20, 20)) -> Path:
    """Write `counts[folder]` images into each folder, named as Fruits-360 names its frames."""
    suffix = {"JPEG": "jpg", "PNG": "png"}[kind]
    for number, (folder, count) in enumerate(sorted(counts.items())):
        (root / folder).mkdir(parents=True, exist_ok=True)
        for index in range(count):
            film = "r_" if index % 2 else ""
            name = f"{film}{index}_100.{suffix}"
            (root / folder / name).write_bytes(encoded(1000 * number + index, kind, size))
    return root


def fruits(
    root: Path, classes: tuple[str, ...] = ("Apple Red 1", "Pear", "Kiwi"), train: int = 6, test: int = 2
) -> Path:
    """Write a small Fruits-360."""
    return write_tree(
        root, {f"Training/{name}": train for name in classes} | {f"Test/{name}": test for name in classes}
    )


CIFAR_CLASSES = ["apple", "bear", "cup"]


def cifar_batches() -> dict[str, tuple[np.ndarray, list[int]]]:
    """Pixels as N × 3072 and labels, per split."""
    rng = np.random.default_rng(5)
    batches = {}
    for split, per_class in (("train", 5), ("test", 2)):
        labels = [label for label in range(3) for _ in range(per_class)]
        batches[split] = (rng.integers(0, 256, (len(labels), 3072), dtype=np.uint8), labels)
    return batches


def _python2_pickle(value: object) -> bytes:
    # Protocol 2 with bytes keys is what Python 2 wrote: keys come back as bytes under encoding="bytes".
    return pickle.dumps(value, protocol=2)


def write_cifar_python(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "meta").write_bytes(_python2_pickle({b"fine_label_names": [name.encode() for name in CIFAR_CLASSES]}))
    for split, (pixels, labels) in cifar_batches().items():
        (folder / split).write_bytes(
            _python2_pickle({b"data": pixels, b"fine_labels": labels, b"coarse_labels": labels, b"filenames": []})
        )
    return folder


def write_cifar_binary(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "fine_label_names.txt").write_text("\n".join(CIFAR_CLASSES) + "\n")
    for split, (pixels, labels) in cifar_batches().items():
        rows = [bytes([0, label]) + row.tobytes() for row, label in zip(pixels, labels, strict=True)]
        (folder / f"{split}.bin").write_bytes(b"".join(rows))
    return folder


def write_cifar_png(root: Path) -> Path:
    for split, (pixels, labels) in cifar_batches().items():
        for index, (row, label) in enumerate(zip(pixels, labels, strict=True)):
            folder = root / split / CIFAR_CLASSES[label]
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(row.reshape(3, 32, 32).transpose(1, 2, 0)).save(folder / f"{index:04d}.png")
    return root


def tar_of(folder: Path, path: Path, mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as archive:
        archive.add(folder, folder.name)
    return path
