"""Which version is in use, which prepared model and how often test images were asked: signed, and never set back."""

import json
import shutil
from pathlib import Path

import pytest
from click.testing import Result
from signing_keys import key
from store_contents import manifest, outcome, put, version_folder

from headstart.components.errors import HeadstartError, SettingError
from headstart.components.promotion import candidates, signing
from headstart.components.promotion.backends import DamagedError
from headstart.components.promotion.commit import keep_candidate
from headstart.components.promotion.store import ModelStore, open_store
from headstart.components.promotion.uses import count, read_uses
from tests.commands import invoke
from tests.json_results import read_result

FILES = ("current.json", "prepared.json", "test-images.json")
Keys = tuple[Path, Path]


def filled(store: ModelStore, place: Path) -> dict[str, bytes]:
    """Put two versions, a prepared model and counts into the store; return the files that change, from before the
    second of each."""
    folder = place / "prepared"
    folder.mkdir()
    (folder / "model.json").write_text("{}")
    before = {}
    for number, text in enumerate(("first", "second")):
        put(store, place, text)
        (folder / "model.keras").write_text(text)
        store.put_prepared(folder)
        count(store, ["ab" * 16], text, "q", 0.95, 50)
        if number == 0:
            before = {name: store.backend.read(name)[0] or b"" for name in FILES}
    return before


def read(store: ModelStore, name: str, place: Path) -> object:
    """Read one of the files as the product does."""
    if name == "current.json":
        return store.pointer()
    return store.fetch_prepared(place) if name == "prepared.json" else read_uses(store)


def models(*arguments: str) -> Result:
    return invoke("models", *arguments)


@pytest.mark.parametrize("name", FILES)
def test_what_an_intruder_writes_is_refused(keys: Keys, store: ModelStore, tmp_path: Path, name: str) -> None:
    before = filled(store, tmp_path)
    sound, _ = store.backend.read(name)
    assert sound is not None
    read(store, name, tmp_path / "a")
    facts = json.loads(sound)
    changed = (
        {"version": 1} if name == "current.json" else {"folder": "x"} if name == "prepared.json" else {"images": {}}
    )
    other = {**facts, "signature": json.loads(before[name])["signature"]}
    unsigned = {key: value for key, value in facts.items() if key != "signature"}
    name_of_another = json.loads(store.backend.read(FILES[(FILES.index(name) + 1) % 3])[0] or b"")
    for forged in (
        {**facts, **changed},
        {**facts, "more": 1},
        other,
        unsigned,
        {**facts, "signature": 5},
        name_of_another,
    ):
        store.backend.write(name, json.dumps(forged).encode())
        with pytest.raises(DamagedError, match=f"{name}: (is not signed|its signature does not hold)"):
            read(store, name, tmp_path / "b")
    store.backend.write(name, before[name])
    with pytest.raises(DamagedError, match="older than change"):
        read(store, name, tmp_path / "c")
    store.backend.write(name, sound)
    read(store, name, tmp_path / "d")


def test_each_bit_of_the_pointer_is_covered(keys: Keys, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    put(store, tmp_path, "first")
    put(store, tmp_path, "second")
    file = tmp_path / "store" / "current.json"
    sound, pointer = file.read_bytes(), store.pointer()[0]
    for place in range(0, len(sound), 3):
        damaged = bytearray(sound)
        damaged[place] ^= 1 << place % 7
        file.write_bytes(damaged)
        try:
            assert store.pointer()[0] == pointer  # white space
        except DamagedError:
            continue


def test_a_set_back_pointer_is_put_right_by_signing(
    keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(str(tmp_path / "store"))
    put(store, tmp_path, "first")
    (tmp_path / "old.json").write_bytes((tmp_path / "store" / "current.json").read_bytes())
    put(store, tmp_path, "second")
    shutil.copy(tmp_path / "old.json", tmp_path / "store" / "current.json")
    for command in (("list",), ("show",), ("show", "--uri"), ("rollback",)):
        found = models(*command, "--store", store.uri)
        assert isinstance(found.exception, HeadstartError), command
        assert "change 1, older than change 2" in str(found.exception)
    # A machine that saw nothing cannot know, which SECURITY.md says.
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("XDG_STATE_HOME", str(tmp_path / "elsewhere"))
        assert store.pointer()[0].version == 1  # type: ignore[union-attr]
    signed = models("sign", "--store", store.uri, "--json")
    assert "Version 1 is in use" in signed.stderr
    assert read_result("models sign", signed.stdout)["version"] == 1
    assert models("rollback", "--to", "2", "--store", store.uri).exception is None
    assert store.pointer()[0].version == 2  # type: ignore[union-attr]
    assert store.pointer()[0].sequence == 4  # type: ignore[union-attr]


def test_a_store_from_before_the_keys_is_signed_by_a_command(
    store: ModelStore, tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    filled(store, tmp_path)
    keys: Keys = request.getfixturevalue("keys")
    for name in FILES:
        with pytest.raises(DamagedError, match="is not signed"):
            read(store, name, tmp_path / "a")
    found = models("sign", "--store", store.uri)
    assert "Signed: current.json, prepared.json, test-images.json. Version 2 is in use." in found.output
    assert store.pointer()[0].version == 2  # type: ignore[union-attr]
    # Without the key to sign with, nothing that could not be read again is written.
    monkeypatch.delenv(signing.SIGNING_KEY)
    with pytest.raises(SettingError, match=signing.SIGNING_KEY):
        put(store, tmp_path, "third")
    assert isinstance(models("sign", "--store", store.uri).exception, SettingError)
    assert store.pointer()[0].version == 2  # type: ignore[union-attr]
    monkeypatch.setenv(signing.SIGNING_KEY, str(key(tmp_path, "theirs")[0]))
    with pytest.raises(SettingError, match="not the two halves of one key"):
        put(store, tmp_path, "fourth")
    assert store.pointer()[0].version == 2  # type: ignore[union-attr]
    monkeypatch.setenv(signing.SIGNING_KEY, str(keys[0]))
    put(store, tmp_path, "fifth")


def test_a_machine_without_a_home_reads_all_the_same(
    keys: Keys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    store = open_store(str(tmp_path / "store"))
    put(store, tmp_path, "first")
    assert store.pointer()[0].version == 1  # type: ignore[union-attr]


def test_what_a_candidate_was_compared_with_is_not_believed_to_an_unsigned_file(keys: Keys, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    put(store, tmp_path, "first")
    about = manifest("better").model_copy(update={"compared_with": 1})
    keep_candidate(store, version_folder(tmp_path, "better"), about, outcome("better", 1, "better"))
    put(store, tmp_path, "third")
    file = tmp_path / "store" / "candidates" / "2.json"
    file.write_text(file.read_text().replace('"compared_with": 1', '"compared_with": 3'))
    with pytest.raises(HeadstartError, match="was compared with version 1, and version 3 is in use"):
        candidates.approve(store, 2, "", "somebody")
