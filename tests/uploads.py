"""Puts files where a test wants them, on this machine or in a bucket."""

from __future__ import annotations

from pathlib import Path

from headstart.components import storage


def upload(path: Path, uri: str) -> None:
    """Write a local file as `uri`, or all files of a local folder below it."""
    if path.is_file():
        storage.write_bytes(uri, path.read_bytes())
    for file in sorted(path.rglob("*")):
        if file.is_file():
            storage.write_bytes(f"{uri}/{file.relative_to(path).as_posix()}", file.read_bytes())
