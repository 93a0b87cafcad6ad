"""Features kept for later runs: those that would have been computed, to the bit, or none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_images

pytest.importorskip("tensorflow")

from test_preloading import content
from test_setting_effects import BASE, NETWORK

from headstart.components.records import read_record
from headstart.components.training import features
from headstart.components.training.clock import Clock
from headstart.components.training.environment import describe
from headstart.components.training.features import Backbone, kept_features
from headstart.components.training.run import Run
from headstart.components.training.specification import RunSpecification

IMAGES = np.random.default_rng(1).integers(0, 256, (5, 4, 4, 3), dtype=np.uint8)


class Counted:
    """A computation that counts its calls."""

    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, images: Any) -> Any:
        self.calls += 1
        return images.mean(axis=(1, 2), dtype=np.float32)


def test_features_are_computed_once_for_the_same_images_and_layers(tmp_path: Path) -> None:
    compute, facts = Counted(), {"layers": {"a": "1"}, "images": "d"}
    first, read = kept_features(tmp_path / "new", facts, IMAGES, compute)
    again, read_again = kept_features(tmp_path / "new", facts, IMAGES, compute)
    assert compute.calls == 1
    assert (read, read_again) == (False, True)
    assert again.dtype == first.dtype == np.float32
    assert again.tobytes() == first.tobytes()
    for other, images in (
        (facts | {"layers": {"a": "2"}}, IMAGES),
        (facts | {"images": "e"}, IMAGES),
        (facts, IMAGES.reshape(5, 2, 8, 3)),
    ):
        calls = compute.calls
        kept_features(tmp_path / "new", other, images, compute)
        assert compute.calls == calls + 1


@pytest.mark.parametrize(
    "damage", [lambda c: c[:-1], lambda c: c + b"x", lambda c: b"", lambda c: c[:10] + b"\xff" * 9]
)
def test_a_damaged_file_is_not_used_and_replaced(tmp_path: Path, damage: Any) -> None:
    compute = Counted()
    expected, _ = kept_features(tmp_path, {}, IMAGES, compute)
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    file.write_bytes(damage(whole))
    assert np.array_equal(kept_features(tmp_path, {}, IMAGES, compute)[0], expected)
    assert compute.calls == 2
    assert file.read_bytes() == whole
    for at in range(0, len(whole), 7):
        file.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
        assert np.array_equal(kept_features(tmp_path, {}, IMAGES, compute)[0], expected)


def test_files_have_a_bound_and_a_place_that_takes_none_costs_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(features, "MOST_BYTES", 250)  # one file has 220
    for digest in "abcd":
        kept_features(tmp_path, {"images": digest}, IMAGES, Counted())
    assert len(list(tmp_path.iterdir())) == 1
    (tmp_path / "file").touch()
    compute = Counted()
    kept_features(tmp_path / "file", {}, IMAGES, compute)
    assert compute.calls == 1


def test_a_run_with_kept_features_is_the_run_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "small.py").write_text(NETWORK)
    data = tiny_images.packed(tmp_path / "data", 3, 64, held_out=18)
    settings = BASE | {"network": f"{tmp_path}/small.py:small"}
    passes: list[tuple[int, bool]] = []
    features = Backbone.features

    def counted(self: Backbone, images: Any, *, training: bool = False) -> Any:
        passes.append((len(images), training))
        return features(self, images, training=training)

    monkeypatch.setattr(Backbone, "features", counted)

    def run(name: str, arm: str = "transfer", seed: int = 2, **changes: Any) -> Path:
        passes.clear()
        given = tiny_images.call(tmp_path, arm, data, settings=settings, seed=seed, **changes)
        spec = RunSpecification(**given | {"record": tmp_path / name})
        record = Run(spec, Clock(1), describe(threads=1, image=""), lambda: False).execute()
        assert record.status == "succeeded", record.reason
        record.write(spec.record)
        return spec.record

    run("pretrain", "pretrain", model=tmp_path / "model")
    plain = run("plain", initial_model=tmp_path / "model")
    assert passes == [(64, True), (18, False), (18, False)]
    place = tmp_path / "checkpoints"
    run("first", seed=1, initial_model=tmp_path / "model", checkpoints=str(place / "first"))
    assert passes == [(64, True), (18, False), (18, False)]
    assert len([file for file in place.iterdir() if file.is_file()]) == 2
    later = run("later", initial_model=tmp_path / "model", checkpoints=str(place / "later"))
    assert passes == [(64, True)], "training images pass in every run, test images in the first alone"
    kept = [read_record(file).kept_features for file in (plain, later)]
    assert kept == [[], ["validation", "test"]]
    assert content(plain) == content(later)
    # What only one run would use is not kept.
    run("random", "frozen-random", checkpoints=str(tmp_path / "others" / "random"))
    assert (18, False) in passes
    assert not [file for file in (tmp_path / "others").iterdir() if file.is_file()]
