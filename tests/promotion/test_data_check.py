"""Data that do not call for a retraining, or cannot be trained on: each says what was found."""

from pathlib import Path

import pytest
from small_data import colours
from store_contents import manifest, version_folder

from headstart.components.datasets.packed import PackedDataset
from headstart.components.datasets.reading import Reading
from headstart.components.errors import SettingError
from headstart.components.promotion.check import check_data
from headstart.components.promotion.drift import facts as measure
from headstart.components.promotion.gate import Rules
from headstart.components.promotion.stage import check_stage
from headstart.components.promotion.store import ModelStore, open_store
from headstart.components.promotion.versions import DataFacts, Outcome
from headstart.pipelines.local_retraining import starting_point

KNOWN = ("apple", "pears", "noise")


@pytest.fixture
def used(tmp_path: Path) -> ModelStore:
    """A store whose model in use knows three classes."""
    store = open_store(str(tmp_path / "store"))
    trained = manifest("old").model_copy(update={"classes": list(KNOWN), "data_digest": "0" * 64})
    store.switch(store.add(version_folder(tmp_path, "old"), trained), "", "first", "", "test")
    return store


def stopped(data: PackedDataset, store: ModelStore, **rules: object) -> Outcome:
    outcome, _ = check_data(data, store, Rules.of(rules), "run-7")
    assert outcome is not None
    assert (outcome.run_id, outcome.data_digest) == ("run-7", data.description.digest)
    return outcome


def test_new_data_go_on_without_a_word(used: ModelStore, tmp_path: Path) -> None:
    assert check_data(colours(tmp_path / "data"), used, Rules()) == (None, [])


def test_an_empty_store_takes_any_classes(tmp_path: Path) -> None:
    data = colours(tmp_path / "data", ("apple", "plum"))
    assert check_data(data, open_store(str(tmp_path / "empty")), Rules()) == (None, [])


def test_data_that_the_model_in_use_was_trained_on(used: ModelStore, tmp_path: Path) -> None:
    data = colours(tmp_path / "data")
    again = manifest("again").model_copy(update={"classes": list(KNOWN), "data_digest": data.description.digest})
    version = used.add(version_folder(tmp_path, "again"), again)
    used.switch(version, used.pointer()[1], "promoted", "", "test")
    outcome = stopped(data, used)
    assert outcome.status == "unchanged"
    assert outcome.title == "Nothing to do: version 2 was trained on exactly these data."
    assert data.description.digest[:12] in outcome.reasons[0]
    assert check_data(data, used, Rules(), force=True)[0] is None
    # Rolled back, the same data must not bring it back on a schedule.
    used.switch(1, used.pointer()[1], "rolled back", "", "test", withdraw="bad on Mondays")
    outcome = stopped(data, used)
    assert outcome.status == "unchanged"
    assert "was withdrawn: bad on Mondays" in outcome.reasons[0]
    assert check_data(data, used, Rules(), force=True)[0] is None


def test_data_that_were_read_unlike_those_of_the_model_in_use(used: ModelStore, tmp_path: Path) -> None:
    cropped = manifest("cropped").model_copy(
        update={"classes": list(KNOWN), "data_digest": "1" * 64, "reading": Reading("apply", "crop")}
    )
    used.switch(used.add(version_folder(tmp_path, "cropped"), cropped), used.pointer()[1], "promoted", "", "test")
    refused = stopped(colours(tmp_path / "data", reading=Reading("apply")), used)
    assert (refused.status, refused.reasons) == (
        "unusable",
        [
            "The data were imported with fit=stretch, version 2 was trained with fit=crop. Import them with fit=crop, "
            "or begin another store."
        ],
    )
    assert check_data(colours(tmp_path / "alike", reading=Reading("apply", "crop")), used, Rules()) == (None, [])
    # On this machine a retraining takes it from the store.
    prepared = tmp_path / "prepared"
    prepared.mkdir()
    (prepared / "model.keras").write_bytes(b"")
    (prepared / "model.json").write_text('{"image_size": 64, "reading": {"fit": "pad"}}')
    taken = {"orientation": "apply", "fit": "crop", "decoding": "exact"}
    assert starting_point(used, str(prepared))[:2] == (64, taken)
    assert starting_point(open_store(str(tmp_path / "empty")), str(prepared))[:2] == (64, {"fit": "pad"})


def test_a_class_that_the_model_in_use_does_not_know(used: ModelStore, tmp_path: Path) -> None:
    data = colours(tmp_path / "data", (*KNOWN, "plum"))
    outcome, remarks = check_data(data, used, Rules())
    assert outcome is None
    assert remarks == ["The data have the class plum, which version 1 does not know. The candidate learns it."]
    refused = stopped(data, used, new_classes="refuse")
    assert refused.status == "unusable"
    assert refused.reasons == [
        "The data have the class plum, which version 1 does not know. new_classes=accept would train on it."
    ]


def test_a_class_that_is_missing(used: ModelStore, tmp_path: Path) -> None:
    data = colours(tmp_path / "data", ("apple", "pears"))
    refused = stopped(data, used)
    assert refused.status == "unusable"
    assert refused.reasons == [
        "The data lack the class noise, which version 1 knows. A model trained on them would forget it; "
        "missing_classes=accept allows that."
    ]
    outcome, remarks = check_data(data, used, Rules(missing_classes="accept"))
    assert outcome is None
    assert remarks == ["The data lack the class noise, which version 1 knows. The candidate will not recognise it."]


def test_too_few_images(used: ModelStore, tmp_path: Path) -> None:
    data = colours(tmp_path / "data", train=19, test=9)
    refused = stopped(data, used)
    assert refused.status == "unusable"
    assert refused.reasons == [
        "Too few train images: apple 19, pears 19, noise 19; minimum_training_images asks for 20 in each class.",
        "Too few test images: apple 9, pears 9, noise 9; minimum_test_images asks for 10 in each class.",
    ]
    assert check_data(data, used, Rules(minimum_training_images=19, minimum_test_images=9))[0] is None


def test_images_that_cannot_be_read(used: ModelStore, tmp_path: Path) -> None:
    # 3 classes × (24 + 4 + 20) images are left of 147 and of 155.
    few = colours(tmp_path / "few", skipped=3, skipped_examples=["apple/7.jpg: truncated"])
    outcome, remarks = check_data(few, used, Rules())
    assert outcome is None
    assert remarks == ["3 of 147 images could not be read and were left out (2.0%), the first: apple/7.jpg: truncated."]
    many = colours(tmp_path / "many", skipped=11)
    refused = stopped(many, used)
    assert refused.status == "unusable"
    assert refused.reasons == [
        "11 of 155 images could not be read and were left out (7.1%); maximum_skipped allows 5.0%."
    ]


def test_everything_wrong_is_told_at_once(used: ModelStore, tmp_path: Path) -> None:
    data = colours(tmp_path / "data", ("apple", "plum"), train=5, skipped=50)
    refused = stopped(data, used)
    assert [reason.split()[0] for reason in refused.reasons[:3]] == ["The", "Too", "50"]
    assert any("The candidate learns it" in reason for reason in refused.reasons)


def changed(store: ModelStore, place: Path, **facts: object) -> None:
    """Put a version into use whose training images had these facts."""
    about = manifest(f"facts{len(store.versions())}").model_copy(
        update={"classes": list(KNOWN), "facts": DataFacts.model_validate(facts)}
    )
    version = store.add(version_folder(place, f"facts{len(store.versions())}"), about)
    store.switch(version, store.pointer()[1], "promoted", "", "test")


def test_the_facts_are_those_of_the_training_images(tmp_path: Path) -> None:
    data = colours(tmp_path / "data", ("apple", "noise"), noise=0.0)
    # Levels of a plain image: (200 + 40 + 40) / 3 and (70 + 70 + 210) / 3.
    found = measure(data)
    assert (found.images, found.counts) == (48, {"apple": 24, "noise": 24})
    assert found.brightness == pytest.approx((280 / 3 + 350 / 3) / 2, abs=0.01)
    assert found.brightness_deviation == pytest.approx((350 - 280) / 3 / 2, abs=0.01)


def test_data_that_drifted_are_told_or_refused_with_figures(used: ModelStore, tmp_path: Path) -> None:
    data = colours(tmp_path / "data", noise=0.0)
    same = measure(data).model_dump()
    changed(used, tmp_path, **same)
    assert check_data(data, used, Rules()) == (None, [])
    assert check_data(data, used, Rules(drift="refuse", brightness_drift=0, share_drift=0, count_drift=0))[0] is None
    changed(
        used, tmp_path, images=200, brightness=same["brightness"] + 30, brightness_deviation=10.0,
        counts={"apple": 120, "pears": 40, "noise": 40},
    )  # fmt: skip
    outcome, remarks = check_data(data, used, Rules())
    assert outcome is None
    version = used.versions()[-1].manifest.version
    bright, shares, number = remarks
    assert f"those of version {version} " in bright and "3.0 standard deviations apart" in bright
    # 120 of 200 apples became a third: 27 points moved.
    assert shares.startswith("Class shares: 27% of the training images moved between classes, most of all apple (60%")
    assert number.startswith("Number: 72 training images, 64% fewer than the 200 of version")
    refused = stopped(data, used, drift="refuse")
    assert refused.status == "unusable"
    assert [text.split(":")[0] for text in refused.reasons] == ["Brightness", "Class shares", "Number"]
    assert (
        check_data(data, used, Rules(drift="refuse", brightness_drift=3.1, share_drift=0.3, count_drift=0.7))[0] is None
    )


def test_the_same_classes_in_another_order_are_refused(used: ModelStore, tmp_path: Path) -> None:
    outcome = stopped(colours(tmp_path / "data", ("apple", "noise", "plum", "pears")), used, new_classes="accept")
    assert outcome.status == "unusable"
    assert outcome.reasons[0].startswith(
        "The data have the classes in the order apple, noise, pears, version 1 has them in the order apple, pears, "
    )
    renamed = stopped(colours(tmp_path / "renamed", ("apple", "plum", "noise")), used)
    assert "lack the class pears" in renamed.reasons[0]


def test_what_a_check_cannot_use_is_in_the_history(used: ModelStore, tmp_path: Path) -> None:
    colours(tmp_path / "data")
    places = [str(tmp_path / name) for name in ("initial", "plan", "html", "markdown")]
    for prepared, rules, told in (
        ("", {}, "keeps no prepared model yet"),
        (str(tmp_path / "none"), {}, "model.keras is not there"),
        ("", {"marign": 1}, "promotion setting 'marign' is not known"),
    ):
        with pytest.raises(SettingError, match=told):
            check_stage(str(tmp_path / "data"), used.uri, prepared, rules, False, "night", *places)
        outcome = used.outcomes()[-1]
        assert (outcome.status, outcome.run_id) == ("failed", "night")
        assert told in outcome.reasons[0]
        assert "The model in use stays, version 1." in outcome.title
        assert not (tmp_path / "initial").exists() or not any((tmp_path / "initial").iterdir())
