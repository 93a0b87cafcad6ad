"""A model store without a server: versions that never change, and a pointer that says which one is in use.

    <store>/
      current.json              which version is in use; it changes at once
      versions/<n>/             one version, immutable: version.json (written last), model/, serving/<n>/, record.json,
                                report.html, training-images.txt
      prepared/<digest>/        prepared models that the last stage starts from; prepared.json names the one in use
      candidates/<n>.json       versions that wait for a person, or were rejected
      test-images.json          how often each test image was asked
      pins/<n>.json             versions that retention must not take
      retrainings/<id>/         how every retraining ended, promoted or not
      serving -> versions/<n>/serving     on a local store: for a server that looks for new versions by itself

`versions/<n>/serving` holds the numeric folder `<n>/saved_model.pb`: a base path for TensorFlow Serving and a
`storageUri` for KServe. A reader takes `current.json` and then that version; whatever happens to a writer, it reads a
whole version.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from headstart.components.credentials import masked_address
from headstart.components.errors import HeadstartError, SettingError, TemporaryError
from headstart.components.promotion import sealed, signing
from headstart.components.promotion.backends import Backend, BucketBackend, Conflict, DamagedError, LocalBackend
from headstart.components.promotion.integrity import MANIFEST, check_files, file_digests, read_manifest
from headstart.components.promotion.versions import (
    HISTORY_LENGTH,
    SCHEMA_VERSION,
    Action,
    Manifest,
    Outcome,
    Pin,
    Pointer,
    Switch,
    now,
)
from headstart.components.storage import is_remote, local_path

POINTER = "current.json"
PREPARED = "prepared.json"
LINK = "serving"

Part = TypeVar("Part", bound=BaseModel)


@dataclass(frozen=True)
class Listed:
    """A version with what is said about it elsewhere."""

    manifest: Manifest
    current: bool
    pinned: bool


def this_user() -> str:
    """Return `user@host`, for the pointer's history."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a numeric user without a name, as in a container
        user = "user"
    return f"{user}@{socket.gethostname()}"


class ModelStore:
    """The store at a URI; every method reads what is there now, nothing is kept in memory."""

    def __init__(self, backend: Backend) -> None:
        """Use `backend`; see `open_store`."""
        self.backend = backend
        self.uri = backend.uri

    # Reading

    def pointer(self) -> tuple[Pointer | None, str]:
        """Return the pointer and its generation, which `switch` wants back; (None, "") for a store without a model."""
        data, generation = self.backend.read(POINTER)
        if data is None:
            return None, generation
        return self.parsed(Pointer, POINTER, sealed.unseal(self.uri, POINTER, data)), generation

    def current(self) -> Manifest | None:
        """Return the manifest of the version in use, or None."""
        pointer, _ = self.pointer()
        return self.manifest(pointer.version) if pointer else None

    def manifest(self, version: int) -> Manifest:
        """Return one version's manifest; HeadstartError where there is no such whole version."""
        name = f"versions/{version}/{MANIFEST}"
        data, _ = self.backend.read(name)
        if data is None:
            there = ", ".join(str(number) for number in self._numbers()) or "none"
            raise HeadstartError(f"{self.uri}: has no version {version}; there are: {there}.")
        manifest = self.parsed(Manifest, name, data)
        if manifest.version != version:
            raise DamagedError(f"{self.uri}/{name}: damaged: it describes version {manifest.version}.")
        return manifest

    def versions(self, skipped: list[str] | None = None) -> list[Listed]:
        """Return all whole versions, oldest first; what cannot be read is left out and named in `skipped`."""
        pointer, _ = self.pointer()
        pins = self.pins(skipped)
        listed = []
        for number in self._numbers():
            with self.skipping(skipped):
                if self.backend.read(f"versions/{number}/{MANIFEST}")[0] is not None:
                    manifest = self.manifest(number)
                    listed.append(Listed(manifest, bool(pointer and pointer.version == number), number in pins))
        return listed

    def fetch(self, version: int, target: Path) -> Path:
        """Copy a version into `target` and return it; HeadstartError where a file is missing or was altered."""
        manifest = self.manifest(version)
        target.mkdir(parents=True, exist_ok=True)
        self.backend.download(f"versions/{version}", target)
        where = f"{self.uri}/versions/{version}"
        check_files(target, manifest, where)
        signing.verify(target, where)
        if read_manifest(target) != manifest:
            raise TemporaryError(f"{where}/{MANIFEST}: changed while it was read.", "Try again.")
        return target

    def check(self, version: int) -> None:
        """Read a version whole; HeadstartError where it is not what was stored."""
        with tempfile.TemporaryDirectory(prefix="headstart-check-") as scratch:
            self.fetch(version, Path(scratch))

    def missing(self) -> str:
        """Return what is wrong where the version in use is not in the store; empty where it is, or none is in use."""
        pointer, _ = self.pointer()
        if pointer is None or self.backend.read(f"versions/{pointer.version}/{MANIFEST}")[0] is not None:
            return ""
        return (
            f"{self.uri}: {POINTER} says that version {pointer.version} is in use, and that version is not there. "
            "`headstart models rollback` puts another one into use."
        )

    def serving_uri(self, version: int) -> str:
        """Return the folder that holds the numeric folder with `saved_model.pb`, for a model server."""
        return f"{self.uri}/versions/{version}/serving"

    # Writing

    def add(self, folder: Path, manifest: Manifest) -> int:
        """Store what is in `folder` as a new version, not yet in use, and return its number.

        `folder/serving/` holds the SavedModel itself; it is moved to `serving/<n>/`. `manifest.version` and
        `manifest.files` are filled in here.
        """
        with tempfile.TemporaryDirectory(prefix="headstart-version-") as scratch:
            place = Path(scratch) / "version"
            shutil.copytree(folder, place)
            pointer, _ = self.pointer()
            number = max([*self._numbers(), pointer.version if pointer else 0]) + 1
            while True:
                if (folder / LINK).is_dir():
                    shutil.rmtree(place / LINK)
                    shutil.copytree(folder / LINK, place / LINK / str(number))
                (place / MANIFEST).unlink(missing_ok=True)
                full = manifest.model_copy(update={"version": number, "files": file_digests(place)})
                (place / MANIFEST).write_text(full.model_dump_json(indent=1) + "\n", encoding="utf-8")
                signing.sign(place)
                try:
                    self.backend.add_folder(place, f"versions/{number}", MANIFEST)
                except Conflict:
                    number += 1
                    continue
                return number

    def discard(self, version: int) -> None:
        """Remove a version that never came into use."""
        self.backend.remove(f"versions/{version}", first=MANIFEST)

    def switch(
        self,
        version: int,
        expected: str,
        action: Action,
        reason: str,
        by: str,
        withdraw: str = "",
    ) -> Pointer:
        """Make `version` the one in use, provided that the pointer still has the generation `expected`.

        With `withdraw` the version in use before is marked as withdrawn for that reason: data it was trained on does
        not start a retraining again. Raises `Conflict` where somebody else switched first.
        """
        manifest = self.manifest(version)
        before, generation = self.pointer()
        if generation != expected:
            raise Conflict(POINTER)
        moment = now()
        change = Switch(version=version, action=action, at=moment, reason=reason, by=by)
        withdrawn = dict(before.withdrawn) if before else {}
        if before and withdraw:
            withdrawn[before.data_digest] = withdraw
        withdrawn.pop(manifest.data_digest, None)
        pointer = Pointer(
            version=version,
            data_digest=manifest.data_digest,
            sequence=before.sequence + 1 if before else 1,
            switched_at=moment,
            action=action,
            reason=reason,
            by=by,
            previous=before.version if before and before.version != version else None,
            withdrawn=withdrawn,
            history=[*(before.history if before else []), change][-HISTORY_LENGTH:],
        )
        self.write_sealed(POINTER, pointer.model_dump(mode="json"), pointer.sequence - 1, expected)
        # From here on the version is in use, so nothing that fails may say otherwise; see `link_problem`.
        with suppress(HeadstartError, OSError):
            self.backend.publish(LINK, f"versions/{version}/{LINK}")
        return pointer

    def link_problem(self) -> str:
        """Return why a server that follows the serving link does not get the version in use; empty where it does.

        Asked after a switch, it raises nothing where the store cannot be read: the version is in use all the same.
        """
        try:
            pointer, _ = self.pointer()
        except (HeadstartError, OSError) as error:
            return f"Whether the serving link leads to the version in use cannot be said: {error}"
        if pointer is None:
            return ""
        try:
            self.backend.publish(LINK, f"versions/{pointer.version}/{LINK}")
        except (HeadstartError, OSError) as error:
            return f"The serving link does not lead to version {pointer.version}: {error}"
        return ""

    def heal(self) -> None:
        """Finish what a writer that was killed left: lead the serving link to the version in use, remove remains."""
        self.link_problem()
        self.backend.remove_abandoned("versions", MANIFEST)
        self.backend.remove_abandoned("prepared", "model.json")

    # Pins

    def pins(self, skipped: list[str] | None = None) -> dict[int, Pin]:
        """Return the pinned versions. A pin that cannot be read holds all the same and is named in `skipped`."""
        found = {}
        for number, name in self.numbered("pins").items():
            found[number] = Pin(at="", reason="its pin cannot be read")
            with self.skipping(skipped):
                data, _ = self.backend.read(name)
                if data is not None:
                    found[number] = self.parsed(Pin, name, data)
        return found

    def pin(self, version: int, by: str, reason: str = "") -> None:
        """Keep a version from retention."""
        self.manifest(version)
        pin = Pin(at=now(), by=by, reason=reason)
        self.backend.write(f"pins/{version}.json", (pin.model_dump_json(indent=1) + "\n").encode())

    def unpin(self, version: int) -> None:
        """Let retention take a version again."""
        self.backend.remove(f"pins/{version}.json")

    # The prepared model

    def put_prepared(self, folder: Path) -> None:
        """Keep the prepared model in `folder` (model.keras, model.json) and start retrainings from it."""
        signing.sign(folder)
        digest = hashlib.sha256(json.dumps(file_digests(folder), sort_keys=True).encode()).hexdigest()[:16]
        try:
            self.backend.add_folder(folder, f"prepared/{digest}", "model.json")
        except Conflict:
            data, _ = self.backend.read(f"prepared/{digest}/model.json")
            if data is None:  # left by a writer that was killed
                self.backend.remove(f"prepared/{digest}")
                self.backend.add_folder(folder, f"prepared/{digest}", "model.json")
        before = sealed.number(self.backend.read(PREPARED)[0])
        self.write_sealed(PREPARED, {"folder": digest, "at": now()}, before)

    def fetch_prepared(self, target: Path) -> bool:
        """Copy the prepared model into `target`; False where the store has none."""
        data, _ = self.backend.read(PREPARED)
        if data is None:
            return False
        data = sealed.unseal(self.uri, PREPARED, data)
        target.mkdir(parents=True, exist_ok=True)
        try:
            folder = str(json.loads(data)["folder"])
        except (ValueError, KeyError, TypeError) as error:
            raise HeadstartError(
                f"{self.uri}/{PREPARED}: damaged: {error}.",
                "Name the prepared model again with `headstart retrain --model`.",
            ) from error
        self.backend.download(f"prepared/{folder}", target)
        signing.verify(target, f"{self.uri}/prepared/{folder}")
        return True

    # Signatures

    def write_sealed(self, name: str, value: dict[str, Any], before: int, expected: str | None = None) -> None:
        """Write a file that changes, see `headstart.components.promotion.sealed`; `expected` as in `Backend.write`."""
        data = sealed.seal(self.uri, name, value, before)
        self.backend.write(name, data, expected=expected)
        sealed.written(self.uri, name, data)

    def sign(self) -> list[str]:
        """Sign the files that change as they are now, newer than all seen before, and return their names.

        For a store from before it had keys, or after somebody looked at what an intruder did. Raises `Conflict` where
        somebody else changed one at the same moment.
        """
        signed = []
        for name in (POINTER, PREPARED, sealed.TEST_IMAGES):
            data, generation = self.backend.read(name)
            if data is not None:
                self.write_sealed(name, *sealed.opened(self.uri, name, data), generation)
                signed.append(name)
        return signed

    # Retrainings

    def write_outcome(self, outcome: Outcome, files: dict[str, bytes]) -> None:
        """Keep how a retraining ended, with its report; its folder is named so that names sort by time."""
        folder = f"retrainings/{outcome.at.replace(':', '').replace('+0000', 'Z')}-{outcome.run_id or 'run'}"
        for name, data in files.items():
            self.backend.write(f"{folder}/{name}", data)
        self.backend.write(f"{folder}/outcome.json", (outcome.model_dump_json(indent=1) + "\n").encode())

    def outcomes(self, last: int = 10, skipped: list[str] | None = None) -> list[Outcome]:
        """Return how the last retrainings ended, oldest first; what cannot be read is named in `skipped`."""
        found = []
        for folder in self.backend.folders("retrainings")[-last:]:
            with self.skipping(skipped):
                data, _ = self.backend.read(f"retrainings/{folder}/outcome.json")
                if data is not None:
                    found.append(self.parsed(Outcome, f"retrainings/{folder}/outcome.json", data))
        return found

    def numbered(self, folder: str) -> dict[int, str]:
        """Return the names of the files `<n>.json` in a folder, by number."""
        paths = self.backend.files(folder)
        return {int(stem): f"{folder}/{path}" for path in paths if (stem := path.removesuffix(".json")).isdecimal()}

    def _numbers(self) -> list[int]:
        names = self.backend.folders("versions")
        return sorted(int(name) for name in names if name.isdecimal() and name == str(int(name)))

    @contextmanager
    def skipping(self, skipped: list[str] | None) -> Iterator[None]:
        """Go on after a file that is damaged, of a newer Headstart or cannot be read, and name it."""
        try:
            yield
        except DamagedError as error:
            if skipped is not None:
                skipped.append(str(error))

    def parsed(self, kind: type[Part], name: str, data: bytes, remedy: str = "") -> Part:
        """Return a file's content; DamagedError where it is of another kind (with `remedy`) or a newer Headstart."""
        try:
            value = kind.model_validate_json(data)
        except ValidationError as error:
            self._refuse_newer(name, sealed.number(data, "schema_version"))
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the whole file"
            raise DamagedError(f"{self.uri}/{name}: damaged: {where}: {first['msg']}.", remedy) from error
        self._refuse_newer(name, getattr(value, "schema_version", 1))
        return value

    def _refuse_newer(self, name: str, schema_version: int) -> None:
        if schema_version > SCHEMA_VERSION:
            raise DamagedError(f"{self.uri}/{name}: written by a newer Headstart.", "Use that one, or a newer one.")


def open_store(uri: str) -> ModelStore:
    """Open the store at a local path, or a gs:// or s3:// URI; nothing is made until something is written."""
    expected = "expected a local folder, gs://BUCKET/PREFIX or s3://BUCKET/PREFIX"
    if not uri:
        raise SettingError(f"store: {expected}, found nothing.")
    if is_remote(uri):
        return ModelStore(BucketBackend(uri))
    scheme, separator, _ = uri.partition("://")
    if separator and scheme != "file":
        raise SettingError(f"store: {masked_address(uri)} has the scheme {scheme}://; {expected}.")
    return ModelStore(LocalBackend(local_path(uri)))
