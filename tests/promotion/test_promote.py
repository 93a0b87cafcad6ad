"""Promotions of real Keras models: from the first model to the roll back, on a folder and on a bucket."""

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from small_data import COLOURS, colours
from small_models import failed, trained

from headstart.components.datasets.packed import PackedDataset, write_packed
from headstart.components.errors import HeadstartError
from headstart.components.promotion.answers import check_served
from headstart.components.promotion.candidates import approve, candidates
from headstart.components.promotion.comparison import Candidate, _question, judge_measured
from headstart.components.promotion.gate import Rules, decide
from headstart.components.promotion.promote import choose, pair, promote
from headstart.components.promotion.store import ModelStore, open_store
from headstart.components.promotion.uses import read_uses
from headstart.components.promotion.versions import Outcome
from headstart.components.records import RunRecord, read_record
from headstart.components.training.export import load_model, save_served


def retrain(
    store: ModelStore, data: PackedDataset, runs: list[tuple[Path, Path]], run_id: str = "", **rules: object
) -> Outcome:
    models, records = zip(*runs, strict=True)
    # Loops hand over their results in no promised order. Latency is of the machine, which other processes may use.
    return promote(
        data,
        list(models),
        list(reversed(records)),
        store,
        Rules.of({"latency_ratio": 0, **rules}),
        run_id,
        ["A remark."],
    )


def test_first_better_worse_and_rolled_back(store: ModelStore, tmp_path: Path) -> None:
    monday, tuesday = colours(tmp_path / "monday"), colours(tmp_path / "tuesday", seed=1)
    blind = trained(tmp_path / "a", 1, blind_to="noise")
    first = retrain(store, monday, [blind], "monday")
    assert (first.status, first.version, first.title) == ("promoted", 1, "Promoted: version 1 is the first in use.")
    assert first.comparison["recalls"]["noise"]["candidate"] == 0.0

    seeing = trained(tmp_path / "b", 1)
    better = retrain(store, tuesday, [seeing], "tuesday")
    assert (better.status, better.version, better.current) == ("promoted", 2, 1)
    assert better.title == "Promoted: version 2 replaces version 1."
    assert better.reasons[0].startswith("Accuracy 100.00% against 66.67% of the model in use (+33.33 points, +20 of 60")

    worse = retrain(store, monday, [blind], "wednesday")
    assert (worse.status, worse.title) == ("refused", "Refused: version 2 stays in use.")
    assert worse.reasons[:2] == [
        "Accuracy 66.67% against 100.00% of the model in use (-33.33 points, -20 of 60 test images); a margin of 0.50 "
        "points is asked for. The model in use leaves only 0.00 points to gain.",
        "Class noise: 0.00% recognised against 100.00% by the model in use, 20 of 20 images fewer; "
        "a fall of 2.00 points is allowed.",
    ]
    assert worse.reasons[-1] == "A remark."
    assert [one.manifest.version for one in store.versions()] == [1, 2]
    assert [outcome.status for outcome in store.outcomes()] == ["promoted", "promoted", "refused"]

    # What is in use answers through TensorFlow's own loader as a server would ask it.
    folder = store.fetch(2, tmp_path / "fetched")
    manifest = store.manifest(2)
    assert (manifest.accuracy, manifest.run_id, manifest.compared_with) == (1.0, "tuesday", 1)
    assert manifest.recalls == {"apple": 1.0, "pears": 1.0, "noise": 1.0}
    served = tf.saved_model.load(str(folder / "serving" / "2")).signatures["serving_default"]
    pixels = np.tile(np.array(COLOURS["noise"], np.uint8), (52, 52, 1))
    said = served(image_bytes=tf.constant([tf.io.encode_png(pixels).numpy()]))
    assert said["class"].numpy().tolist() == [b"noise"]
    assert read_record(folder / "record.json").final_weights == manifest.weights
    assert "Promoted: this version replaces version 1." in (folder / "report.html").read_text()

    _, generation = store.pointer()
    store.switch(1, generation, "rolled back", "", "test", withdraw="for the test")
    assert store.current() == store.manifest(1)
    again = retrain(store, tuesday, [seeing], "thursday")
    assert (again.status, again.version, again.current) == ("promoted", 3, 1)


def test_test_images_of_the_model_in_use_are_left_out(store_uri: str, tmp_path: Path) -> None:
    if store_uri.startswith("gs://"):
        pytest.skip("nothing here depends on where the store lies")
    store = open_store(store_uri)
    data = colours(tmp_path / "data")
    retrain(store, data, [trained(tmp_path / "a", 1, blind_to="noise")])
    # The next data set has 15 of 20 noise images for test that were for training before.
    grown = colours(tmp_path / "grown", seed=2)
    splits = {split: grown.split(split) for split in ("train", "validation", "test")}
    images, labels = (np.array(array) for array in splits["test"])
    images[np.flatnonzero(labels == 2)[:15]] = data.split("train")[0][data.split("train")[1] == 2][:15]
    (tmp_path / "mixed").mkdir()
    about = {"name": "colours", "source": "test:colours", "classes": grown.classes}
    write_packed(tmp_path / "mixed", about, {**splits, "test": (images, labels)})
    grown = PackedDataset(tmp_path / "mixed")
    outcome = retrain(store, grown, [trained(tmp_path / "b", 1)], minimum_test_images=5)
    assert outcome.comparison["images"] == 45
    assert outcome.comparison["recalls"]["noise"]["images"] == 5
    assert any(reason.startswith("15 of 60 test images were in the training data") for reason in outcome.reasons)


def test_a_new_class_and_another_order_of_classes(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    retrain(store, colours(tmp_path / "three"), [trained(tmp_path / "a", 1)])
    names = ("plum", "noise", "apple", "pears")
    four = colours(tmp_path / "four", names)
    outcome = retrain(store, four, [trained(tmp_path / "b", 1, names)])
    assert outcome.status == "promoted"
    assert outcome.reasons[0].startswith("It knows what the model in use cannot: plum.")
    assert outcome.comparison["recalls"]["plum"] == {"candidate": 1.0, "current": 0.0, "images": 20}
    assert outcome.comparison["recalls"]["apple"]["current"] == 1.0


def test_the_best_by_validation_is_taken_and_failed_runs_are_told(tmp_path: Path) -> None:
    runs = [
        trained(tmp_path, 1, validation=0.8),
        trained(tmp_path, 2, validation=0.95, blind_to="noise"),
        trained(tmp_path, 3, validation=0.95),
        failed(tmp_path, 4),
    ]
    models, records = zip(*runs, strict=True)
    candidates, without = pair(list(reversed(models)), list(records))
    assert [one.record.seed for one in candidates] == [1, 2, 3]
    assert choose(candidates).record.seed == 2
    assert [record.seed for record in without] == [4]
    store = open_store(str(tmp_path / "store"))
    outcome = retrain(store, colours(tmp_path / "data"), runs)
    assert (outcome.status, outcome.candidate["seed"]) == ("promoted", 2)
    assert "The run with seed 4 failed: killed by signal 9 (SIGKILL)" in outcome.reasons


def test_without_a_single_success_nothing_changes(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    data = colours(tmp_path / "data")
    retrain(store, data, [trained(tmp_path / "a", 1)])
    outcome = retrain(store, data, [failed(tmp_path / "b", 1), failed(tmp_path / "b", 2)])
    assert (outcome.status, outcome.title) == ("failed", "No run of the last stage succeeded; nothing was changed.")
    assert [one.manifest.version for one in store.versions()] == [1]


def test_a_task_started_again_after_its_switch_finds_its_own_model(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    data, run = colours(tmp_path / "data"), trained(tmp_path / "a", 1)
    retrain(store, data, [run], "run-9")
    again = retrain(store, data, [run], "run-9")
    assert (again.status, again.version) == ("promoted", 1)
    assert len(store.versions()) == 1


def test_retention_runs_after_a_promotion(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    removed: list[int] = []
    for lap in range(4):
        run = trained(tmp_path / f"run{lap}", 1, blind_to="noise" if lap % 2 == 0 else "")
        if lap % 2 == 0 and lap:
            pointer, generation = store.pointer()
            assert pointer is not None
            store.switch(1, generation, "rolled back", "", "test")
            continue
        removed += retrain(store, colours(tmp_path / f"data{lap}", seed=lap), [run], keep=1).removed
    assert 1 not in removed  # it was in use before the last switch
    assert removed == [2]


def test_a_model_in_use_for_images_of_another_size_is_named(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    retrain(store, colours(tmp_path / "data"), [trained(tmp_path / "a", 1)])
    larger = colours(tmp_path / "larger", size=64)
    with pytest.raises(HeadstartError, match="takes images of 52 pixels, the data have 64"):
        retrain(store, larger, [trained(tmp_path / "b", 1, size=64)])


def test_an_altered_model_in_use_is_not_compared_with(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    retrain(store, colours(tmp_path / "data"), [trained(tmp_path / "a", 1, blind_to="noise")])
    (tmp_path / "store" / "versions" / "1" / "model" / "model.keras").write_bytes(b"altered")
    with pytest.raises(HeadstartError, match="is not what was promoted"):
        retrain(store, colours(tmp_path / "new", seed=3), [trained(tmp_path / "b", 1)])


def test_an_export_that_answers_otherwise_is_not_promoted(tmp_path: Path) -> None:
    data = colours(tmp_path / "data")
    classes = ["apple", "pears", "noise"]
    model, _ = load_model(trained(tmp_path / "a", 1)[0])
    other, _ = load_model(trained(tmp_path / "b", 1, blind_to="apple")[0])
    save_served(other, tmp_path / "served", classes, 52)
    check_served(tmp_path / "served", other, classes, data)
    with pytest.raises(HeadstartError, match="answers unlike the trained model"):
        check_served(tmp_path / "served", model, classes, data)


def test_the_outcome_in_the_store_is_what_was_returned(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    outcome = retrain(store, colours(tmp_path / "data"), [trained(tmp_path / "a", 1)], "run-1")
    (file,) = (tmp_path / "store" / "retrainings").glob("*-run-1/outcome.json")
    assert Outcome.model_validate(json.loads(file.read_text())) == outcome
    assert outcome.title in (file.parent / "report.html").read_text()


def slightly_better(place: Path) -> tuple[PackedDataset, tuple[Path, Path], tuple[Path, Path]]:
    """Data of which a model that is blind to noise gets three of 60 test images wrong, that model, and a seeing one."""
    data = colours(place / "data")
    images, labels = (np.array(array) for array in data.split("test"))
    images[labels == 2] = COLOURS["apple"]
    labels[labels == 2] = 0
    images[-3:], labels[-3:] = COLOURS["noise"], 2
    splits = {
        "train": data.split("train"), "validation": data.split("validation"), "test": (images, labels.astype(np.int32)),
    }  # fmt: skip
    (place / "few").mkdir()
    write_packed(place / "few", {"name": "few", "source": "test:few", "classes": data.classes}, splits)
    return PackedDataset(place / "few"), trained(place / "a", 1, blind_to="noise"), trained(place / "b", 1)


def test_better_on_paper_waits_for_a_person(store: ModelStore, tmp_path: Path) -> None:
    data, blind, seeing = slightly_better(tmp_path)
    assert retrain(store, data, [blind], "first").status == "promoted"
    refused = retrain(store, data, [seeing], "never", approval="never", confidence=0.999)
    assert refused.status == "refused"
    assert "Better on paper, but not proven; approval=never asks nobody." in refused.reasons
    candidate = retrain(store, data, [seeing], "night", confidence=0.999)
    assert (candidate.status, candidate.version, candidate.current) == ("candidate", 2, 1)
    assert candidate.evidence["uses"] == 2
    assert candidate.evidence["gain"] == pytest.approx(3 / 60)
    # A task that was killed and started again makes neither a second candidate nor a second use.
    again = retrain(store, data, [seeing], "night", confidence=0.999)
    assert (again.status, again.version, again.title) == ("candidate", 2, candidate.title)
    assert set(candidates(store)) == {2}
    assert set(read_uses(store)[0].images.values()) >= {2}
    assert len(read_uses(store)[0].comparisons) == 2
    approve(store, 2, "looked at it", "somebody")
    assert store.current() == store.manifest(2)


def test_always_asks_also_for_the_first_model(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    data, _, seeing = slightly_better(tmp_path)
    outcome = retrain(store, data, [seeing], "first", approval="always")
    assert outcome.title == "Candidate: version 1 waits for approval; no model is in use."
    assert store.pointer() == (None, "")
    approve(store, 1, "", "somebody")
    pointer, _ = store.pointer()
    assert pointer is not None and (pointer.version, pointer.action) == (1, "first")


def test_test_images_that_are_used_up_prove_nothing(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    data = colours(tmp_path / "data")
    retrain(store, data, [trained(tmp_path / "a", 1, blind_to="noise")], "first")
    for night in range(2):
        retrain(store, data, [trained(tmp_path / f"n{night}", 1, blind_to="apple")], f"night{night}", test_uses=2)
    outcome = retrain(store, data, [trained(tmp_path / "b", 1)], "third", test_uses=2, approval="never")
    assert outcome.status == "refused"
    assert any("prove nothing more. Test on new images." in reason for reason in outcome.reasons)
    fresh = colours(tmp_path / "fresh", seed=5)
    assert retrain(store, fresh, [trained(tmp_path / "c", 1)], "fourth", test_uses=2).status == "promoted"


@pytest.mark.parametrize(
    ("rules", "measured", "told"),
    [
        ({"latency_ratio": 2}, {"latency_p95": 0.0201}, "20.1 ms for one image, 95th percentile, against 10"),
        ({"latency_ratio": 3}, {"latency_p95": 0.0201}, ""),
        ({"latency_ratio": 0}, {"latency_p95": 9.0}, ""),
        ({"size_ratio": 2}, {"size": 3 * 2**20}, "3 MiB, against 1 of the model in use; size_ratio allows 2 times"),
        ({"size_ratio": 0}, {"size": 3 * 2**20}, ""),
    ],
)
def test_a_slow_or_large_candidate_is_refused(rules: dict[str, float], measured: dict[str, float], told: str) -> None:
    truth = np.repeat([0, 1], 50)
    decision = decide(Rules.of(rules), ["a", "b"], truth, truth, 1 - truth, ["a", "b"])
    figures = {"latency_p95": 0.01, "current_latency_p95": 0.01, "size": 2**20, "current_size": 2**20, **measured}
    judge_measured(Rules.of(rules), figures, decision)
    assert decision.promote is not bool(told)
    assert told in " ".join(decision.refused)


def test_evidence_of_records_without_the_least_number_of_steps_still_counts(tmp_path: Path) -> None:
    def asked(recipe: dict[str, object]) -> str:
        run = RunRecord(arm="final", seed=1, run_id="r", status="succeeded", preset="paper", recipe=recipe)
        return _question(Candidate(tmp_path, run), 3)

    # As it was stored by a version whose recipes had no such field.
    assert asked({"epochs": 7}) == asked({"epochs": 7, "least_steps": 0}) == "1ba2493338411164"
    assert asked({"epochs": 7, "least_steps": 100}) != asked({"epochs": 7})
