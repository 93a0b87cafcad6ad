"""How an image file becomes the pixels of a data set: the same in import, `predict`, retraining and serving.

It is kept with the data set (`dataset.json`) and with every model that was trained on it (`model.json`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal

Orientation = Literal["apply", "ignore"]
Fit = Literal["stretch", "crop", "pad"]
Decoding = Literal["exact", "scaled"]


@dataclass(frozen=True)
class Reading:
    """The defaults are what data sets and models of versions that did not say were made with."""

    orientation: Orientation = "ignore"
    """Whether a camera's orientation mark turns the image."""
    fit: Fit = "stretch"
    """How an image that is no square becomes one."""
    decoding: Decoding = "exact"
    """Whether a JPEG is decoded in full, or at the smallest of 1/1, 1/2, 1/4, 1/8 that is no smaller than needed."""

    def scale(self, height: int, width: int, size: int) -> int:
        """Return what the sides of a JPEG of these pixels are divided by while it is decoded: 1, 2, 4 or 8."""
        if self.decoding == "exact":
            return 1
        times = min(height, width) // size
        return 8 if times >= 8 else 4 if times >= 4 else 2 if times >= 2 else 1


def reading_of(values: Mapping[str, Any]) -> Reading:
    """Return the reading that settings or a description hold, among other things."""
    return Reading(**{field.name: values[field.name] for field in fields(Reading) if field.name in values})


def differences(one: Reading, other: Reading) -> dict[str, tuple[str, str]]:
    """Return the settings in which two readings differ, with both values."""
    ours, theirs = asdict(one), asdict(other)
    return {name: (ours[name], theirs[name]) for name in ours if ours[name] != theirs[name]}
