"""Signatures, provenance and bill of materials: what an intruder changes is found."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from signing_keys import key
from small_data import colours
from small_models import trained
from store_contents import manifest, put, version_folder

from headstart.components.errors import HeadstartError, SettingError
from headstart.components.promotion import signing
from headstart.components.promotion.gate import Rules
from headstart.components.promotion.integrity import file_digests
from headstart.components.promotion.promote import promote
from headstart.components.promotion.store import ModelStore, open_store
from tests.commands import invoke


def models(*arguments: str) -> Result:
    return invoke("models", *arguments)


def test_what_is_stored_is_signed_and_read_again(keys: tuple[Path, Path], store: ModelStore, tmp_path: Path) -> None:
    put(store, tmp_path, "first")
    folder = store.fetch(1, tmp_path / "fetched")
    assert (
        "Version 1: all files are what was stored; no provenance; signature holds."
        in models("verify", "--store", store.uri).output
    )
    # The reference implementation's own command accepts it too.
    ended = subprocess.run(
        [sys.executable, "-c", "from model_signing._cli import main; main()", "verify", "key", str(folder),
         "--signature",
         str(folder / "model.sig"), "--public_key", str(keys[1])],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr


def flip(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def rewrite_manifest(folder: Path) -> None:
    """What an intruder who knows the format does: new digests for changed files."""
    file = folder / "version.json"
    facts = json.loads(file.read_text())
    files = file_digests(folder)
    facts["files"] = {name: digest for name, digest in files.items() if name not in ("version.json", "model.sig")}
    file.write_text(json.dumps(facts))


def tampered() -> dict[str, Callable[[Path], None]]:
    """By name, what is done to a version's folder; every kind of byte in it is touched once."""

    def also_digests(change: Callable[[Path], None]) -> Callable[[Path], None]:
        def both(folder: Path) -> None:
            change(folder)
            rewrite_manifest(folder)

        return both

    files = ["model/model.keras", "serving/1/saved_model.pb", "serving/1/variables/variables.index", "record.json"]
    changes: dict[str, Callable[[Path], None]] = {}
    for name in files:
        changes[f"{name}: one bit, and its digest"] = also_digests(lambda folder, name=name: flip(folder / name))  # type: ignore[misc]
        changes[f"{name}: removed, and its digest"] = also_digests(lambda folder, name=name: (folder / name).unlink())  # type: ignore[misc]
    changes["a file more, and its digest"] = also_digests(lambda folder: (folder / "model" / "x.py").touch())
    changes["the manifest's accuracy"] = lambda folder: (folder / "version.json").write_text(
        (folder / "version.json").read_text().replace('"accuracy": 0.9', '"accuracy": 0.99')
    )
    changes["the signature: one bit"] = lambda folder: flip(folder / "model.sig")
    changes["the signature: emptied"] = lambda folder: (folder / "model.sig").write_bytes(b"")
    changes["the signature: none"] = lambda folder: (folder / "model.sig").unlink()
    changes["the signature: no JSON"] = lambda folder: (folder / "model.sig").write_bytes(b"\xff\xfe")
    return changes


@pytest.mark.parametrize("change", list(tampered()))
def test_a_tampered_version_is_refused_everywhere(keys: tuple[Path, Path], change: str, tmp_path: Path) -> None:
    store = open_store(str(tmp_path / "store"))
    put(store, tmp_path, "first")
    put(store, tmp_path, "second")
    tampered()[change](tmp_path / "store" / "versions" / "1")
    with pytest.raises(HeadstartError):
        store.fetch(1, tmp_path / "fetched")
    assert models("verify", "1", "--store", store.uri).return_value == 1
    assert models("rollback", "--store", store.uri).exception
    assert models("show", "1", "--uri", "--store", store.uri).exception
    assert store.pointer()[0].version == 2  # type: ignore[union-attr]
    store.fetch(2, tmp_path / "sound")


def test_another_key_another_version_and_another_store_do_not_pass(
    keys: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(str(tmp_path / "store"))
    put(store, tmp_path, "first")
    put(store, tmp_path, "second")
    versions = tmp_path / "store" / "versions"
    shutil.rmtree(versions / "2")
    shutil.copytree(versions / "1", versions / "2")  # an old version under the number in use
    with pytest.raises(HeadstartError, match="describes version 1"):
        store.fetch(2, tmp_path / "a")
    monkeypatch.setenv(signing.SIGNING_KEY, str(key(tmp_path, "theirs")[0]))
    signing.sign(versions / "1")
    with pytest.raises(HeadstartError, match="its signature does not hold"):
        store.fetch(1, tmp_path / "b")
    monkeypatch.delenv(signing.SIGNING_KEY)
    third = store.add(version_folder(tmp_path, "third"), manifest("third"))
    with pytest.raises(HeadstartError, match="is not signed"):
        store.fetch(third, tmp_path / "c")
    monkeypatch.delenv(signing.VERIFYING_KEY)
    store.fetch(third, tmp_path / "d")


def test_the_prepared_model_is_signed_too(keys: tuple[Path, Path], store: ModelStore, tmp_path: Path) -> None:
    folder = tmp_path / "prepared"
    folder.mkdir()
    (folder / "model.keras").write_text("weights")
    (folder / "model.json").write_text("{}")
    store.put_prepared(folder)
    assert store.fetch_prepared(tmp_path / "fetched")
    (name,) = store.backend.folders("prepared")
    store.backend.write(f"prepared/{name}/model.keras", b"others")
    with pytest.raises(HeadstartError, match="its signature does not hold"):
        store.fetch_prepared(tmp_path / "again")


@pytest.mark.parametrize("variable", [signing.SIGNING_KEY, signing.VERIFYING_KEY])
@pytest.mark.parametrize("content", ["/none/here.pem", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----"])
def test_a_key_that_cannot_be_used_is_named_first(variable: str, content: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, content)
    with pytest.raises(SettingError, match=variable):
        signing.check_keys()


@pytest.mark.parametrize("wrapped", [True, False], ids=["lines", "one line"])
def test_a_key_without_its_first_line_is_not_shown(
    wrapped: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    body = key(tmp_path, "own")[0].read_text().splitlines()[1:-1]
    monkeypatch.setenv(signing.SIGNING_KEY, "\n".join(body) if wrapped else "".join(body * 3))
    with pytest.raises(SettingError, match="HEADSTART_SIGNING_KEY: there is no such file") as raised:
        signing.check_keys()
    assert body[0] not in str(raised.value) and raised.value.__context__ is None


def test_a_key_is_read_below_what_describes_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    private, _ = key(tmp_path, "own")
    monkeypatch.setenv(signing.SIGNING_KEY, f"Bag Attributes\n    friendlyName: Zoë\n{private.read_text()}")
    assert signing.sign_bytes(b"message")


def test_a_promoted_version_says_where_it_comes_from(
    keys: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(str(tmp_path / "store"))
    data = colours(tmp_path / "data")
    model, record = trained(tmp_path / "a", 1)
    promote(data, [model], [record], store, Rules(), "run-1", [])
    folder = store.fetch(1, tmp_path / "fetched")
    bom = (folder / "bom.json").read_text()
    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(bom) is None
    names = {one["name"] for one in json.loads(bom)["components"]}
    assert {"test:colours", "keras", "tensorflow-cpu", "numpy"} <= names
    statement = json.loads((folder / "provenance.json").read_text())
    digest = file_digests(folder)["model/model.keras"]
    assert statement["subject"] == [{"name": "model/model.keras", "digest": {"sha256": digest}}]
    materials = {one["name"]: one["digest"]["sha256"] for one in
                 statement["predicate"]["buildDefinition"]["resolvedDependencies"]}  # fmt: skip
    assert materials["data"] == data.description.digest
    assert "requirements/cpu.txt" in materials
    told = models("verify", "--store", store.uri)
    assert "provenance names this model; signature holds" in told.output
    # A server is led to it, and `predict` answers, only as long as nothing was changed.
    image = tmp_path / "a.png"
    from PIL import Image

    Image.new("RGB", (52, 52), (70, 70, 210)).save(image)
    version = tmp_path / "store" / "versions" / "1"
    place = os.fspath(version)
    assert not invoke("predict", place, str(image)).exception
    flip(version / "record.json")
    rewrite_manifest(version)
    refused = invoke("predict", place, str(image))
    assert "its signature does not hold" in str(refused.exception)
    outside = invoke("predict", str(model), str(image))
    assert "lies in no version of a model store" in str(outside.exception)
