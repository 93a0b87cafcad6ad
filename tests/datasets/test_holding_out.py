"""What the target must find unseen is not in the set that a preparing stage trains on."""

from pathlib import Path

import numpy as np
import pytest

from headstart.components.datasets.holding_out import hold_out, made_from_classes
from headstart.components.datasets.importing import import_dataset
from headstart.components.datasets.packed import Description, PackedDataset
from headstart.components.datasets.selection import select_classes, select_target
from headstart.components.errors import HeadstartError, SettingError
from tests.datasets import drawn_files
from tests.datasets.test_selection import CLASSES, packed

APPLES, PEARS = {"Apple Red 1", "Apple Golden 2"}, {"Pear", "Pear Abate"}


def images(folder: Path, *splits: str) -> set[bytes]:
    return {image.tobytes() for split in splits for image in PackedDataset(folder).split(split)[0]}


def test_tested_varieties_are_not_prepared_on(tmp_path: Path) -> None:
    source = packed(tmp_path / "in")
    target = select_classes(source, tmp_path / "target", images_per_class=20, split_by="variety")
    tested = set(target.settings["tested_classes"])
    # The fault itself: without holding out, stage 2 trains on images of the test split, pixel for pixel.
    assert images(source, "train", "validation") & images(tmp_path / "target", "test")
    held = hold_out(source, tmp_path / "target", tmp_path / "held")
    assert set(held.classes) == set(CLASSES) - tested
    assert not images(tmp_path / "held", "train", "validation", "test") & images(tmp_path / "target", "test")
    # What the other varieties have is all there, and in its split.
    for split, count in (("train", 30), ("validation", 4), ("test", 10)):
        assert held.class_counts[split] == [count] * len(held.classes)
        own = PackedDataset(tmp_path / "held").split(split)
        names = {CLASSES[pixel // 20] for pixel in own[0][:, 0, 0, 0].tolist()}
        assert names == set(held.classes)
        assert [held.classes[label] for label in own[1]] == [CLASSES[p // 20] for p in own[0][:, 0, 0, 0].tolist()]
    PackedDataset(tmp_path / "held").verify()
    assert held.settings["held_out"]["classes"] == [name for name in CLASSES if name in tested]
    assert held.settings["seen_before"]["test_images"] == 0
    assert any("Held out for the target apple/pears/noise" in note for note in held.record().notes)


def test_all_of_the_targets_classes_can_be_held_out(tmp_path: Path) -> None:
    source = packed(tmp_path / "in")
    select_classes(source, tmp_path / "target", images_per_class=20)
    held = hold_out(source, tmp_path / "target", tmp_path / "held", target_classes=True)
    assert held.classes == ["Pineapple", "Pineapple Mini", "Kiwi", "Plum 2"]
    # Noise takes 20 training and 2 validation images, evenly from four classes of 30 and 4.
    assert held.counts == {"train": 4 * 30 - 20, "validation": 4 * 4 - 2, "test": 40}
    target = images(tmp_path / "target", "train", "validation", "test")
    assert not images(tmp_path / "held", "train", "validation") & target
    assert held.settings["seen_before"] == {
        "images": {"apple": 0, "pears": 0, "noise": 100 + 14},
        "training_images": 0,
        "test_images": 0,
    }


def test_in_the_papers_design_the_set_is_handed_on_and_what_was_seen_is_counted(tmp_path: Path) -> None:
    source = packed(tmp_path / "in")
    target = select_classes(source, tmp_path / "target", images_per_class=20)
    held = hold_out(source, tmp_path / "target", tmp_path / "held")
    assert held.digest == PackedDataset(source).description.digest
    PackedDataset(tmp_path / "held").verify()
    assert held.settings["held_out"]["target"] == target.digest
    # 34 training and validation images each of 2, 2 and 4 classes; all 60 training images of the target among them.
    assert held.settings["seen_before"] == {
        "images": {"apple": 68, "pears": 68, "noise": 136},
        "training_images": 60,
        "test_images": 0,
    }
    assert "held_out" not in PackedDataset(source).description.settings, "the set itself stays as it is"


def test_a_test_image_that_is_in_training_too_is_left_out(tmp_path: Path) -> None:
    source = packed(tmp_path / "in")
    opened = PackedDataset(source)
    train, _ = opened.split("train")
    copied = np.array(train[5])
    own = drawn_files.write_tree(
        tmp_path / "own", {"Training/good": 5, "Training/bad": 5, "Test/good": 2, "Test/bad": 2}
    )
    from PIL import Image

    Image.fromarray(copied).save(own / "Test" / "good" / "copy.png")
    select_target(source, tmp_path / "target", target_uri=str(own))
    held = hold_out(source, tmp_path / "target", tmp_path / "held")
    assert held.counts["train"] == len(train) - 1
    assert copied.tobytes() not in images(tmp_path / "held", "train", "validation")


def test_an_imported_target_is_compared_by_name() -> None:
    about = {"name": "x", "digest": "", "source": "", "image_size": 8, "counts": {}, "class_counts": {}}
    target = Description(classes=["apples", "Pear Abate", "good"], **about)
    made = made_from_classes(target, ["Apple Red", "Pineapple", "Pear", "Peach"])
    assert made == {"apples": ["Apple Red"], "Pear Abate": ["Pear"], "good": []}


def test_too_little_left_is_refused_with_the_reason(tmp_path: Path) -> None:
    source = packed(tmp_path / "in")
    select_target(source, tmp_path / "same", classes={})
    with pytest.raises(HeadstartError, match="0 of 8 classes of test have training and test images left"):
        hold_out(source, tmp_path / "same", tmp_path / "held", target_classes=True)
    assert not (tmp_path / "held").exists()
    own = drawn_files.write_tree(tmp_path / "own", {"good": 9, "bad": 9})
    import_dataset(str(own), tmp_path / "other", image_size=16)
    with pytest.raises(HeadstartError, match="16 pixels wide"):
        hold_out(source, tmp_path / "other", tmp_path / "held")


@pytest.mark.parametrize("by", ["film", "image"])
def test_a_selection_cannot_split_by_what_a_packed_set_does_not_know(tmp_path: Path, by: str) -> None:
    source = packed(tmp_path / "in")
    with pytest.raises(SettingError, match=f"a selection cannot split by {by}"):
        select_classes(source, tmp_path / "out", images_per_class=20, split_by=by)


def test_films_that_the_target_tests_on_are_not_prepared_on(tmp_path: Path) -> None:
    root = tmp_path / "in"
    for number, (name, film) in enumerate((n, f) for n in ("Apple 1", "Pear", "Kiwi") for f in ("", "r_", "r2_", "q_")):
        (root / "Training" / name).mkdir(parents=True, exist_ok=True)
        (root / "Test" / name).mkdir(parents=True, exist_ok=True)
        for split, frames in (("Training", range(6)), ("Test", range(6, 8))):
            for frame in frames:
                content = drawn_files.encoded(number, "PNG")  # all frames of a film are alike
                (root / split / name / f"{film}{frame}_100.png").write_bytes(content)
    import_dataset(str(root), tmp_path / "packed", image_size=16, split_by="film")
    select_classes(tmp_path / "packed", tmp_path / "target", images_per_class=6, split_by="film")
    hold_out(tmp_path / "packed", tmp_path / "target", tmp_path / "held")
    assert not images(tmp_path / "held", "train", "validation") & images(tmp_path / "target", "test")
