"""Whether the files of a version are those that were promoted."""

from __future__ import annotations

import hashlib
from pathlib import Path

from pydantic import ValidationError

from headstart.components.errors import HeadstartError
from headstart.components.promotion.versions import SCHEMA_VERSION, Manifest
from headstart.components.regular_files import LARGEST_TEXT, read_regular

MANIFEST = "version.json"
RESERVED = "reserved"
"""A file that a bucket has in each version; it holds its name while the others are written."""
SIGNATURE = "model.sig"


def file_digests(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below `folder`, by relative path."""
    return {path.relative_to(folder).as_posix(): sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content as hexadecimal text."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_manifest(folder: Path) -> Manifest:
    """Return the manifest that lies in a version's folder; HeadstartError where it cannot be read."""
    file = folder / MANIFEST
    try:
        manifest = Manifest.model_validate_json(read_regular(file, LARGEST_TEXT))
    except (OSError, ValidationError) as error:
        raise HeadstartError(f"{file}: damaged: {error}.") from error
    if manifest.schema_version > SCHEMA_VERSION:
        raise HeadstartError(f"{file}: written by a newer Headstart.", "Use that one, or a newer one.")
    return manifest


def check_files(folder: Path, manifest: Manifest, where: str = "") -> None:
    """Raise HeadstartError where a file of the version in `folder` is missing, was altered, or came in from outside.

    `where` names the version in messages; default: the folder.
    """
    found = file_digests(folder)
    for own in (MANIFEST, RESERVED, SIGNATURE):
        found.pop(own, None)
    for path in sorted({*manifest.files, *found}):
        if path not in manifest.files:
            what = "is no file of this version"
        elif path not in found:
            what = "is missing"
        elif found[path] != manifest.files[path]:
            what = "is not what was promoted (its SHA-256 differs)"
        else:
            continue
        raise HeadstartError(
            f"{where or folder}/{path}: {what}.", "`headstart models rollback` puts an earlier version into use."
        )
