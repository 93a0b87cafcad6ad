"""The real subsets, where HEADSTART_TEST_DATA names them."""

from pathlib import Path

import numpy as np
import pytest

from headstart.components.datasets.importing import import_dataset
from headstart.components.datasets.packed import PackedDataset
from headstart.components.datasets.selection import select_classes

pytestmark = pytest.mark.real_images


def test_cifar100(real_images: Path, tmp_path: Path) -> None:
    description = import_dataset(str(real_images / "cifar-100-python.tar.gz"), tmp_path / "out")
    assert description.counts == {"train": 9000, "validation": 1000, "test": 2000}
    assert description.class_counts["test"] == [20] * 100
    assert description.classes[:3] == ["apple", "aquarium_fish", "baby"]
    assert description.classes == sorted(description.classes)


def test_fruits360_and_the_derived_set(real_images: Path, tmp_path: Path) -> None:
    description = import_dataset(str(real_images / "fruits-360"), tmp_path / "packed", layout="fruits360")
    assert len(description.classes) == 119
    assert description.skipped == 0
    assert sum(description.counts.values()) == sum(1 for _ in (real_images / "fruits-360").rglob("*.jpg"))
    derived = select_classes(tmp_path / "packed", tmp_path / "derived")
    assert derived.class_counts["train"] == [400, 400, 400]
    assert derived.class_counts["validation"] == [40, 40, 40]
    taken = derived.settings["taken"]
    assert all("Pineapple" not in name for name in taken["apple"])
    assert {"Pineapple", "Pineapple Mini"} <= set(taken["noise"])
    assert len(taken["apple"]) == 13
    assert sum(map(len, taken.values())) == 119
    # No picture of a pineapple is among the apples: compared pixel by pixel, not by what the record says.
    whole, chosen = PackedDataset(tmp_path / "packed"), PackedDataset(tmp_path / "derived")
    names = np.array(whole.classes)
    for split in ("train", "test"):
        images, labels = whole.split(split)
        pineapples = {image.tobytes() for image in images[np.char.startswith(names[labels], "Pineapple")]}
        images, labels = chosen.split(split)
        assert pineapples
        assert not {image.tobytes() for image in images[labels == 0]} & pineapples
