"""Checkpoints: everything that a run needs to go on as if nothing had happened, in one object that is whole or absent.

A run's folder (local, or a prefix in an object store) holds `attempts.json` and `journal.txt` (see `attempts.py`),
`checkpoint.npz` as of the end of an epoch, and `finished.tar` once it has ended. Each object is replaced in one step,
so that a kill at any moment leaves the previous one, carries the fingerprint of the run that it belongs to, and a
checksum over all of it: damage anywhere means that the object is not used, and a warning says so.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import tarfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.components import storage
from headstart.components.atomic_files import holds_only, whole_folder
from headstart.components.progress import emit
from headstart.components.records import Epoch, RunRecord

if TYPE_CHECKING:
    import numpy.typing as npt

    Array = npt.NDArray[Any]

KEPT_IN_CONTAINER = "HEADSTART_KEPT_IN_CONTAINER"
"""Names the folder in which a task that is started again in its container finds its checkpoints."""
CHECKPOINT = "checkpoint.npz"
FINISHED = "finished.tar"
_SEAL = b"headstart sha256 "


def sealed(content: bytes) -> bytes:
    """Return `content` with its SHA-256 behind it; readers of zip and tar archives pass over what follows the end."""
    return content + _SEAL + hashlib.sha256(content).hexdigest().encode()


def unsealed(content: bytes) -> bytes:
    """Return what `sealed` was given; ValueError if a bit of it has changed, or if there is no seal."""
    start = len(content) - len(_SEAL) - 64
    if start < 0 or content[start:-64] != _SEAL:
        raise ValueError("no checksum at its end: cut short, or written by another version")
    if hashlib.sha256(content[:start]).hexdigest().encode() != content[-64:]:
        raise ValueError("checksum does not match")
    return content[:start]


def is_model(folder: Path) -> bool:
    """Say whether `folder` holds a model that a run wrote and nothing else: such a one is replaced by a later run."""
    served = ("saved_model.pb", "fingerprint.pb", "assets/classes.txt", "assets/reading.json", "variables/*")
    return holds_only(folder, ("model.keras", "model.json", "trained_on.npz")) or (
        (folder / "assets" / "classes.txt").is_file() and holds_only(folder, served)
    )


class Folder:
    """Named objects of bytes in a local folder or below a prefix; without a place it remembers nothing."""

    def __init__(self, uri: str) -> None:
        self.uri = uri.rstrip("/")

    @property
    def local(self) -> Path | None:
        """The folder where it is a local one."""
        return storage.local_path(self.uri) if self.uri and not storage.is_remote(self.uri) else None

    def in_container(self) -> Folder:
        """Return the folder of the same run in the task's container; without a place where it has none to keep."""
        here = os.environ.get(KEPT_IN_CONTAINER, "")
        return Folder("/".join([here, *self.uri.split("/")[-2:]]) if here else "")

    def read(self, name: str) -> bytes | None:
        """Return an object's bytes, or None where there is none."""
        return storage.open_place(self.uri).read(name)[0] if self.uri else None

    def write(self, name: str, content: bytes) -> None:
        """Put an object in its place at once."""
        if self.uri:
            storage.open_place(self.uri).write(name, content)

    def append(self, name: str, line: str) -> None:
        """Add a line to a text where the folder is local: it survives a kill and costs microseconds."""
        if self.local is not None:
            with (self.local / name).open("a", encoding="ascii") as file:
                file.write(line + "\n")


def pack(arrays: dict[str, Array], progress: dict[str, Any]) -> bytes:
    """Return a checkpoint's bytes: `arrays` and the JSON value `progress`, sealed."""
    import numpy as np

    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(progress, allow_nan=False).encode(), np.uint8)
    # Slashes would become folders of the archive.
    named: dict[str, Any] = {"a:" + name.replace("/", "|"): value for name, value in arrays.items()}
    np.savez(buffer, progress=text, **named)
    return sealed(buffer.getvalue())


def unpack(content: bytes) -> tuple[dict[str, Array], dict[str, Any]]:
    """Read `pack`'s bytes back; ValueError if they are damaged."""
    import numpy as np

    try:
        with np.load(io.BytesIO(unsealed(content)), allow_pickle=False) as file:
            progress = json.loads(file["progress"].tobytes())
            names = [name for name in file.files if name.startswith("a:")]
            return {name[2:].replace("|", "/"): file[name] for name in names}, progress
    except Exception as error:  # zipfile raises nearly anything: NotImplementedError, RuntimeError, zlib.error, …
        raise ValueError(f"damaged checkpoint: {error}") from error


def rows(folder: Folder, fingerprint: str) -> list[Epoch]:
    """Return the epochs in the checkpoint of the run with this fingerprint; none where there is no such checkpoint."""
    try:
        _, stored = unpack(folder.read(CHECKPOINT) or b"")
        if stored["fingerprint"] != fingerprint:
            return []
        return [Epoch.model_validate(row) for row in stored["progress"]["rows"]]
    except (ValueError, KeyError, TypeError):
        return []


def keep_finished(folder: Folder, fingerprint: str, record: RunRecord, outputs: dict[str, Path | None]) -> None:
    """Keep the record and the output folders of a run that has ended, and let go of its checkpoint."""
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
    folder.write(FINISHED, sealed(buffer.getvalue()))
    folder.write(CHECKPOINT, b"")


def finished_record(content: bytes) -> bytes:
    """Return the JSON of the record in what `keep_finished` has written; ValueError where it is damaged."""
    try:
        with tarfile.open(fileobj=io.BytesIO(unsealed(content)), mode="r:") as archive:
            return _member(archive, "record.json")
    except (tarfile.TarError, KeyError, TypeError, EOFError) as error:
        raise ValueError(f"damaged: {error}") from error


def finished(folder: Folder, fingerprint: str, outputs: dict[str, Path | None]) -> RunRecord | None:
    """Put the outputs of the finished run with this fingerprint in place and return its record, or None.

    If the object is damaged, nothing is written and a warning says that the run begins again.
    """
    content = folder.read(FINISHED)
    if content is None:
        return None
    try:
        with tarfile.open(fileobj=io.BytesIO(unsealed(content)), mode="r:") as archive:
            if _member(archive, "fingerprint") != fingerprint.encode():
                return None
            record = RunRecord.model_validate_json(_member(archive, "record.json"))
            wanted = {name: path for name, path in outputs.items() if path is not None}
            if not wanted.keys() <= {*archive.getnames()}:
                return None
            for name, path in wanted.items():
                with whole_folder(path, is_model) as new:
                    for entry in archive.getmembers():
                        if entry.isreg() and entry.name.startswith(f"{name}/"):
                            _unpack(archive, entry, new / entry.name.removeprefix(f"{name}/"), new)
            return record
    except (tarfile.TarError, ValueError, KeyError, TypeError, EOFError) as error:
        emit("warning", what="finished run", file=FINISHED, reason=f"damaged ({error}); the run begins again")
        return None


def _unpack(archive: tarfile.TarFile, entry: tarfile.TarInfo, target: Path, folder: Path) -> None:
    # By hand: Python 3.11.2, which Debian 12 has, knows no extraction filters.
    if not target.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{entry.name} leads out of the folder it is unpacked to")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(_member(archive, entry.name))


def _member(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(name)
    if file is None:
        raise KeyError(name)
    return file.read()
