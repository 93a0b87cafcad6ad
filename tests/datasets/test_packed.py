"""A packed set that was changed on disk is refused by whoever opens it; equal images are known by their digests."""

import hashlib
import itertools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.components.datasets.importing import import_dataset
from headstart.components.datasets.packed import SPLITS, PackedDataset, digests_of, release, write_packed
from headstart.components.datasets.selection import select_classes
from headstart.components.errors import HeadstartError
from tests.datasets import drawn_files


@pytest.fixture
def packed(tmp_path: Path) -> Path:
    """Twelve random images of 4 × 4 in two classes; the first test image is the second of training."""
    rng = np.random.default_rng(7)
    splits = {
        split: (rng.integers(0, 256, (count, 4, 4, 3), dtype=np.uint8), np.arange(count, dtype=np.int32) % 2)
        for split, count in (("train", 6), ("validation", 2), ("test", 4))
    }
    splits["test"][0][0] = splits["train"][0][1]
    folder = tmp_path / "packed"
    folder.mkdir()
    write_packed(folder, {"name": "noise", "source": "drawn", "classes": ["a", "b"]}, splits)
    return folder


def older(packed: Path) -> dict[str, Any]:
    """Return the content of `dataset.json` as a version without checksums wrote it."""
    content: dict[str, Any] = json.loads((packed / "dataset.json").read_text())
    del content["checksum"]
    return content


def test_every_flipped_bit_of_a_packed_set_is_noticed_or_harmless(tmp_path: Path) -> None:
    splits = {split: (np.full((1, 1, 1, 3), 7, np.uint8), np.zeros(1, np.int32)) for split in SPLITS}
    groups = {split: np.full(1, 3, np.int32) for split in SPLITS}
    write_packed(tmp_path, {"name": "x", "source": "here", "classes": ["a"], "notes": ["one"]}, splits, groups)
    before = PackedDataset(tmp_path).description
    noticed = 0
    for name in ("dataset.json", "train/images.npy", "train/labels.npy", "train/digests.npy", "train/groups.npy"):
        file = tmp_path / name
        whole = file.read_bytes()
        # The suite takes every seventh; all of them take half a minute.
        step = 1 if os.environ.get("HEADSTART_LONG") else 7
        for place, bit in itertools.islice(itertools.product(range(len(whole)), range(8)), 0, None, step):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            file.write_bytes(damaged)
            try:
                dataset = PackedDataset(tmp_path)
                digests, group = dataset.image_digests("train"), dataset.groups("train")
            except HeadstartError:
                noticed += 1
                continue
            assert dataset.description.model_dump(exclude={"checksum"}) == before.model_dump(exclude={"checksum"})
            assert dataset.split("train")[0].tolist() == splits["train"][0].tolist()
            np.testing.assert_array_equal(digests, digests_of(splits["train"][0]))
            np.testing.assert_array_equal(group, groups["train"])
        file.write_bytes(whole)
    assert noticed > 1_000


def test_every_flipped_bit_of_labels_and_pixels_is_noticed(packed: Path) -> None:
    for name in ("train/images.npy", "validation/labels.npy", "test/images.npy"):
        file = packed / name
        whole = file.read_bytes()
        for place in range(128, len(whole)):  # before it lies numpy's header
            damaged = bytearray(whole)
            damaged[place] ^= 1 << place % 8
            file.write_bytes(damaged)
            with pytest.raises(HeadstartError, match="changed or damaged"):
                PackedDataset(packed)
        file.write_bytes(whole)
    PackedDataset(packed)


def test_a_selection_of_a_damaged_set_is_refused_and_writes_nothing(packed: Path, tmp_path: Path) -> None:
    images = np.load(packed / "train" / "images.npy")
    np.save(packed / "train" / "images.npy", 255 - images)
    with pytest.raises(HeadstartError, match="its content has digest"):
        select_classes(packed, tmp_path / "out", classes={"x": "a", "rest": "*"})
    assert not (tmp_path / "out").exists()
    assert PackedDataset(packed, checked=False).description.name == "noise"


@pytest.mark.parametrize("counts", [[4, 2], [3, 3, 0], [6]])
def test_counts_that_are_not_those_of_the_labels_are_refused(packed: Path, counts: list[int]) -> None:
    description = older(packed)
    description["class_counts"]["train"] = counts
    (packed / "dataset.json").write_text(json.dumps(description))
    with pytest.raises(HeadstartError, match="how many train images each class has"):
        PackedDataset(packed)


def test_equal_images_have_equal_digests_within_a_set_and_across(packed: Path) -> None:
    dataset = PackedDataset(packed)
    digests = {split: dataset.image_digests(split) for split in SPLITS}
    assert {split: (each.dtype, each.shape) for split, each in digests.items()} == {
        "train": (np.uint8, (6, 16)),
        "validation": (np.uint8, (2, 16)),
        "test": (np.uint8, (4, 16)),
    }
    assert digests["test"][0].tobytes() == digests["train"][1].tobytes()
    assert len({row.tobytes() for each in digests.values() for row in each}) == 11
    first = dataset.split("train")[0][0]
    assert digests["train"][0].tobytes() == hashlib.blake2b(first.tobytes(), digest_size=16).digest()


def test_an_import_and_a_selection_of_it_agree_on_the_digest_of_an_image(tmp_path: Path) -> None:
    drawn_files.fruits(tmp_path / "in", ("Apple", "Pear", "Kiwi"), train=8, test=3)
    import_dataset(str(tmp_path / "in"), tmp_path / "all", image_size=16)
    select_classes(tmp_path / "all", tmp_path / "few", classes={"pear": "pear", "rest": "*"})
    whole, few = PackedDataset(tmp_path / "all"), PackedDataset(tmp_path / "few")
    for dataset in (whole, few):
        dataset.verify(images=True)
    for split in SPLITS:
        known = {row.tobytes() for row in whole.image_digests(split)}
        assert len(few.image_digests(split)) == few.description.counts[split] > 0
        assert {row.tobytes() for row in few.image_digests(split)} <= known
        np.testing.assert_array_equal(few.image_digests(split), digests_of(few.split(split)[0]))


def test_a_set_of_an_older_version_opens_and_its_digests_are_computed(packed: Path) -> None:
    expected = {split: PackedDataset(packed).image_digests(split) for split in SPLITS}
    description = older(packed)
    del description["image_digests"]
    (packed / "dataset.json").write_text(json.dumps(description))
    for split in SPLITS:
        (packed / split / "digests.npy").unlink()
    dataset = PackedDataset(packed)
    dataset.verify(images=True)
    for split in SPLITS:
        np.testing.assert_array_equal(dataset.image_digests(split), expected[split])


def test_damaged_image_digests_are_refused(packed: Path) -> None:
    file = packed / "test" / "digests.npy"
    whole = np.load(file)
    for damaged in (whole[:-1], whole.astype(np.int16), whole[::-1]):
        np.save(file, damaged)
        with pytest.raises(HeadstartError, match=r"test/digests.npy: .*dataset.json (names|says)"):
            PackedDataset(packed).image_digests("test")
    # Digests that agree with dataset.json but not with the images.
    np.save(file, whole[::-1])
    description = older(packed)
    description["image_digests"]["test"] = hashlib.sha256(whole[::-1].tobytes()).hexdigest()
    (packed / "dataset.json").write_text(json.dumps(description))
    with pytest.raises(HeadstartError, match="not the digests of the images in test"):
        PackedDataset(packed).verify(images=True)


def test_splits_and_classes_without_images_are_packed(tmp_path: Path) -> None:
    # One class has no validation image, another set no validation image at all.
    counts = {"train/a": 6, "train/b": 6, "val/a": 2, "test/a": 2, "test/b": 2}
    drawn_files.write_tree(tmp_path / "some", counts)
    some = import_dataset(str(tmp_path / "some"), tmp_path / "out", image_size=16)
    assert some.class_counts == {"train": [6, 6], "validation": [2, 0], "test": [2, 2]}
    PackedDataset(tmp_path / "out").verify(images=True)
    # And where the only validation image is damaged, no class has one.
    drawn_files.write_tree(tmp_path / "cut", {"train/a": 6, "train/b": 6, "val/a": 1, "test/a": 2, "test/b": 2})
    (tmp_path / "cut" / "val" / "a" / "0_100.jpg").write_bytes(b"")
    cut = import_dataset(str(tmp_path / "cut"), tmp_path / "out", image_size=16, skip_share=0.5)
    assert cut.counts == {"train": 12, "validation": 0, "test": 4}
    assert cut.near_duplicates_across_splits == 0
    PackedDataset(tmp_path / "out").verify(images=True)


def resident(file: Path) -> int:
    """Bytes of a memory-mapped file that this process has in memory, over all its mappings."""
    total, named = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first, *rest = line.split()
        if "-" in first:
            named = bool(rest) and rest[-1] == str(file)
        elif named and first == "Rss:":
            total += int(rest[0]) * 1024
    return total


@pytest.mark.skipif(not Path("/proc/self/smaps").exists(), reason="only Linux says what is in memory")
def test_images_that_were_read_are_given_back(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (5000, 16, 16, 3), dtype=np.uint8)
    splits = {split: (pixels, np.zeros(5000, np.int32)) for split in SPLITS}
    write_packed(tmp_path, {"name": "noise", "source": "drawn", "classes": ["a"]}, splits)
    file = tmp_path / "train" / "images.npy"
    dataset = PackedDataset(tmp_path)  # which reads all of it
    dataset.verify(images=True)
    mapped = dataset.split("train")[0]
    assert resident(file) == 0
    assert np.array_equal(mapped, pixels)
    assert resident(file) >= pixels.nbytes
    release(mapped[4000:])  # a part of the same file
    assert resident(file) == 0
    assert np.array_equal(mapped, pixels)
    own = pixels.copy()
    release(own)
    assert np.array_equal(own, pixels)
    changed = np.load(file, mmap_mode="c")
    changed[0] = 0
    release(changed)  # what was changed in memory alone would be lost
    assert not changed[0].any()
