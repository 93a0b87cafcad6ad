"""What a transferred model had seen of the images of a run: counted by hand on sets made for it."""

import json
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from headstart.components.datasets.leakage import near_twins
from headstart.components.datasets.packed import PackedDataset, write_packed
from headstart.components.errors import HeadstartError
from headstart.components.training import lineage
from headstart.components.training.lineage import TRAINED_ON, chain, read_trained_on, seen_before, write_trained_on

Labels = list[int]


def dataset(
    folder: Path,
    classes: list[str],
    train: dict[int, int],
    test: dict[int, int],
    settings: dict[str, Any] | None = None,
) -> PackedDataset:
    """A set of one-coloured images: colour → label."""

    def split(images: dict[int, int]) -> tuple[Any, Any]:
        pixels = np.stack([np.full((8, 8, 3), colour, np.uint8) for colour in images])
        return pixels, np.array(list(images.values()), np.int32)

    folder.mkdir()
    splits = {"train": split(train), "validation": split({200: 0}), "test": split(test)}
    write_packed(folder, {"name": "t", "source": "test:", "classes": classes, "settings": settings or {}}, splits)
    return PackedDataset(folder)


@pytest.fixture
def models(tmp_path: Path) -> tuple[Path, Path]:
    """The models of two stages: one on apples and chairs, one on three kinds of fruit."""
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir(), second.mkdir()
    source = dataset(tmp_path / "source", ["apple", "chair"], {1: 0, 2: 0, 3: 1}, {4: 1})
    fruit = dataset(
        tmp_path / "fruit",
        ["Apple Red", "Pear", "Kiwi"],
        {10: 0, 11: 0, 12: 1, 13: 2, 14: 2, 15: 2},
        {16: 0, 17: 1, 18: 2},
    )
    write_trained_on(first, "pretrain", source, None)
    write_trained_on(second, "finetune", fruit, first)
    return first, second


def test_images_and_labels_of_every_earlier_stage_are_counted(tmp_path: Path, models: tuple[Path, Path]) -> None:
    rule: dict[str, Any] = {"classes": {"apple": "apple", "pears": "pear", "noise": "*"}}
    taken = {"taken": {"apple": ["Apple Red"], "pears": ["Pear"], "noise": ["Kiwi"]}}
    # Two of three training images are the second stage's, one test image is the first's, one nobody's.
    target = dataset(
        tmp_path / "target", ["apple", "pears", "noise"], {10: 0, 12: 1, 99: 2}, {1: 0, 98: 1, 97: 2}, rule | taken
    )
    found = seen_before(target, models[1])
    assert found is not None
    assert (found.training_images, found.test_images) == (2, 1)
    # Colours 1, 98 and 97: one is the first stage's, and no colour within 2 of the others was trained on.
    assert found.near_test_share == pytest.approx(1 / 3)
    # Two red apples and a pear in the second stage, two apples in the first; the rest (kiwis) is no class to remember.
    assert found.class_images == 2 + 1 + 2
    only = seen_before(target, models[0])
    assert only is not None
    assert (only.class_images, only.training_images, only.test_images) == (2, 0, 1)


def test_images_whose_digests_are_equal_in_one_half_are_not_the_same(
    tmp_path: Path, models: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    target = dataset(tmp_path / "target", ["apple", "chair"], {1: 0, 2: 1, 3: 1}, {4: 1})
    digests = target.image_digests("train").copy()
    digests[0, 8:] += 1
    digests[1, :8] += 1
    monkeypatch.setattr(target, "image_digests", lambda split: digests)
    found = seen_before(target, models[0])
    assert found is not None
    assert found.training_images == 1


def test_classes_of_other_data_are_known_by_their_names(tmp_path: Path, models: tuple[Path, Path]) -> None:
    target = dataset(tmp_path / "mine", ["Pears", "cherry"], {50: 0, 51: 1}, {52: 0, 53: 1})
    found = seen_before(target, models[1])
    assert found is not None
    assert (found.class_images, found.training_images, found.test_images) == (1, 0, 0)
    assert found.near_test_share == 0
    close = dataset(tmp_path / "close", ["Pears", "cherry"], {50: 0, 51: 1}, {17: 0, 18: 0, 19: 1, 120: 1})
    again = seen_before(close, models[1])
    assert again is not None and again.test_images == 0
    assert again.near_test_share == 0.25  # 17 is 2 from 15, 18 is 3: a difference below 3 is near


def test_without_scipy_near_twins_are_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    known = rng.integers(0, 256, (300, 8 * 8 * 3), np.uint8)
    moved = known[:100].astype(int) + rng.integers(-6, 7, (100, 8 * 8 * 3))
    queries = np.concatenate([np.clip(moved, 0, 255).astype(np.uint8), known[:3], known[:0]])
    fast = near_twins(queries, known)
    monkeypatch.setitem(sys.modules, "scipy", types.ModuleType("scipy"))  # as the process that trains has it
    for name in [name for name in sys.modules if name.startswith("scipy.")]:
        monkeypatch.delitem(sys.modules, name)
    assert near_twins(queries, known).tolist() == fast.tolist()
    assert 0 < fast.sum() < len(fast)
    assert fast[100:].all()


def test_of_many_images_thumbnails_are_kept_at_even_distances(
    tmp_path: Path, models: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lineage, "_KEPT", 3)
    few = tmp_path / "few"
    few.mkdir()
    data = dataset(tmp_path / "more", ["a"], dict.fromkeys(range(10, 60, 10), 0), {90: 0})
    write_trained_on(few, "pretrain", data, None)
    [part] = read_trained_on(few) or []
    assert part.thumbnails is not None
    assert part.thumbnails[:, 0].tolist() == [10, 30, 50]
    older = {name: value for name, value in np.load(few / TRAINED_ON).items() if not name.startswith("thumbnails")}
    np.savez(few / TRAINED_ON, **older)
    found = seen_before(data, few)
    assert found is not None
    assert (found.training_images, found.near_test_share) == (5, None)


def test_without_a_note_it_is_not_known_and_a_broken_one_is_named(tmp_path: Path, models: tuple[Path, Path]) -> None:
    target = dataset(tmp_path / "mine", ["a", "b"], {50: 0, 51: 1}, {52: 0, 53: 1})
    (tmp_path / "bare").mkdir()
    assert seen_before(target, tmp_path / "bare") is None
    file = models[1] / TRAINED_ON
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(HeadstartError, match=r"second/trained_on\.npz: cannot be read"):
        read_trained_on(models[1])


def test_the_chain_ends_with_the_model_itself() -> None:
    first = {"arm": "pretrain", "seed": 4, "weights": "w1", "data": "d1"}
    second = {"arm": "finetune", "seed": 4, "weights": "w2", "data": "d2"}
    lineage = [entry.model_dump() for entry in chain(first)]
    found = chain(json.loads(json.dumps({**second, "lineage": lineage})))
    assert [(entry.stage, entry.seed, entry.weights, entry.data) for entry in found] == [
        ("pretrain", 4, "w1", "d1"),
        ("finetune", 4, "w2", "d2"),
    ]


def test_a_model_that_does_not_say_what_it_is_has_no_stage_of_its_own() -> None:
    first = {"arm": "pretrain", "seed": 1, "weights": "ab"}
    lineage = [entry.model_dump() for entry in chain(first)]
    assert chain({"weights": "cd", "lineage": lineage}) == chain(first)
    assert chain({"classes": ["a"], "image_size": 52}) == []
