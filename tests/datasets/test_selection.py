"""The derived set: whole words, even noise, seeded, the same on every machine."""

from pathlib import Path

import numpy as np
import pytest

from headstart.components.datasets.packed import PackedDataset, write_packed
from headstart.components.datasets.selection import assign_classes, draw_evenly, select_classes, select_target
from headstart.components.datasets.settings import OPTIONS, check_data_settings
from headstart.components.errors import HeadstartError, SettingError
from tests.datasets import drawn_files

CLASSES = ["Apple Red 1", "Apple Golden 2", "Pear", "Pear Abate", "Pineapple", "Pineapple Mini", "Kiwi", "Plum 2"]
PAPER = {"apple": "apple", "pears": "pear", "noise": "*"}


def packed(folder: Path, classes: list[str] = CLASSES, counts: tuple[int, int, int] = (30, 4, 10)) -> Path:
    """A packed set in which pixel 0 tells the class, pixel 1 the split and pixel 2 the number of the image."""
    splits = {}
    for number, (split, count) in enumerate(zip(("train", "validation", "test"), counts, strict=True)):
        labels = np.repeat(np.arange(len(classes), dtype=np.int32), count)
        pixels = np.zeros((len(labels), 8, 8, 3), np.uint8)
        pixels[:, 0, 0, 0] = labels * 20
        pixels[:, 0, 1, 0] = number
        pixels[:, 0, 2, 0] = np.tile(np.arange(count), len(classes))
        pixels[:, 1:, :, :] = np.random.default_rng(number).integers(0, 256, (len(labels), 7, 8, 3))
        splits[split] = (pixels, labels)
    folder.mkdir()
    write_packed(folder, {"name": "test", "source": "drawn", "classes": classes}, splits)
    return folder


def sources(folder: Path, split: str) -> dict[int, list[int]]:
    """For each new label, the source class of each image."""
    images, labels = PackedDataset(folder).split(split)
    return {label: (images[labels == label][:, 0, 0, 0] // 20).tolist() for label in np.unique(labels).tolist()}


def test_words_decide_not_letters() -> None:
    taken = assign_classes([*CLASSES, "APPLE-crimson_snow", "apple_braeburn_1", "Grapefruit", "Apples"], PAPER)
    assert taken["apple"] == ["Apple Red 1", "Apple Golden 2", "APPLE-crimson_snow", "apple_braeburn_1", "Apples"]
    assert taken["pears"] == ["Pear", "Pear Abate"]
    assert taken["noise"] == ["Pineapple", "Pineapple Mini", "Kiwi", "Plum 2", "Grapefruit"]


def test_the_order_of_a_rule_does_not_matter() -> None:
    assert list(assign_classes(CLASSES, dict(reversed(PAPER.items())))) == ["apple", "pears", "noise"]


def test_the_longest_words_win_and_a_tie_is_refused() -> None:
    rule = {"golden": "apple golden", "apple": "apple", "stone": "plum, kiwi", "rest": "*"}
    taken = assign_classes(CLASSES, rule)
    assert taken["golden"] == ["Apple Golden 2"]
    assert taken["apple"] == ["Apple Red 1"]
    assert taken["stone"] == ["Kiwi", "Plum 2"]
    with pytest.raises(SettingError, match="Apple Pear fits apple and pears"):
        assign_classes(["Apple Pear", "Kiwi"], PAPER)
    with pytest.raises(SettingError, match="nuts=nut takes in none"):
        assign_classes(CLASSES, {"nuts": "nut", "rest": "*"})
    with pytest.raises(SettingError, match="both take the rest"):
        assign_classes(CLASSES, {"a": "*", "b": "*"})


def test_noise_is_drawn_evenly() -> None:
    labels = np.repeat([0, 1, 2, 3], [50, 3, 50, 50]).astype(np.int32)
    drawn = draw_evenly(labels, 30, np.random.default_rng(0))
    assert len(set(drawn.tolist())) == 30
    # Three of the small class, and the other 27 shared evenly.
    assert np.bincount(labels[drawn]).tolist() == [9, 3, 9, 9]


def test_the_counts_are_those_asked_for(tmp_path: Path) -> None:
    description = select_classes(packed(tmp_path / "in"), tmp_path / "out", images_per_class=40)
    assert description.classes == ["apple", "pears", "noise"]
    assert description.class_counts == {"train": [40] * 3, "validation": [4] * 3, "test": [20] * 3}
    for split in ("train", "validation", "test"):
        found = sources(tmp_path / "out", split)
        assert set(found[0]) == {0, 1}
        assert set(found[1]) == {2, 3}
        assert set(found[2]) <= {4, 5, 6, 7}
    assert np.bincount(sources(tmp_path / "out", "train")[2]).tolist()[4:] == [10, 10, 10, 10]
    images, _ = PackedDataset(tmp_path / "out").split("test")
    assert set(images[:, 0, 1, 0].tolist()) == {2}, "test images come from the source's test split"
    PackedDataset(tmp_path / "out").verify()


def test_smaller_where_there_are_fewer_and_the_record_says_so(tmp_path: Path) -> None:
    description = select_classes(
        packed(tmp_path / "in"), tmp_path / "out", images_per_class=100, test_images_per_class=7
    )
    assert description.class_counts["train"] == [60, 60, 100]
    assert description.class_counts["test"] == [7, 7, 7]
    assert "apple: 60 train images; 100 were asked for." in description.record().notes


def test_seed_and_input_decide(tmp_path: Path) -> None:
    source = packed(tmp_path / "in")
    digests = [
        select_classes(source, tmp_path / f"out{index}", images_per_class=20, seed=seed).digest
        for index, seed in enumerate((1, 1, 2))
    ]
    assert digests[0] == digests[1] != digests[2]
    # Worked out once, on one machine; another that draws otherwise fails here.
    assert digests[0] == "698797532cd29e199b5dd40ece2ca02d367c9316f6c192895cfe36b5de9914ee"


def test_a_split_by_variety_tests_on_what_training_never_saw(tmp_path: Path) -> None:
    select_classes(packed(tmp_path / "in"), tmp_path / "out", images_per_class=20, split_by="variety")
    for label in range(3):
        seen = set(sources(tmp_path / "out", "train")[label]) | set(sources(tmp_path / "out", "validation")[label])
        assert seen
        assert not seen & set(sources(tmp_path / "out", "test")[label])


def test_the_target_can_be_imported_instead(tmp_path: Path) -> None:
    own = drawn_files.write_tree(tmp_path / "own", {"good": 10, "bad": 10})
    source = packed(tmp_path / "in")
    description = select_target(
        source, tmp_path / "out", classes=PAPER, images_per_class=5, target_uri=str(own), settings={"split_by": "image"}
    )
    assert description.classes == ["bad", "good"]
    assert description.image_size == 8, "the size of the intermediate set"
    with pytest.raises(SettingError, match="Unknown setting 'classs'"):
        select_target(source, tmp_path / "out", settings={"classs": {}})


def test_what_a_parameter_names_wins_over_the_data_settings(tmp_path: Path) -> None:
    settings = {"images_per_class": 5, "near_duplicates": False}
    description = select_target(packed(tmp_path / "in"), tmp_path / "out", images_per_class=20, settings=settings)
    assert description.counts["train"] == 60
    assert description.settings["near_duplicates"] is False
    check_data_settings(settings)
    for name in OPTIONS:
        with pytest.raises(SettingError, match=f"{name}: it has an option of its own"):
            check_data_settings({**settings, name: 1})


def test_whole_numbers_that_a_pipeline_turned_into_floats_are_taken(tmp_path: Path) -> None:
    description = select_classes(packed(tmp_path / "in"), tmp_path / "out", images_per_class=20.0, seed=0.0)
    assert description.counts["train"] == 60


def test_what_is_no_packed_data_set_is_refused(tmp_path: Path) -> None:
    with pytest.raises(HeadstartError, match="not a packed data set"):
        select_classes(tmp_path, tmp_path / "out")
    assert not (tmp_path / "out").exists()
