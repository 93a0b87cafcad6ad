import os
import time
from pathlib import Path

import pytest
from store_contents import digest, manifest, outcome, put, served, version_folder

from headstart.components.errors import HeadstartError, SettingError
from headstart.components.promotion.backends import Conflict, LocalBackend
from headstart.components.promotion.commit import conclude, in_use, switch
from headstart.components.promotion.gate import Rules
from headstart.components.promotion.retention import prune
from headstart.components.promotion.store import ModelStore, open_store


def test_an_empty_store_has_no_model(store: ModelStore) -> None:
    assert store.pointer() == (None, "")
    assert store.versions() == []
    assert store.current() is None
    store.heal()
    with pytest.raises(HeadstartError, match="has no version 1; there are: none"):
        store.manifest(1)


def test_versions_are_whole_numbered_and_laid_out_for_serving(store: ModelStore, tmp_path: Path) -> None:
    assert put(store, tmp_path, "first") == 1
    assert put(store, tmp_path, "second") == 2
    assert served(store, tmp_path / "fetched") == "served second"
    listed = store.versions()
    assert [(one.manifest.version, one.current) for one in listed] == [(1, False), (2, True)]
    assert set(listed[1].manifest.files) == {
        "model/model.keras",
        "record.json",
        "serving/2/saved_model.pb",
        "serving/2/variables/variables.index",
    }
    assert store.serving_uri(2) == f"{store.uri}/versions/2/serving"
    pointer, _ = store.pointer()
    assert pointer is not None
    assert (pointer.version, pointer.previous, pointer.sequence) == (2, 1, 2)
    assert [change.action for change in pointer.history] == ["first", "promoted"]


def test_a_local_store_leads_a_server_to_the_version_in_use(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    put(store, tmp_path, "first")
    put(store, tmp_path, "second")
    assert (tmp_path / "store" / "serving" / "2" / "saved_model.pb").read_text() == "served second"
    _, generation = store.pointer()
    store.switch(1, generation, "rolled back", "", "test")
    assert [path.name for path in (tmp_path / "store" / "serving").iterdir()] == ["1"]
    (tmp_path / "store").rename(tmp_path / "moved")  # the link is relative
    assert (tmp_path / "moved" / "serving" / "1" / "saved_model.pb").read_text() == "served first"


def test_only_who_saw_the_latest_pointer_may_switch(store: ModelStore, tmp_path: Path) -> None:
    put(store, tmp_path, "first")
    _, seen = store.pointer()
    put(store, tmp_path, "second")
    late = store.add(version_folder(tmp_path, "late"), manifest("late"))
    with pytest.raises(Conflict):
        store.switch(late, seen, "promoted", "", "test")
    with pytest.raises(Conflict):
        store.switch(late, "", "first", "", "test")
    assert served(store, tmp_path / "fetched") == "served second"


def test_the_write_itself_is_conditional(store: ModelStore) -> None:
    backend = store.backend
    backend.write("current.json", b"one", expected="")
    data, generation = backend.read("current.json")
    assert data == b"one"
    backend.write("current.json", b"two", expected=generation)
    for wrong in (0, generation):
        with pytest.raises(Conflict):
            backend.write("current.json", b"three", expected=wrong)
    assert backend.read("current.json")[0] == b"two"


def test_an_altered_or_missing_file_is_refused(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    put(store, tmp_path, "first")
    model = tmp_path / "store" / "versions" / "1" / "model" / "model.keras"
    model.write_text("keras fIrst")
    with pytest.raises(HeadstartError, match=r"model\.keras: is not what was promoted"):
        store.fetch(1, tmp_path / "a")
    model.unlink()
    with pytest.raises(HeadstartError, match=r"model\.keras: is missing"):
        store.fetch(1, tmp_path / "b")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 0}', '{"schema_version": 99}'])
def test_a_damaged_pointer_is_named(tmp_path: Path, text: str) -> None:
    store = open_store(str(tmp_path))
    (tmp_path / "current.json").write_text(text)
    with pytest.raises(HeadstartError, match=r"current\.json"):
        store.pointer()


def test_a_newer_store_is_not_misread(store: ModelStore, tmp_path: Path) -> None:
    put(store, tmp_path, "first")
    data, generation = store.backend.read("current.json")
    assert data is not None
    store.backend.write("current.json", data.replace(b'"schema_version": 1', b'"schema_version": 2'), generation)
    with pytest.raises(HeadstartError, match="newer Headstart"):
        store.pointer()


def test_rolling_back_withdraws_the_data_until_they_are_in_use_again(store: ModelStore, tmp_path: Path) -> None:
    put(store, tmp_path, "first")
    put(store, tmp_path, "second")
    _, generation = store.pointer()
    pointer = store.switch(1, generation, "rolled back", "bad on Mondays", "test", withdraw="bad on Mondays")
    assert pointer.withdrawn == {digest("second"): "bad on Mondays"}
    _, generation = store.pointer()
    pointer = store.switch(2, generation, "rolled back", "", "test")
    assert pointer.withdrawn == {}
    assert served(store, tmp_path / "fetched") == "served second"


def test_retention_keeps_the_newest_the_young_the_pinned_and_those_in_use(store: ModelStore, tmp_path: Path) -> None:
    old = "2020-01-01T00:00:00+00:00"
    for number in range(1, 8):
        put(store, tmp_path, f"v{number}", created_at="" if number == 4 else old)
    store.pin(2, "test", "audited")
    _, generation = store.pointer()
    store.switch(5, generation, "rolled back", "", "test")
    _, generation = store.pointer()
    store.switch(3, generation, "rolled back", "", "test")
    # In use: 3, before it: 5, pinned: 2, newest: 7, young: 4.
    assert prune(store, keep=1, keep_days=30) == [1, 6]
    assert [one.manifest.version for one in store.versions()] == [2, 3, 4, 5, 7]
    assert [one.manifest.version for one in store.versions() if one.pinned] == [2]
    assert prune(store, keep=1) == [4]
    store.unpin(2)
    assert prune(store, keep=1) == []  # a roll back leads to 2: 4 and later were rolled back from or passed over
    assert served(store, tmp_path / "fetched") == "served v3"
    assert put(store, tmp_path, "v8") == 8  # numbers are never used again


@pytest.mark.parametrize(("keep", "days"), [(0, 0.0), (-1, 0.0), (1, -1.0), (1, float("nan")), (1, float("inf"))])
def test_retention_refuses_settings_that_would_remove_all(store: ModelStore, keep: int, days: float) -> None:
    with pytest.raises(SettingError):
        prune(store, keep, days)


def test_the_prepared_model_is_kept(store: ModelStore, tmp_path: Path) -> None:
    assert not store.fetch_prepared(tmp_path / "none")
    folder = tmp_path / "prepared"
    folder.mkdir()
    for text in ("one", "two"):
        (folder / "model.keras").write_text(text)
        (folder / "model.json").write_text("{}")
        store.put_prepared(folder)
        store.put_prepared(folder)
        assert store.fetch_prepared(tmp_path / text)
        assert (tmp_path / text / "model.keras").read_text() == text


def test_what_killed_writers_left_is_removed_after_a_day(store: ModelStore, tmp_path: Path) -> None:
    put(store, tmp_path, "first")
    backend = store.backend
    if isinstance(backend, LocalBackend):
        left = backend.folder / "versions" / ".2.0123456789ab.partial"
        (left / "model").mkdir(parents=True)
        store.heal()
        assert left.exists()
        two_days_ago = time.time() - 2 * 86400
        os.utime(left, (two_days_ago, two_days_ago))
        store.heal()
        assert not left.exists()
    else:
        backend.write("versions/2/reserved", b"2020-01-01T00:00:00.000000+00:00 x")
        backend.write("versions/2/model/model.keras", b"half")
        backend.write("versions/3/reserved", b"2099-01-01T00:00:00.000000+00:00 x")
        store.heal()
        assert {name.partition("/")[0] for name in backend.files("versions")} == {"1", "3"}
    assert [one.manifest.version for one in store.versions()] == [1]
    assert served(store, tmp_path / "fetched") == "served first"


@pytest.mark.parametrize("uri", ["", "ftp://bucket/models", "gs://", "s3://", "s3://key:secret@bucket/models"])
def test_a_uri_that_is_no_store_is_refused(uri: str) -> None:
    with pytest.raises(SettingError):
        open_store(uri)


def test_a_file_is_no_store(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(HeadstartError, match="expected the folder of a model store"):
        open_store(str(tmp_path / "file"))


def test_a_bucket_that_is_not_there_is_named(bucket: str, tmp_path: Path) -> None:
    store = open_store("gs://no-such-bucket-here/models")
    with pytest.raises(HeadstartError, match="no-such-bucket-here"):
        put(store, tmp_path, "first")


def test_a_file_that_came_in_from_outside_is_refused(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    put(store, tmp_path, "first")
    (tmp_path / "store" / "versions" / "1" / "serving" / "1" / "saved_model.pbtxt").write_text("")
    with pytest.raises(HeadstartError, match=r"saved_model\.pbtxt: is no file of this version"):
        store.fetch(1, tmp_path / "a")


def test_a_manifest_of_another_version_is_damage(store: ModelStore, tmp_path: Path) -> None:
    put(store, tmp_path, "first")
    put(store, tmp_path, "second")
    data, _ = store.backend.read("versions/1/version.json")
    assert data is not None
    store.backend.write("versions/2/version.json", data)
    skipped: list[str] = []
    assert [one.manifest.version for one in store.versions(skipped)] == [1]
    assert "it describes version 1" in skipped[0]


def test_what_follows_a_switch_cannot_undo_it(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    put(store, tmp_path, "first")
    (tmp_path / "store" / "serving").unlink()
    (tmp_path / "store" / "serving").mkdir()  # somebody else's folder: neither replaced nor a reason to fail
    place = store.backend.folder / "retrainings"  # type: ignore[attr-defined]
    place.write_text("a file where the outcomes belong")
    _, generation = store.pointer()
    ended = switch(store, version_folder(tmp_path, "next"), manifest("next"), generation, outcome("next", 1, "run-2"))
    conclude(store, Rules(), ended)
    assert ended.status == "promoted"
    assert "The serving link does not lead to version 2" in ended.reasons[0]
    assert "could not keep this outcome" in ended.reasons[1]
    pointer, _ = store.pointer()
    assert pointer is not None
    assert pointer.version == 2
    assert in_use(store, "run-2") == "Its model was promoted before: version 2 is in use."
    assert in_use(store, "run-3") == "The model in use stays, version 2."


def test_a_promotion_stays_one_where_the_store_cannot_be_read_after_it(tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    put(store, tmp_path, "first")
    _, generation = store.pointer()
    ended = switch(store, version_folder(tmp_path, "next"), manifest("next"), generation, outcome("next", 1, "run-2"))
    (tmp_path / "store" / "current.json").write_text("{")
    conclude(store, Rules(), ended)
    assert ended.status == "promoted"
    assert "Retention did not remove all that it could" in ended.reasons[0]
    assert "Whether the serving link leads to the version in use cannot be said" in ended.reasons[1]
