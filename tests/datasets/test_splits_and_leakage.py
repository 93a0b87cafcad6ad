"""Splits are stratified, seeded and, if asked for, kept apart by film; leakage across them is counted."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from headstart.components.datasets.folders import FoundFile
from headstart.components.datasets.importing import import_dataset
from headstart.components.datasets.leakage import near_twins, thumbnails
from headstart.components.datasets.packed import PackedDataset
from headstart.components.datasets.splitting import draw_groups, draw_groups_jointly, draw_rows
from tests.datasets import drawn_files


@pytest.mark.parametrize(
    ("stem", "film"),
    [
        ("110_100", "Pear/"),
        ("r_110_100", "Pear/r"),
        ("r2_7", "Pear/r2"),
        ("frame_0012", "Pear/frame"),
        ("IMG", "Pear/IMG"),
    ],
)
def test_a_film_is_told_by_the_name_of_its_frames(stem: str, film: str) -> None:
    assert FoundFile(f"Pear/{stem}.jpg", ("Pear",)).film == film


def test_draws_take_the_share_but_never_all() -> None:
    rng = np.random.default_rng(0)
    assert len(draw_rows(np.arange(45), 0.1, rng)) == 4  # 4.5 rounds to even
    assert len(draw_rows(np.arange(2), 0.1, rng)) == 1
    assert len(draw_rows(np.arange(3), 0.99, rng)) == 2
    groups = ["a"] * 10 + ["b"] * 10 + ["c"] * 80
    for seed in range(10):
        drawn = draw_groups(np.arange(100), groups, 0.2, np.random.default_rng(seed))
        whole = {groups[row] for row in drawn}
        assert 0 < len(whole) < 3
        assert len(drawn) == sum(groups.count(name) for name in whole), "groups stay whole"


def test_a_split_by_film_keeps_films_apart(tmp_path: Path) -> None:
    # Frames of one film are alike, so that the film can be told from the packed pixels.
    root = tmp_path / "in"
    for number, (name, film) in enumerate((n, f) for n in ("Apple 1", "Kiwi") for f in ("", "r_", "r2_")):
        for split, frames in (("Training", range(6)), ("Test", range(6, 8))):
            (root / split / name).mkdir(parents=True, exist_ok=True)
            for frame in frames:
                content = drawn_files.encoded(number, "PNG")
                (root / split / name / f"{film}{frame}_100.png").write_bytes(content)
    official = import_dataset(str(root), tmp_path / "official", image_size=16)
    assert official.duplicates_across_splits == official.counts["test"] == 12
    assert official.near_duplicates_across_splits == 12
    assert any("12 test images are also in training" in note for note in official.record().notes)
    apart = import_dataset(str(root), tmp_path / "film", image_size=16, split_by="film")
    assert apart.duplicates_across_splits == 0
    assert apart.class_counts["test"] == [8, 8], "one film of three, of each class"
    assert apart.class_counts["validation"] == [8, 8]
    validation = import_dataset(str(root), tmp_path / "validation", image_size=16, validation_by="film")
    assert validation.class_counts == {"train": [12, 12], "validation": [6, 6], "test": [6, 6]}


def test_a_split_by_variety_tests_on_other_varieties(tmp_path: Path) -> None:
    kinds = [f"{fruit}/{fruit} {number}" for fruit in ("Apple", "Pear") for number in range(4)]
    root = drawn_files.write_tree(
        tmp_path / "in", {f"{split}/{kind}": 4 for split in ("Training", "Test") for kind in kinds}
    )
    description = import_dataset(str(root), tmp_path / "out", image_size=16, split_by="variety")
    assert description.class_counts["test"] == [8, 8]
    same = import_dataset(
        str(drawn_files.fruits(tmp_path / "flat")), tmp_path / "kept", image_size=16, split_by="variety"
    )
    assert any("No class has more than one variety" in note for note in same.notes)
    assert same.counts["test"] == 6


def test_duplicates_are_found_across_classes(tmp_path: Path) -> None:
    root = drawn_files.fruits(tmp_path / "in")
    (root / "Test" / "Kiwi" / "copy_1.jpg").write_bytes((root / "Training" / "Pear" / "0_100.jpg").read_bytes())
    description = import_dataset(str(root), tmp_path / "out", image_size=16)
    assert description.duplicates_across_splits == 1
    assert description.near_duplicates_across_splits == 0, "near-twins are counted within a class"


def test_near_twins_are_reported_with_advice_that_is_not_followed_yet(tmp_path: Path) -> None:
    # Each class is one colour: every test image has a twin.
    for film in range(4):
        for frame, label in itertools.product(range(5), ("a", "b")):
            (tmp_path / "in" / label).mkdir(parents=True, exist_ok=True)
            colour = (60 + frame % 2, 60, 60) if label == "a" else (60, 60 + frame % 2, 200)
            Image.new("RGB", (16, 16), colour).save(tmp_path / "in" / label / f"film{film}_{frame}.png")

    def advice(**settings: Any) -> list[str]:
        out = tmp_path / "-".join(["out", *settings])
        notes = import_dataset(str(tmp_path / "in"), out, image_size=16, **settings).notes
        (about_test,), (validation,) = (
            [n for n in notes if f"of the {s} images have" in n] for s in ("test", "validation")
        )
        return [note.partition("; ")[2] for note in (about_test, validation)]

    assert advice() == ["split_by=film or variety is stricter.", "validation_by=film is stricter."]
    assert advice(split_by="film") == ["", ""]
    assert advice(validation_by="film") == ["split_by=film or variety is stricter.", ""]


@pytest.mark.parametrize("size", [8, 13, 50, 52, 100, 1024])
def test_thumbnails_are_rounded_means_of_areas(size: int) -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, size, size, 3), dtype=np.uint8)
    images[0] = 255
    edges = [size * place // min(13, size) for place in range(min(13, size) + 1)]
    found = thumbnails(images).reshape(3, len(edges) - 1, len(edges) - 1, 3)
    for row, (top, bottom) in enumerate(itertools.pairwise(edges)):
        for column, (left, right) in enumerate(itertools.pairwise(edges)):
            area = images[:, top:bottom, left:right].astype(np.int64)
            half_up = np.floor(area.mean(axis=(1, 2)) + 0.5)
            assert np.array_equal(found[:, row, column], half_up)


def test_near_twins_are_those_that_comparing_every_pair_finds() -> None:
    rng = np.random.default_rng(1)
    known = rng.integers(60, 190, (150, 507), dtype=np.uint8)
    queries = known[:60].astype(int) + rng.integers(-6, 7, (60, 507)) * rng.integers(0, 2, (60, 1))
    queries[::3] += rng.integers(-4, 5, (20, 1))
    queries = np.clip(queries, 0, 255).astype(np.uint8)
    pairs = np.abs(queries[:, None].astype(int) - known[None]).mean(axis=2)
    expected = (pairs < 3).any(axis=1)
    assert 10 < expected.sum() < 55, "some are near and some are not"
    assert np.array_equal(near_twins(queries, known), expected)


def test_validation_is_stratified(tmp_path: Path) -> None:
    root = drawn_files.write_tree(tmp_path / "in", {"Training/a": 40, "Training/b": 20, "Test/a": 2, "Test/b": 2})
    description = import_dataset(str(root), tmp_path / "out", image_size=16, validation_share=0.25)
    assert description.class_counts == {"train": [30, 15], "validation": [10, 5], "test": [2, 2]}
    images = {split: PackedDataset(tmp_path / "out").split(split)[0] for split in ("train", "validation")}
    seen = [image.tobytes() for split in images for image in images[split]]
    assert len(set(seen)) == 60, "no image is in both"


@pytest.mark.parametrize("seed", range(8))
def test_groups_that_span_classes_stay_on_one_side(tmp_path: Path, seed: int) -> None:
    # Twelve persons, each photographed with and without glasses, two to five times.
    rng = np.random.default_rng(seed)
    lines = ["path,label,group"]
    for person in range(12):
        for label in ("glasses", "none"):
            for index in range(int(rng.integers(2, 6))):
                name = f"{person}-{label}-{index}.png"
                # One colour per person, so that the person can be told from the packed pixels.
                Image.new("RGB", (16, 16), (20 * person, 0, 0)).save(tmp_path / name)
                lines.append(f"{name},{label},person {person}")
    (tmp_path / "labels.csv").write_text("\n".join(lines))
    import_dataset(
        str(tmp_path / "labels.csv"), tmp_path / "out", image_size=16, split_by="film", seed=seed, near_duplicates=False
    )
    packed = PackedDataset(tmp_path / "out")
    persons = {split: set(packed.split(split)[0][:, 0, 0, 0].tolist()) for split in ("train", "validation", "test")}
    assert sum(map(len, persons.values())) == 12, "each person is in one split"
    share = packed.description.counts["test"] / sum(packed.description.counts.values())
    assert 0.1 < share < 0.3
    assert all(min(counts) > 0 for counts in packed.description.class_counts.values())


def test_a_joint_draw_takes_no_class_whole() -> None:
    labels = np.array([0, 0, 0, 1, 1, 1], np.int32)
    groups = ["a", "a", "b", "b", "c", "c"]
    for seed in range(10):
        drawn = draw_groups_jointly(labels, np.arange(6), groups, 0.5, np.random.default_rng(seed))
        left = np.setdiff1d(np.arange(6), drawn)
        assert set(labels[left]) == {0, 1}
        assert not {groups[row] for row in drawn} & {groups[row] for row in left}
