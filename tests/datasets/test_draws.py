"""Draws of a target set: other training images in each, the same test images in all, and the same again next time."""

from pathlib import Path

import numpy as np

from headstart.components.datasets.draws import draw_folder, draw_folders, select_draws
from headstart.components.datasets.holding_out import hold_out
from headstart.components.datasets.packed import PackedDataset, is_packed
from tests.datasets.test_selection import PAPER, packed


def images(folder: Path, split: str) -> list[bytes]:
    return [image.tobytes() for image in PackedDataset(folder).split(split)[0]]


def test_draws_differ_in_training_and_share_the_test(tmp_path: Path) -> None:
    source = packed(tmp_path / "in")
    select_draws(source, tmp_path / "target", draws=3, classes=PAPER, images_per_class=20, seed=4)
    folders = draw_folders(tmp_path / "target")
    assert folders == [draw_folder(tmp_path / "target", draw) for draw in range(3)]
    assert len({images(folder, "test")[0] for folder in folders}) == 1
    assert images(folders[0], "test") == images(folders[1], "test") == images(folders[2], "test")
    trained = [set(images(folder, "train")) for folder in folders]
    # 20 of 60 apples: two draws share about a third, and each has every class as often.
    for one, other in ((0, 1), (0, 2), (1, 2)):
        assert 0 < len(trained[one] & trained[other]) < 40
    for folder in folders:
        found = PackedDataset(folder)
        found.verify(images=True)
        assert found.description.class_counts["train"] == [20, 20, 20]
        # Two classes of 30 apples and of 30 pears, four of the rest.
        assert found.description.record().training_pool == [60, 60, 120]
        assert not set(images(folder, "train")) & set(images(folder, "validation"))
    assert len({PackedDataset(folder).description.digest for folder in folders}) == 3
    assert is_packed(tmp_path / "target")  # draws and all it is ours, and is replaced by a task that runs again

    again = tmp_path / "again"
    select_draws(source, again, draws=2, classes=PAPER, images_per_class=20, seed=4)
    assert PackedDataset(draw_folder(again, 1)).description.digest == PackedDataset(folders[1]).description.digest


def test_one_draw_is_the_selection_as_it_was(tmp_path: Path) -> None:
    source = packed(tmp_path / "in")
    one = select_draws(source, tmp_path / "one", classes=PAPER, images_per_class=20)
    three = select_draws(source, tmp_path / "three", draws=3, classes=PAPER, images_per_class=20)
    assert one.digest == three.digest
    assert not (tmp_path / "one/draws").exists()


def test_a_set_taken_as_it_is_is_divided_anew(tmp_path: Path) -> None:
    source = packed(tmp_path / "in", counts=(6, 4, 3))
    select_draws(source, tmp_path / "target", draws=2, classes={})
    first, second = (PackedDataset(folder) for folder in draw_folders(tmp_path / "target"))
    assert second.description.counts == first.description.counts
    assert second.description.class_counts == first.description.class_counts
    assert second.description.training_pool == [10] * 8
    both = [sorted(images(found.folder, "train") + images(found.folder, "validation")) for found in (first, second)]
    assert both[0] == both[1]
    assert images(first.folder, "train") != images(second.folder, "train")
    assert images(first.folder, "test") == images(second.folder, "test")
    # A label goes with its image: pixel 0 tells the class.
    pixels, labels = second.split("train")
    assert (pixels[:, 0, 0, 0] // 20 == labels).all()


def test_what_any_draw_trains_on_can_be_held_out(tmp_path: Path) -> None:
    source = packed(tmp_path / "in")
    select_draws(source, tmp_path / "target", draws=3, classes=PAPER, images_per_class=8)
    hold_out(source, tmp_path / "target", tmp_path / "held", target_classes=True)
    held = PackedDataset(tmp_path / "held")
    left = {row.tobytes() for split in ("train", "validation") for row in held.image_digests(split)}
    for folder in draw_folders(tmp_path / "target"):
        rows = np.concatenate([PackedDataset(folder).image_digests(split) for split in ("train", "validation", "test")])
        assert not left & {row.tobytes() for row in rows}
