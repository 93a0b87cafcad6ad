"""Unpacks zip and tar archives that come from outside: no entry leaves the target, nothing grows without limit."""

from __future__ import annotations

import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from headstart.components.atomic_files import refused_write
from headstart.components.errors import HeadstartError

SIZE_LIMIT = 64 << 30
"""Bytes that an archive may unpack to."""
COUNT_LIMIT = 2_000_000
"""Entries that an archive may have."""


def is_archive(path: Path) -> bool:
    """Say whether `path` is a zip or a tar archive, compressed or not, by its content."""
    return path.is_file() and (zipfile.is_zipfile(path) or tarfile.is_tarfile(path))


def _refuse(archive: Path, name: str, why: str) -> HeadstartError:
    return HeadstartError(f"{archive}: refused: entry {name!r} {why}.", "Get the archive from where it was published.")


def _target(archive: Path, folder: Path, name: str) -> Path:
    pure = PurePosixPath(name.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or "\0" in name or (pure.parts and ":" in pure.parts[0]):
        raise _refuse(archive, name, "leads out of the folder it is unpacked to")
    return folder / pure


def _tar_entries(archive: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    with tarfile.open(archive) as tar:
        for member in tar:
            if member.isdir():
                continue
            if not member.isreg():
                raise _refuse(archive, member.name, "is a link or a device")
            file = tar.extractfile(member)
            if file is not None:
                yield member.name, member.size, file


def _zip_entries(archive: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    with zipfile.ZipFile(archive) as packed:
        for info in packed.infolist():
            if info.is_dir():
                continue
            if stat.S_ISLNK(info.external_attr >> 16):
                raise _refuse(archive, info.filename, "is a link")
            if info.flag_bits & 1:
                raise _refuse(archive, info.filename, "is encrypted")
            with packed.open(info) as file:
                yield info.filename, info.file_size, file


def _copy(archive: Path, name: str, file: IO[bytes], target: Path, allowed: int) -> int:
    """Copy at most `allowed` bytes; what an entry claims as its size is not believed."""
    written = 0
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as out:
        while block := file.read(1 << 20):
            written += len(block)
            if written > allowed:
                raise _refuse(archive, name, f"unpacks beyond the limit of {SIZE_LIMIT >> 30} GiB in all")
            out.write(block)
    return written


def unpack(archive: Path, folder: Path) -> None:
    """Unpack the files of `archive` below `folder`.

    HeadstartError for an archive that is damaged or cut short, has entries outside the folder, links, devices or
    encrypted entries, more than COUNT_LIMIT entries or SIZE_LIMIT bytes, or more than the disk has room for.
    """
    total = 0
    seen: set[str] = set()
    allowed = min(SIZE_LIMIT, shutil.disk_usage(folder).free - (256 << 20))
    try:
        entries = _zip_entries(archive) if zipfile.is_zipfile(archive) else _tar_entries(archive)
        for name, size, file in entries:
            if len(seen) >= COUNT_LIMIT:
                raise HeadstartError(f"{archive}: refused: more than {COUNT_LIMIT} entries.")
            if total + size > allowed:
                what = "the disk has room for" if allowed < SIZE_LIMIT else "is allowed"
                raise HeadstartError(
                    f"{archive}: unpacks to more than {what} ({allowed / 1e9:.1f} GB).",
                    "Set TMPDIR to a larger disk." if allowed < SIZE_LIMIT else "",
                )
            target = _target(archive, folder, name)
            if str(target) in seen:
                raise _refuse(archive, name, "is there twice")
            seen.add(str(target))
            total += _copy(archive, name, file, target, allowed - total)
    except HeadstartError:
        raise
    except Exception as error:  # the readers raise nearly anything on damaged input
        refused = refused_write(folder, error)
        if refused is not None:
            raise refused from error
        raise HeadstartError(f"{archive}: damaged or cut short ({error}).", "Download it again.") from error
