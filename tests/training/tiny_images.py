"""Small packed data sets and stage calls for the training tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from headstart.components.datasets.packed import Description, write_packed

SIZE = 32  # the least that the network's four convolutions and three poolings leave something of


def pictures(classes: int, count: int, *, seed: int, size: int = SIZE, noise: float = 60.0) -> tuple[Any, Any]:
    """Images of coarse colour patterns, one a class, with noise: uint8 N × size × size × 3, and labels int32."""
    patterns = np.random.default_rng(5).integers(0, 255, (classes, 4, 4, 3))
    labels = (np.arange(count) % classes).astype(np.int32)
    clean = np.kron(patterns[labels], np.ones((1, size // 4, size // 4, 1)))
    noisy = clean + np.random.default_rng(seed).normal(0, noise, clean.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8), labels


def packed(folder: Path, classes: int, count: int, *, seed: int = 0, size: int = SIZE, held_out: int = 24) -> Path:
    """Write a packed data set of `count` training images and `held_out` each for validation and test."""
    folder.mkdir(parents=True, exist_ok=True)
    description: dict[str, Any] = {
        "name": "patterns",
        "source": "test:patterns",
        "classes": [f"pattern {number}" for number in range(classes)],
    }
    written: Description = write_packed(
        folder,
        description,
        {
            "train": pictures(classes, count, seed=seed, size=size),
            "validation": pictures(classes, held_out, seed=seed + 1, size=size),
            "test": pictures(classes, held_out, seed=seed + 2, size=size),
        },
    )
    assert written.counts["train"] == count
    return folder


def call(folder: Path, arm: str, dataset: Path, **changes: Any) -> dict[str, Any]:
    """Arguments of `run_stage` for a run that writes below `folder`."""
    given: dict[str, Any] = {
        "arm": arm,
        "dataset": dataset,
        "initial_model": None,
        "seed": 1,
        "run_id": "test-run",
        "preset": "demo",
        "settings": {"epochs": 2},
        "checkpoints": "",
        "accelerators": 0,
        "image": "",
        "record": folder / f"{arm}.json",
        "model": None,
        "saved_model": None,
    }
    return given | changes
