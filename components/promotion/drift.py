"""How far the data of a retraining lie from those that the model in use was trained on.

Three figures of the training images, kept in a version's manifest and compared with those of the new data:

* brightness: mean over the images of their mean level (0 to 255), and the standard deviation between images. The drift
  is the difference of the means in standard deviations of the old data (Cohen's d, with the old data as reference).
* class shares: the total variation distance, half the sum of the absolute differences of the shares; 0 for equal
  shares, 1 where no class is in both.
* number: the share by which the number of images fell.

All images of a packed set have one size, so a drift of the photographs' own sizes does not show here.
"""

from __future__ import annotations

import numpy as np

from headstart.components.datasets.packed import PackedDataset
from headstart.components.promotion.gate import Rules
from headstart.components.promotion.versions import DataFacts, Manifest

_BLOCK = 256


def facts(dataset: PackedDataset) -> DataFacts:
    """Measure the training images."""
    images, labels = dataset.split("train")
    levels = [
        np.asarray(images[start : start + _BLOCK], np.float64).mean(axis=(1, 2, 3))
        for start in range(0, len(images), _BLOCK)
    ]
    brightness = np.concatenate(levels) if levels else np.zeros(0)
    counts = np.bincount(labels, minlength=len(dataset.classes))
    return DataFacts(
        images=len(images),
        brightness=float(brightness.mean()) if len(brightness) else 0.0,
        brightness_deviation=float(brightness.std()) if len(brightness) else 0.0,
        counts={name: int(count) for name, count in zip(dataset.classes, counts, strict=True)},
    )


def drift(dataset: PackedDataset, current: Manifest | None, rules: Rules) -> list[str]:
    """Return a sentence with its figures for everything that drifted further than the rules allow without one."""
    if current is None or current.facts is None or not current.facts.images:
        return []
    old, new = current.facts, facts(dataset)
    found = []
    # Between images of one brightness a level is the least that can be told apart.
    distance = abs(new.brightness - old.brightness) / max(old.brightness_deviation, 1.0)
    if distance > rules.brightness_drift:
        found.append(
            f"Brightness: the training images have a mean level of {new.brightness:.0f}, those of version "
            f"{current.version} {old.brightness:.0f} (of 255), {distance:.1f} standard deviations apart; "
            f"brightness_drift is {rules.brightness_drift:g}."
        )
    shares = [{name: count / max(one.images, 1) for name, count in one.counts.items()} for one in (old, new)]
    names = sorted({*old.counts, *new.counts})
    moved = {name: shares[1].get(name, 0.0) - shares[0].get(name, 0.0) for name in names}
    apart = sum(abs(value) for value in moved.values()) / 2
    if apart > rules.share_drift:
        most = max(names, key=lambda name: abs(moved[name]))
        found.append(
            f"Class shares: {apart:.0%} of the training images moved between classes, most of all {most} "
            f"({shares[0].get(most, 0.0):.0%} of version {current.version}'s, {shares[1].get(most, 0.0):.0%} now); "
            f"share_drift is {rules.share_drift:.0%}."
        )
    lost = 1 - new.images / old.images
    if lost > rules.count_drift:
        found.append(
            f"Number: {new.images} training images, {lost:.0%} fewer than the {old.images} of version "
            f"{current.version}; count_drift is {rules.count_drift:.0%}."
        )
    return found
