"""Decodes files, here or in processes of their own: `python -m …datasets.decoding ROOT SIZE READING PARENT`.

A decoder that is called from several threads of one interpreter waits for that interpreter half of the time. Such a
process reads one request per line (a file to write into, an offset, paths), writes the pixels there itself and answers
with what happened, so that no pixel passes through a pipe. It ends with its input, and with its parent.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, BinaryIO, Self

import numpy as np

from headstart.components.datasets.images import Decoded, UnreadableImageError, read_image
from headstart.components.datasets.reading import Reading, reading_of
from headstart.components.datasets.resizing import fit_alike, turned
from headstart.components.errors import TemporaryError

if TYPE_CHECKING:
    from headstart.components.datasets.packed import Pixels

_RESIZED_TOGETHER = 256 * 1024
"""Bytes of images of one shape that are resized together: what the processor's cache holds."""
TURNED = "orientation mark"
"""What images that were turned as their orientation mark says are counted as among the converted ones."""


@dataclass
class Outcome:
    """What became of some images, counted from 0: which were kept, why others were not, what was converted."""

    kept: list[int] = field(default_factory=list)
    failures: list[tuple[int, str]] = field(default_factory=list)
    converted: Counter[str] = field(default_factory=Counter)


class _Resizing:
    """Brings images to their size and into their places, those of one shape together."""

    def __init__(self, block: Pixels, reading: Reading) -> None:
        self._block, self._reading = block, reading
        self._waiting: dict[tuple[int, ...], list[tuple[int, Decoded]]] = {}

    def add(self, place: int, image: Decoded) -> None:
        alike = self._waiting.setdefault(image.pixels.shape, [])
        alike.append((place, image))
        if len(alike) * image.pixels.nbytes >= _RESIZED_TOGETHER:
            self._resize(self._waiting.pop(image.pixels.shape))

    def finish(self) -> None:
        for alike in self._waiting.values():
            self._resize(alike)
        self._waiting.clear()

    def _resize(self, alike: list[tuple[int, Decoded]]) -> None:
        places = [place for place, _ in alike]
        self._block[places] = fit_alike([image.pixels for _, image in alike], self._block.shape[1], self._reading.fit)
        for place, image in alike:
            if image.mark != 1:
                self._block[place] = turned(self._block[place].copy(), image.mark)


def decode_files(root: str, paths: Sequence[str], size: int, reading: Reading) -> tuple[Pixels, Outcome]:
    """Read image files below `root`; return the pixels of those kept, uint8 N × size × size × 3, and the outcome."""
    block, outcome = np.empty((len(paths), size, size, 3), np.uint8), Outcome()
    resizing = _Resizing(block, reading)
    for number, path in enumerate(paths):
        try:
            image = read_image(f"{root}/{path}", size, reading)
        except UnreadableImageError as error:
            outcome.failures.append((number, str(error)))
            continue
        resizing.add(len(outcome.kept), image)
        outcome.kept.append(number)
        if image.converted:
            outcome.converted[image.converted] += 1
        if image.mark != 1:
            outcome.converted[TURNED] += 1
    resizing.finish()
    return block[: len(outcome.kept)], outcome


def write_at(file: BinaryIO, offset: int, pixels: Pixels) -> None:
    """Write `pixels` at `offset` bytes of an unbuffered file; OSError where the disk is full."""
    left = np.ascontiguousarray(pixels).reshape(-1).data
    while left:
        written = os.pwrite(file.fileno(), left, offset)
        left, offset = left[written:], offset + written


def decode_into(file: Path, offset: int, root: str, paths: Sequence[str], size: int, reading: Reading) -> Outcome:
    """Decode `paths` below `root` and write what was kept into `file` from `offset` bytes on."""
    pixels, outcome = decode_files(root, paths, size, reading)
    with file.open("r+b", buffering=0) as opened:
        write_at(opened, offset, pixels)
    return outcome


class Decoders:
    """`count` decoders of files in one folder, this process among them; as many threads may call `decode` at once."""

    def __init__(self, count: int, root: Path, size: int, reading: Reading) -> None:
        self._root, self._size, self._reading = str(root), size, reading
        how = json.dumps(asdict(reading))
        command = [sys.executable, "-P", "-m", __name__, self._root, str(size), how, str(os.getpid())]
        pipe = subprocess.PIPE
        self._processes = [subprocess.Popen(command, stdin=pipe, stdout=pipe) for _ in range(count - 1)]
        self._idle: SimpleQueue[subprocess.Popen[bytes] | None] = SimpleQueue()
        for decoder in (None, *self._processes):
            self._idle.put(decoder)

    def decode(self, file: Path, offset: int, paths: Sequence[str]) -> Outcome:
        """Decode `paths` into `file` from `offset` bytes on.

        Raises OSError where it cannot be written, HeadstartError where a process is lost.
        """
        decoder = self._idle.get()
        try:
            if decoder is None:
                return decode_into(file, offset, self._root, paths, self._size, self._reading)
            return _ask(decoder, [str(file), offset, list(paths)])
        finally:
            self._idle.put(decoder)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            assert process.stdin is not None
            assert process.stdout is not None
            if error is not None:
                process.kill()
            with contextlib.suppress(BrokenPipeError):
                process.stdin.close()
            process.stdout.close()
            process.wait()


def _ask(process: subprocess.Popen[bytes], request: list[Any]) -> Outcome:
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):  # it is gone; what it ended with is said below
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
    answer = process.stdout.readline()
    if not answer:
        raise TemporaryError(
            f"a process that decodes images ended with status {process.wait()}.",
            "-9 means that it was killed, usually because memory ran out: give the task more, or set workers=1.",
        )
    content = json.loads(answer)
    if "os_error" in content:
        raise OSError(*content["os_error"])
    return Outcome(content["kept"], [tuple(each) for each in content["failures"]], Counter(content["converted"]))


def main(root: str, size: int, reading: Reading, parent: int) -> None:
    """Answer requests until there are no more."""
    from headstart.components.machine import die_with

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the whole group; the parent decides
    die_with(parent)
    for line in sys.stdin.buffer:
        name, offset, paths = json.loads(line)
        try:
            answer: dict[str, Any] = vars(decode_into(Path(name), offset, root, paths, size, reading))
        except OSError as error:
            answer = {"os_error": [error.errno, error.strerror, name]}
        sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n")
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), reading_of(json.loads(sys.argv[3])), int(sys.argv[4]))
    os._exit(0)  # nothing is open; taking the interpreter down would be waited for
