import json
from pathlib import Path

import pytest

from headstart.components.errors import HeadstartError, SettingError
from headstart.components.promotion.backends import Backend
from headstart.components.promotion.prepared import prepare_initial_model
from headstart.components.promotion.store import ModelStore, open_store


def model(place: Path, name: str = "model", size: int = 52) -> Path:
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{name}.keras").write_bytes(b"weights")
    (place / f"{name}.json").write_text(json.dumps({"image_size": size, "classes": ["a", "b"]}))
    return place


def test_named_once_it_is_kept(store: ModelStore, tmp_path: Path) -> None:
    described = prepare_initial_model(store, str(model(tmp_path / "m")), tmp_path / "first", 52)
    assert described["classes"] == ["a", "b"]
    assert prepare_initial_model(store, "", tmp_path / "second", 52) == described
    for place in ("first", "second"):
        assert (tmp_path / place / "model.keras").read_bytes() == b"weights"


def test_a_file_of_an_experiments_output(store: ModelStore, tmp_path: Path) -> None:
    output = model(tmp_path / "output" / "model", "finetuned")
    model(output, "pretrained", size=100)
    prepare_initial_model(store, str(output / "finetuned.keras"), tmp_path / "here", 52)
    assert sorted(path.name for path in (tmp_path / "here").iterdir()) == ["model.json", "model.keras"]


def test_from_a_bucket(bucket: str, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    backend: Backend = open_store(bucket).backend
    backend.write("experiment/finetuned.keras", b"weights")
    backend.write("experiment/finetuned.json", b'{"image_size": 52}')
    prepare_initial_model(store, f"{bucket}/experiment/finetuned.keras", tmp_path / "here", 52)
    assert (tmp_path / "here" / "model.keras").read_bytes() == b"weights"
    with pytest.raises(SettingError, match=r"pretrained\.keras is not there"):
        prepare_initial_model(store, f"{bucket}/experiment/pretrained.keras", tmp_path / "there", 52)


def test_none_named_and_none_kept(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="keeps no prepared model yet"):
        prepare_initial_model(open_store(str(tmp_path / "store")), "", tmp_path / "here", 52)


def test_one_for_other_images_is_refused_and_not_kept(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    with pytest.raises(SettingError, match="takes images of 100 pixels, the data were imported with 52"):
        prepare_initial_model(store, str(model(tmp_path / "m", size=100)), tmp_path / "here", 52)
    assert not store.fetch_prepared(tmp_path / "kept")


@pytest.mark.parametrize("text", ["", "[]", "{", "null"])
def test_a_damaged_description_is_named(tmp_path: Path, text: str) -> None:
    (model(tmp_path / "m") / "model.json").write_text(text)
    with pytest.raises(HeadstartError, match="cannot be used"):
        prepare_initial_model(open_store(str(tmp_path / "store")), str(tmp_path / "m"), tmp_path / "here", 52)
