"""Unpacks zip and tar archives that come from outside: no entry leaves the target, nothing grows without limit.

Limits hold while an archive is read, whatever it says of itself: for bytes, entries, folders, depth, headers and time.
"""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import shutil
import stat
import tarfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any, NoReturn, cast

from headstart.components.atomic_files import refused_write
from headstart.components.errors import HeadstartError

SIZE_LIMIT = 64 << 30
"""Bytes that an archive may unpack to."""
COUNT_LIMIT = 2_000_000
"""Entries that an archive may have, and folders that they may lie in."""
DEPTH_LIMIT = 40
"""Folders within each other."""
HEADER_LIMIT = 1 << 20
"""Bytes of a header that precedes an entry of a tar archive (long names, attributes)."""
TIME_LIMIT = 6 * 3600.0
"""Seconds that reading an archive may take."""
_DIRECTORY_LIMIT = 1 << 30
"""Bytes that the directory of a zip archive may have."""
_PACKED: dict[bytes, Any] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\x00": lzma.open}
_HEADERS = (
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
)
_SOURCE = "Get the archive from where it was published."


class _RefusedError(Exception):
    """What an archive is refused for, without its name."""


class _Stream(io.RawIOBase):
    """A tar archive as it is decompressed; what comes out of it at once and in all, and for how long, is limited."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__()
        self._file, self._until = file, time.monotonic() + TIME_LIMIT

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= 64 << 20:
            raise _RefusedError(f"a part of it claims {size} bytes")
        content = self._file.read(size)
        # Headers take part of it: 1.5 kB for a file with a long name.
        if self._file.tell() > SIZE_LIMIT + SIZE_LIMIT // 16 + (1 << 20):
            raise _RefusedError(f"it unpacks to more than {SIZE_LIMIT / (1 << 30):g} GiB")
        if time.monotonic() > self._until:
            raise _RefusedError(f"reading it takes more than {TIME_LIMIT:g} seconds")
        return content

    def seek(self, place: int, whence: int = io.SEEK_SET) -> int:
        if whence != io.SEEK_SET:
            raise _RefusedError("it cannot be read from its end")
        while (left := place - self._file.tell()) > 0 and self.read(min(left, 1 << 20)):
            pass
        return self._file.seek(place) if left < 0 else self._file.tell()


class _Member(tarfile.TarInfo):
    """An entry of a tar archive; its headers are bounded, and sparse files, whose maps are not, are refused."""

    def _proc_member(self, tar: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _HEADERS and self.size > HEADER_LIMIT:
            raise _RefusedError(f"a header of {self.size} bytes precedes an entry; {HEADER_LIMIT} are allowed")
        if self.type == tarfile.GNUTYPE_SPARSE:
            self._refuse_sparse()
        return cast(tarfile.TarInfo, super()._proc_member(tar))  # type: ignore[misc]

    def _refuse_sparse(self, *_: Any) -> NoReturn:
        raise _RefusedError(f"entry {self.name!r} is a sparse file")

    _proc_gnusparse_00 = _proc_gnusparse_01 = _proc_gnusparse_10 = _refuse_sparse


@contextmanager
def open_tar(path: Path) -> Iterator[tarfile.TarFile]:
    """Open a tar archive, compressed or not, to be read with `members`.

    Raises whatever tarfile and the decompressors raise for what is none or damaged, HeadstartError beyond the limits.
    """
    try:
        with path.open("rb") as file:
            begin = file.read(6)
            file.seek(0)
            opener = next((opener for magic, opener in _PACKED.items() if begin.startswith(magic)), None)
            with (
                cast(IO[bytes], opener(file) if opener else file) as content,
                tarfile.open(fileobj=cast(IO[bytes], _Stream(content)), mode="r:", tarinfo=_Member) as tar,
            ):
                yield tar
    except _RefusedError as error:
        raise HeadstartError(f"{path}: refused: {error}.", _SOURCE) from error


def members(tar: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    """Yield the entries of an archive that `open_tar` opened, COUNT_LIMIT at most, without keeping them."""
    count = 0
    while (member := tar.next()) is not None:
        count += 1
        if count > COUNT_LIMIT:
            raise _RefusedError(f"more than {COUNT_LIMIT} entries")
        yield member
        tar.members.clear()  # type: ignore[attr-defined]


def is_tar(path: Path) -> bool:
    """Say whether `path` is a tar archive, compressed or not, by its first entry."""
    if not path.is_file():
        return False
    try:
        with open_tar(path):
            return True
    except HeadstartError:
        return True  # whoever reads it says why it is refused
    except Exception:  # the readers raise nearly anything on what is none
        return False


def is_archive(path: Path) -> bool:
    """Say whether `path` is a zip or a tar archive, compressed or not, by its content."""
    return path.is_file() and (zipfile.is_zipfile(path) or is_tar(path))


def _refuse(archive: Path, name: str, why: str) -> HeadstartError:
    return HeadstartError(f"{archive}: refused: entry {name!r} {why}.", _SOURCE)


def _target(archive: Path, folder: Path, name: str) -> Path:
    pure = PurePosixPath(name.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or "\0" in name or (pure.parts and ":" in pure.parts[0]):
        raise _refuse(archive, name, "leads out of the folder it is unpacked to")
    if len(pure.parts) - 1 > DEPTH_LIMIT:
        raise _refuse(archive, f"{name[:60]}…", f"lies in more than {DEPTH_LIMIT} folders within each other")
    return folder / pure


def _tar_entries(archive: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    with open_tar(archive) as tar:
        for member in members(tar):
            if member.isdir():
                continue
            if not member.isreg():
                raise _refuse(archive, member.name, "is a link or a device")
            file = tar.extractfile(member)
            if file is not None:
                yield member.name, member.size, file


def _check_directory(archive: Path) -> None:
    """Count the entries of a zip archive before the reader makes an object of each."""
    with archive.open("rb") as file:
        ending: Any = zipfile._EndRecData(file)  # type: ignore[attr-defined]
        size, end = (ending[5], ending[9]) if ending else (0, 0)
        if size > _DIRECTORY_LIMIT:
            raise _RefusedError(f"its directory has {size} bytes")
        file.seek(max(0, end - size))
        count, left, before = 0, size, b""
        while left > 0 and (block := file.read(min(left, 1 << 20))):
            count += (before + block).count(b"PK\x01\x02")
            left, before = left - len(block), block[-3:]
        if count > COUNT_LIMIT:
            raise _RefusedError(f"more than {COUNT_LIMIT} entries")


def _zip_entries(archive: Path) -> Iterator[tuple[str, int, IO[bytes]]]:
    _check_directory(archive)
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


def _copy(file: IO[bytes], target: Path, allowed: int, until: float, beyond: HeadstartError) -> int:
    """Copy at most `allowed` bytes, else raise `beyond`; what an entry claims as its size is not believed."""
    written = 0
    with target.open("wb") as out:
        while block := file.read(1 << 20):
            written += len(block)
            if written > allowed:
                raise beyond
            if time.monotonic() > until:
                raise _RefusedError(f"unpacking it takes more than {TIME_LIMIT:g} seconds")
            out.write(block)
    return written


def unpack(archive: Path, folder: Path) -> None:
    """Unpack the files of `archive` below `folder`; empty folders are left out, archives in it stay as they are.

    HeadstartError for an archive that is damaged or cut short, has entries outside the folder, links, devices, sparse
    or encrypted entries, goes beyond one of the limits above, or needs more than the disk has free.
    """
    total = 0
    seen: set[str] = set()
    folders: set[Path] = {folder}
    allowed = min(SIZE_LIMIT, max(0, shutil.disk_usage(folder).free - (256 << 20)))
    until = time.monotonic() + TIME_LIMIT
    what = "the disk has free" if allowed < SIZE_LIMIT else "is allowed"
    beyond = HeadstartError(
        f"{archive}: unpacks to more than {what} ({allowed / 1e9:.1f} GB).",
        "Set TMPDIR to a larger disk." if allowed < SIZE_LIMIT else "",
    )
    try:
        entries = _zip_entries(archive) if zipfile.is_zipfile(archive) else _tar_entries(archive)
        for name, size, file in entries:
            if total + size > allowed:
                raise beyond
            target = _target(archive, folder, name)
            if str(target) in seen:
                raise _refuse(archive, name, "is there twice")
            seen.add(str(target))
            if target.parent not in folders:
                folders.update(each for each in target.parents if each.is_relative_to(folder))
                if len(folders) > COUNT_LIMIT:
                    raise _RefusedError(f"more than {COUNT_LIMIT} folders")
                target.parent.mkdir(parents=True, exist_ok=True)
            total += _copy(file, target, allowed - total, until, beyond)
    except HeadstartError:
        raise
    except _RefusedError as error:
        raise HeadstartError(f"{archive}: refused: {error}.", _SOURCE) from error
    except Exception as error:  # the readers raise nearly anything on damaged input
        refused = refused_write(folder, error)
        if refused is not None:
            raise refused from error
        raise HeadstartError(f"{archive}: damaged or cut short ({error}).", "Download it again.") from error
