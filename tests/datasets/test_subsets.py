"""Nested subsets of training images: sizes, shares of the classes, the same test images, the same on every machine."""

from pathlib import Path

import numpy as np
import pytest

from headstart.components.datasets.draws import images_per_class, subset, write_subset
from headstart.components.datasets.packed import PackedDataset, write_packed
from headstart.components.errors import SettingError


@pytest.fixture(scope="module")
def packed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty images of class a, eighty of b, thirty-two for validation in the same shares, ten for test."""
    folder = tmp_path_factory.mktemp("packed")
    rng = np.random.default_rng(3)

    def images(a: int, b: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.repeat(np.array([0, 1], np.int32), [a, b])
        return rng.integers(0, 256, (a + b, 8, 8, 3), np.uint8), labels

    splits = {"train": images(40, 80), "validation": images(11, 21), "test": images(5, 5)}
    write_packed(folder, {"name": "two", "source": "drawn", "classes": ["a", "b"]}, splits)
    return folder


def pictures(folder: Path, split: str) -> set[bytes]:
    return {row.tobytes() for row in PackedDataset(folder).image_digests(split)}


def test_subsets_are_nested_keep_the_shares_and_the_test_images(packed: Path, tmp_path: Path) -> None:
    assert images_per_class(PackedDataset(packed).description) == 60
    before: dict[str, set[bytes]] = {"train": set(), "validation": set()}
    for size in (3, 6, 15, 30, 60):
        folder = tmp_path / str(size)
        folder.mkdir()
        part = write_subset(packed, folder, size)
        description = PackedDataset(folder).description
        assert description.class_counts["train"] == [round(40 * size / 60), round(80 * size / 60)]
        assert part.images == description.counts["train"]
        assert (part.size_per_class, description.settings["subset"]) == (size, size)
        assert description.counts["validation"] == max(1, round(11 * size / 60)) + round(21 * size / 60)
        assert pictures(folder, "test") == pictures(packed, "test")
        for split, smaller in before.items():
            found = pictures(folder, split)
            assert smaller <= found <= pictures(packed, split)
            before[split] = found
    assert before["train"] == pictures(packed, "train")


def test_the_same_subset_has_the_same_digest(packed: Path, tmp_path: Path) -> None:
    digests = set()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_subset(packed, tmp_path / name, 7)
        digests.add(PackedDataset(tmp_path / name).description.digest)
    assert len(digests) == 1


def test_a_size_of_none_is_the_set_itself_and_one_too_large_is_refused(packed: Path, tmp_path: Path) -> None:
    with subset(packed, 0) as (folder, part):
        assert (folder, part) == (packed, None)
    with subset(packed, 5) as (folder, part):
        assert folder.is_dir() and part is not None
    assert not folder.exists()
    with pytest.raises(SettingError, match="61 training images per class; two has 60"):
        write_subset(packed, tmp_path, 61)
