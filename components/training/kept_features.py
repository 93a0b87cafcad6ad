"""Outputs of frozen layers that a run evaluated, kept beside its checkpoints for runs that would compute them again.

All transfer runs of a preparation pass the same test images through the same layers, in float32. What a run trains on
is never kept: each computes that in its own time. Files are in a local folder only, at most `MOST_BYTES` of a pipeline
run, and stay as long as its finished runs: until a local run has ended well, or for as long as the volume keeps them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from headstart.components.atomic_files import whole_file
from headstart.components.errors import HeadstartError
from headstart.components.regular_files import check_regular

Array = npt.NDArray[Any]
MOST_BYTES = 512 << 20  # of all files in a folder


class KeptFeatures:
    """The features of one backbone in a folder: of other images, or another backbone, they have another name."""

    def __init__(self, folder: Path, facts: dict[str, Any]) -> None:
        """`facts`, JSON values, are all that decides the features of an image, to the last bit."""
        self._folder, self._facts = folder, facts

    def of(self, digest: str, images: Array, compute: Callable[[Array], Array]) -> tuple[Array, bool]:
        """Return what `compute` makes of `images` (N × …): float32 N × …; and whether it is from a file.

        `digest` is that of all these images. What cannot be kept is computed again by the next run.
        """
        facts = {**self._facts, "images": digest, "shape": images.shape}
        name = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        file = self._folder / f"features-{name}.npy"
        features = _read(file)
        if features is not None and len(features) == len(images):
            return features, True
        features = compute(images)
        _write(file, features)
        return features, False


def _read(file: Path) -> Array | None:
    try:
        check_regular(file)
        with file.open("rb") as opened:
            features: Array = np.load(opened, allow_pickle=False)
            return features if opened.read() == _seal(features) and features.dtype == np.float32 else None
    except Exception:  # numpy's reader raises nearly anything on damaged bytes
        return None


def _write(file: Path, features: Array) -> None:
    try:
        kept = sum(each.stat().st_size for each in file.parent.glob("features-*.npy"))
        if kept + features.nbytes > MOST_BYTES:
            return
        with whole_file(file) as partial, partial.open("wb") as opened:
            np.save(opened, features)
            opened.write(_seal(features))
    except (HeadstartError, OSError):
        return


def _seal(features: Array) -> bytes:
    return hashlib.sha256(np.ascontiguousarray(features).data).digest()
