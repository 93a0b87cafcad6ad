"""Checkpoints: everything that a run needs to go on as if nothing had happened, in one object that is whole or absent.

A run's folder (local, or under gs://) holds

    attempts.json    fingerprint and one entry an attempt, written when an attempt starts and ends
    checkpoint.npz   variables, optimizer, best weights, rows, phases, stop rule, as of the end of an epoch
    finished.tar     record and model of a run that has ended

Each is replaced in one step, so that a kill at any moment leaves the previous one.
"""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from components.atomic_files import whole_file, whole_folder
from components.records import Attempt, RunRecord

Array = npt.NDArray[Any]


class Folder:
    """Named objects of bytes in a local folder or under a gs:// prefix; without a place it remembers nothing."""

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")

    @property
    def local(self) -> Path | None:
        """The folder where it is a local one."""
        return Path(self.uri.removeprefix("file://")) if self.uri and not self.uri.startswith("gs://") else None

    def read(self, name: str) -> bytes | None:
        """Return an object's bytes, or None where there is none."""
        if not self.uri:
            return None
        if self.local is not None:
            try:
                return (self.local / name).read_bytes()
            except FileNotFoundError:
                return None
        from components import storage

        uri = f"{self.uri}/{name}"
        return storage.read_bytes(uri) if storage.exists(uri) else None

    def write(self, name: str, content: bytes) -> None:
        """Put an object in its place at once."""
        if not self.uri:
            return
        if self.local is not None:
            with whole_file(self.local / name) as partial:
                partial.write_bytes(content)
            return
        from components import storage

        storage.write_bytes(f"{self.uri}/{name}", content)

    def journal(self, line: str) -> None:
        """Add a line to `journal.txt`, where the folder is local: it survives a kill and costs microseconds."""
        if self.local is not None:
            self.local.mkdir(parents=True, exist_ok=True)
            with (self.local / "journal.txt").open("a", encoding="ascii") as file:
                file.write(line + "\n")


def pack(arrays: dict[str, Array], progress: dict[str, Any]) -> bytes:
    """Return a checkpoint's bytes: `arrays` and the JSON value `progress`."""
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(progress, allow_nan=False).encode(), np.uint8)
    # Slashes would become folders of the archive.
    named: dict[str, Any] = {"a:" + name.replace("/", "|"): value for name, value in arrays.items()}
    np.savez(buffer, progress=text, **named)
    return buffer.getvalue()


def unpack(content: bytes) -> tuple[dict[str, Array], dict[str, Any]]:
    """Read `pack`'s bytes back; ValueError where they are damaged (the archive carries checksums)."""
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            progress = json.loads(file["progress"].tobytes())
            names = [name for name in file.files if name.startswith("a:")]
            return {name[2:].replace("|", "/"): file[name] for name in names}, progress
    except (OSError, EOFError, KeyError, zipfile.BadZipFile, ValueError) as error:
        raise ValueError(f"damaged checkpoint: {error}") from error


class Attempts:
    """The attempts at one run so far, this one included."""

    def __init__(self, folder: Folder, fingerprint: str, *, started_at: str, host: str) -> None:
        """Read what earlier attempts left; those that never said how they ended were killed."""
        self._folder, self._fingerprint = folder, fingerprint
        self.earlier: list[Attempt] = []
        self.continues = False  # may use the checkpoint that is there
        stored = folder.read("attempts.json")
        if stored:
            try:
                content = json.loads(stored)
                self.earlier = [Attempt.model_validate(entry) for entry in content["attempts"]]
                self.continues = content["fingerprint"] == fingerprint
            except (ValueError, KeyError, TypeError):
                self.earlier = []
        for attempt in self.earlier:
            if not attempt.ended:
                attempt.ended = "killed without notice (out of memory, or its machine went away)"
        if self.earlier and not self.continues:
            # Other settings or another kind of machine: nothing of it can be used, and it is another run.
            self.earlier = []
        self.current = Attempt(number=len(self.earlier) + 1, started_at=started_at, host=host)

    @property
    def all(self) -> list[Attempt]:
        """Every attempt, this one last."""
        return [*self.earlier, self.current]

    def save(self) -> None:
        """Write them down."""
        content = {"fingerprint": self._fingerprint, "attempts": [attempt.model_dump() for attempt in self.all]}
        self._folder.write("attempts.json", json.dumps(content).encode())


def keep_finished(folder: Folder, fingerprint: str, record: RunRecord, outputs: dict[str, Path | None]) -> None:
    """Keep the record and the output folders of a run that has ended, as one object."""
    if not folder.uri:
        return
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, text in (("fingerprint", fingerprint), ("record.json", record.model_dump_json())):
            info = tarfile.TarInfo(name)
            info.size = len(text.encode())
            archive.addfile(info, io.BytesIO(text.encode()))
        for name, path in outputs.items():
            if path is not None and path.is_dir():
                archive.add(path, arcname=name)
    folder.write("finished.tar", buffer.getvalue())


def finished(folder: Folder, fingerprint: str, outputs: dict[str, Path | None]) -> RunRecord | None:
    """Return the record of the finished run with this fingerprint and put its outputs in place, or None."""
    content = folder.read("finished.tar")
    if content is None:
        return None
    try:
        with tarfile.open(fileobj=io.BytesIO(content)) as archive:
            if _member(archive, "fingerprint") != fingerprint.encode():
                return None
            record = RunRecord.model_validate_json(_member(archive, "record.json"))
            names = archive.getnames()
            for name, path in outputs.items():
                if path is None:
                    continue
                if name not in names:
                    return None
                with whole_folder(path) as new:
                    for entry in archive.getmembers():
                        if entry.name.startswith(f"{name}/"):
                            inside = entry.replace(name=entry.name.removeprefix(f"{name}/"))
                            archive.extract(inside, new, filter="data")
            return record
    except (tarfile.TarError, ValueError, KeyError):
        return None


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise KeyError(name)
    return file.read()
