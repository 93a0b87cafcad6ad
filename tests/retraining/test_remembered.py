"""What a retraining takes from the version in use where it is not told: the rule of the classes, the layout."""

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from headstart.components.datasets.importing import import_dataset
from headstart.components.datasets.packed import Description, PackedDataset
from headstart.components.datasets.selection import select_target
from headstart.components.datasets.settings import PAPER_CLASSES
from headstart.components.errors import SettingError
from headstart.components.promotion.promote import selected_by
from headstart.components.promotion.store import open_store
from headstart.components.promotion.versions import Manifest, now
from headstart.pipelines import local_retraining
from headstart.pipelines.cli import headstart

RULE = {"fruit": "apple", "rest": "*"}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The parameters of every retraining that the command would have run."""
    found: list[dict[str, Any]] = []

    def run(request: local_retraining.RetrainingRequest) -> int:
        found.append(request.parameters)
        return 0

    monkeypatch.setattr(local_retraining, "run_retraining", run)
    monkeypatch.setattr(local_retraining, "starting_point", lambda *_: (52, {}, ""))
    return found


def store_with(place: Path, **about: Any) -> str:
    store = open_store(str(place / "store"))
    (place / "version").mkdir()
    facts = {"version": 1, "created_at": now(), "data_digest": "0" * 64, "classes": ["a", "b"], "image_size": 52}
    version = store.add(place / "version", Manifest.model_validate({**facts, **about}))
    store.switch(version, "", "first", "", "test")
    return store.uri


@pytest.mark.parametrize(
    ("known", "given", "classes", "layout"),
    [
        ({"rule": RULE, "layout": "class_folders"}, [], RULE, "class_folders"),
        ({"rule": {}, "layout": "auto"}, [], {}, "auto"),
        ({}, [], PAPER_CLASSES, "auto"),
        ({"rule": RULE, "layout": "csv"}, ["--as-is", "--layout", "auto"], {}, "auto"),
        ({"rule": RULE, "layout": "csv"}, ["--classes", "x=a", "y=*"], {"x": "a", "y": "*"}, "csv"),
    ],
)
def test_what_is_not_given_is_that_of_the_version_in_use(
    asked: list[dict[str, Any]], tmp_path: Path, known: dict[str, Any], given: list[str], classes: object, layout: str
) -> None:
    (tmp_path / "data").mkdir()
    store = store_with(tmp_path, **known)
    ended = CliRunner().invoke(headstart, ["retrain", "--data", str(tmp_path / "data"), "--store", store, *given])
    assert ended.exit_code == 0, ended.output
    assert (asked[0]["classes"], asked[0]["layout"]) == (classes, layout)


def test_an_empty_store_has_the_usual_defaults(asked: list[dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    CliRunner().invoke(headstart, ["retrain", "--data", str(tmp_path / "data"), "--store", str(tmp_path / "none")])
    assert (asked[0]["classes"], asked[0]["layout"]) == (PAPER_CLASSES, "auto")


@pytest.mark.parametrize(
    ("known", "given", "option"),
    [
        ({}, ["--as-is", "--classes", "x=a"], "--classes"),
        ({}, ["--as-is", "--images-per-class", "5"], "--images-per-class"),
        ({"rule": {}}, ["--test-images-per-class", "5"], "--test-images-per-class"),
    ],
)
def test_what_selects_is_refused_where_classes_are_taken_as_they_are(
    asked: list[dict[str, Any]], tmp_path: Path, known: dict[str, Any], given: list[str], option: str
) -> None:
    (tmp_path / "data").mkdir()
    words = ["retrain", "--data", str(tmp_path / "data"), "--store", store_with(tmp_path, **known), *given]
    with pytest.raises(SettingError, match=f"{option}: it selects images"):
        CliRunner().invoke(headstart, words, catch_exceptions=False)
    assert not asked


FILE = """
data = "{data}"
store = "{store}"
as-is = true
runs = 2
notify = "https://host.example/hook"
set = ["epochs=3"]
[rule]
margin = 0.01
[data-setting]
fit = "pad"
"""


def test_a_file_gives_the_options_of_a_retraining(asked: list[dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    file = tmp_path / "nightly.toml"
    file.write_text(FILE.format(data=tmp_path / "data", store=tmp_path / "store"), encoding="utf-8")
    ended = CliRunner().invoke(headstart, ["retrain", "--config", str(file), "--runs", "3"], catch_exceptions=False)
    assert ended.exit_code == 0, ended.output
    (found,) = asked
    assert (found["data"], found["store"]) == (str(tmp_path / "data"), str(tmp_path / "store"))
    assert (found["classes"], found["seeds"], found["settings"]) == ({}, [1, 2, 3], {"epochs": 3})
    assert (found["promotion"], found["data_settings"]) == ({"margin": 0.01}, {"fit": "pad"})
    file.write_text("stroe = 'x'")
    with pytest.raises(SettingError, match=r"nightly\.toml: 'stroe' is not an option .*Did you mean store\?"):
        CliRunner().invoke(headstart, ["retrain", "--config", str(file)], catch_exceptions=False)


def test_data_say_how_their_classes_came_about(tmp_path: Path) -> None:
    import_dataset("demo:source", tmp_path / "packed", image_size=8, near_duplicates=False, images_per_class=6)
    source = PackedDataset(tmp_path / "packed", checked=False)
    rule = {"one": source.classes[0], "rest": "*"}

    def selected(name: str, **settings: Any) -> Description:
        return select_target(tmp_path / "packed", tmp_path / name, images_per_class=5, **settings)

    assert selected_by(selected("a", classes=rule)) == {"rule": rule, "layout": "auto"}
    assert selected_by(selected("b", classes={})) == {"rule": {}, "layout": "auto"}


def test_a_setting_that_is_refused_at_once_is_in_the_history_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "data").mkdir()
    uri = store_with(tmp_path)
    given = ["--data", str(tmp_path / "data"), "--rule", "marign=1"]
    unprepared = CliRunner().invoke(headstart, ["retrain", "--store", uri, *given])
    assert isinstance(unprepared.exception, SettingError)
    assert "keeps no prepared model yet" in open_store(uri).outcomes()[0].reasons[0]
    monkeypatch.setattr(local_retraining, "starting_point", lambda *_: (52, {}, ""))
    ended = CliRunner().invoke(headstart, ["retrain", "--store", uri, *given])
    assert isinstance(ended.exception, SettingError)
    outcome = max(open_store(uri).outcomes(), key=lambda one: one.run_id)
    assert outcome.status == "failed"
    assert "'marign' is not known" in outcome.reasons[0]
    unused = tmp_path / "mistyped"
    assert CliRunner().invoke(headstart, ["retrain", "--store", str(unused), *given]).exception
    assert not unused.exists()
