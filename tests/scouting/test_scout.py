"""`headstart scout`: models of every kind are ranked, test images are not touched, and runs are put beside."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from headstart.components.errors import HeadstartError, SettingError
from headstart.components.records import Data, Result, RunRecord
from headstart.components.scouting.against import Measure, agreements, measured, measures
from headstart.pipelines.cli import headstart
from headstart.pipelines.commands.scout import _print
from tests.json_results import read_result

pytest.importorskip("tensorflow")
import keras

from headstart.components.datasets.packed import write_packed
from headstart.components.scouting import scout as scouting
from headstart.components.training import export

SIZE = 40
NETWORK = """
import keras

def network(size, classes):
    x = inputs = keras.Input((size, size, 3))
    x = keras.layers.AveragePooling2D(size // 4, name="coarse")(x)
    x = keras.layers.Rescaling(1 / 255, name="scaled")(x)
    x = keras.layers.Flatten(name="flat")(x)
    x = keras.layers.Dense(6, "relu", name="body")(x)
    return keras.Model(inputs, keras.layers.Dense(classes, "softmax", name="head")(x))
"""


def pictures(count: int, seed: int) -> tuple[Any, Any]:
    patterns = np.random.default_rng(5).integers(0, 255, (3, 4, 4, 3))
    labels = (np.arange(count) % 3).astype(np.int32)
    clean = np.kron(patterns[labels], np.ones((1, SIZE // 4, SIZE // 4, 1)))
    noisy = clean + np.random.default_rng(seed).normal(0, 60, clean.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8), labels


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images in class folders, a network, and two models of it: one whose features tell the classes, one blind."""
    folder = tmp_path_factory.mktemp("scout")
    images, labels = pictures(60, 1)
    for number, (pixels, label) in enumerate(zip(images, labels, strict=True)):
        split = ("train", "train", "train", "val", "test")[number // 3 % 5]
        file = folder / f"photos/{split}/kind{label}/{number}.png"
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(file)
    (folder / "own.py").write_text(NETWORK)
    names: dict[str, Any] = {}
    exec(NETWORK, names)
    keras.utils.set_random_seed(4)
    good = names["network"](SIZE, 5)
    good.save(folder / "good.keras")
    blind = names["network"](SIZE, 5)
    blind.get_layer("body").set_weights([np.zeros((48, 6)), np.ones(6)])
    export.save_model(blind, folder / "blind", {"image_size": SIZE, "network": f"{folder / 'own.py'}:network"})
    good.save_weights(folder / "good.weights.h5")
    return folder


def arguments(place: Path, *more: str) -> list[str]:
    return ["scout", "--target", str(place / "photos"), "--image-size", str(SIZE), *more]


def run(*words: str) -> Any:
    return CliRunner().invoke(headstart, words, catch_exceptions=False, obj={"verbose": False})


def test_models_are_ranked_by_what_their_features_tell(place: Path, tmp_path: Path) -> None:
    record(tmp_path / "run/records/transfer-01.json", weights(place / "good.keras"), 0.9)
    record(
        tmp_path / "run/records/transfer-02.json", json.loads((place / "blind/model.json").read_text())["weights"], 0.3
    )
    found = run(*arguments(place, str(place / "blind"), str(place / "good.keras"), "paper", "--json",
                           "--against", str(tmp_path / "run")))  # fmt: skip
    answer = read_result("scout", found.stdout)
    names = [Path(each["model"]).name for each in answer["models"]]
    assert names.index("good.keras") < names.index("blind")
    by_name = dict(zip(names, answer["models"], strict=True))
    assert by_name["good.keras"]["probe"] > 0.8
    assert by_name["blind"]["probe"] < 0.5
    assert by_name["good.keras"]["measured"] == [{"arm": "transfer", "images": 36, "accuracy": 0.9}]
    assert by_name["paper"]["measured"] == []
    assert {(each["estimate"], each["same"], each["pairs"]) for each in answer["agreement"]} == {
        ("logme", 1, 1),
        ("probe", 1, 1),
    }


def test_weights_alone_take_their_network_and_a_person_reads_a_table(place: Path) -> None:
    found = run(*arguments(place, str(place / "good.weights.h5"), "--network", f"{place / 'own.py'}:network"))
    assert found.exit_code == 0
    assert "good.weights.h5" in found.stdout
    assert "3 classes, 36 training and 12 validation images" in found.stdout


def test_test_images_change_nothing(place: Path, tmp_path: Path) -> None:
    train, validation = pictures(30, 1), pictures(12, 2)
    answers = []
    for name, test in (
        ("one", pictures(12, 3)),
        ("two", (np.zeros((12, SIZE, SIZE, 3), np.uint8), pictures(12, 3)[1])),
    ):
        folder = tmp_path / name
        folder.mkdir()
        about = {"name": "patterns", "source": "test:", "classes": ["a", "b", "c"]}
        write_packed(folder, about, {"train": train, "validation": validation, "test": test})
        answers.append(scouting.scout([str(place / "good.keras")], folder))
    assert answers[0] == answers[1]


def test_what_does_not_fit_is_refused_by_name(place: Path, tmp_path: Path) -> None:
    cases = [
        ([str(place / "good.keras")] * 2, SettingError, "named twice"),
        ([str(tmp_path / "absent.keras")], SettingError, "absent.keras"),
        (["mobilenet"], SettingError, "mobilenet"),
    ]
    for models, kind, message in cases:
        with pytest.raises(kind, match=message):
            run(*arguments(place, *models))
    with pytest.raises(SettingError, match="the images have 64 pixels"):
        run("scout", "--target", str(place / "photos"), "--image-size", "64", str(place / "good.keras"))
    with pytest.raises(HeadstartError, match="1 class is left"):
        shutil.copytree(place / "photos/train/kind0", tmp_path / "one/train/kind0")
        run("scout", "--target", str(tmp_path / "one"), str(place / "good.keras"), "--image-size", str(SIZE))


def weights(file: Path) -> str:
    from headstart.components.training.freezing import weights_digest

    return weights_digest(keras.models.load_model(file, compile=False))


def record(file: Path, initial: str, accuracy: float, arm: str = "transfer", **data: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    facts = {"classes": ["kind0", "kind1", "kind2"], "counts": {"train": 36, "test": 12}, "source": "photos", **data}
    RunRecord(
        arm=arm,
        seed=1,
        run_id="r",
        status="succeeded",
        initial_model=initial,
        data=Data(digest="d", image_size=SIZE, **facts),
        result=Result(test_accuracy=accuracy),
    ).write(file)


def test_runs_are_known_by_the_weights_that_they_started_from(tmp_path: Path) -> None:
    kinds = ["kind0", "kind1", "kind2"]
    for name, initial, accuracy in (("a", "w1", 0.5), ("b", "w2", 0.7), ("c", "w3", 0.6)):
        record(tmp_path / name / "records/transfer-01.json", initial, accuracy - 0.1)
        record(tmp_path / name / "records/transfer-02.json", initial, accuracy + 0.1)
    found = measured([tmp_path / "a", tmp_path / "b", tmp_path / "c"], ["w1", "w2"], kinds)
    transfer = Measure("transfer", 36)
    assert {own: round(arms[transfer], 9) for own, arms in found.items()} == {"w1": 0.5, "w2": 0.7}
    with pytest.raises(SettingError, match="no run there started"):
        measured([tmp_path / "a"], ["other"], kinds)
    with pytest.raises(SettingError, match="other classes"):
        measured([tmp_path / "a"], ["w1"], ["x", "y"])
    record(tmp_path / "b/records/transfer-01.json", "w2", 0.7, counts={"train": 36, "test": 13})
    record(tmp_path / "b/records/transfer-02.json", "w2", 0.7, counts={"train": 36, "test": 13})
    with pytest.raises(SettingError, match="different images"):
        measured([tmp_path / "a", tmp_path / "b"], ["w1", "w2"], kinds)


def test_runs_on_more_images_and_arms_by_depth_are_measures_of_their_own(tmp_path: Path) -> None:
    runs = [("transfer", 12, 0.5), ("transfer", 100, 0.9), ("transfer@10", 12, 0.4), ("transfer@2", 12, 0.3)]
    for place, (arm, images, accuracy) in enumerate(runs):
        for own in ("w1", "w2"):
            file = tmp_path / f"run/records/{place}-{own}.json"
            record(file, own, accuracy + 0.05 * (own == "w2"), arm, counts={"train": images, "test": 12})
    found = measured([tmp_path / "run"], ["w1", "w2"], ["kind0", "kind1", "kind2"])
    assert [str(each) for each in measures(found)] == [
        "transfer on 12 images", "transfer on 100 images", "transfer@2 on 12 images", "transfer@10 on 12 images",
    ]  # fmt: skip
    assert found["w1"][Measure("transfer", 12)] == 0.5
    assert {(each.images, each.same) for each in agreements({"probe": {"w1": 0.1, "w2": 0.2}}, found)} == {
        (12, 1),
        (100, 1),
    }


def test_what_was_measured_fits_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    sizes = [36 * 2**n for n in range(6)]
    found = [scouting.Scouted(f"model-{n}", "paper", 50, 1.0, 0.5, f"w{n}", None) for n in range(1, 12)]
    accuracies = {
        f"w{n}": {Measure(arm, size): n / 100 for arm in ("transfer", "transfer@10") for size in sizes}
        for n in range(2, 12)
    }
    del accuracies["w3"][Measure("transfer", 36)]
    _print(found, accuracies, [], compared=True)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= 90
    [header, *_] = [line for line in lines if line.split() == [str(place) for place in range(2, 9)]]
    rest = lines[lines.index(header) + 1 :]
    assert re.findall(r"\d\.\d|–", rest[0]) == ["2.0", "–", "4.0", "5.0", "6.0", "7.0", "8.0"]
    assert sum(line.startswith("transfer@10 on 1,152 images") for line in rest) == 2
    assert "model-1" not in "".join(rest)


def test_target_classes_are_selected_as_a_run_selects_them(place: Path) -> None:
    rule = ("--classes", "first=kind0", "rest=*", "--images-per-class", "5")
    answer = read_result("scout", run(*arguments(place, str(place / "good.keras"), *rule, "--json")).stdout)
    assert len(answer["models"]) == 1
    shown = run(*arguments(place, str(place / "good.keras"), *rule)).stdout
    assert "2 classes, 10 training and 2 validation images" in shown
    with pytest.raises(SettingError, match="none are given"):
        run(*arguments(place, str(place / "good.keras"), "--images-per-class", "5"))


def test_agreement_counts_pairs_and_ties() -> None:
    transfer, finetuned = Measure("transfer", 36), Measure("finetuned", 36)
    accuracies = {"a": {transfer: 0.1}, "b": {transfer: 0.2}, "c": {transfer: 0.3}, "d": {finetuned: 0.4}}
    (same,) = agreements({"logme": {"a": -1.0, "b": 0.5, "c": 0.4, "d": 9.0}}, accuracies)
    # a<b and a<c agree, b and c do not: τ = (2 - 1) / 3.
    assert (same.arm, same.models, same.same, same.pairs) == ("transfer", 3, 2, 3)
    assert same.tau == pytest.approx(1 / 3)
    (tied,) = agreements({"probe": {"a": 0.5, "b": 0.5, "c": 0.5}}, accuracies)
    assert (tied.same, tied.pairs, tied.tau) == (0, 0, None)
