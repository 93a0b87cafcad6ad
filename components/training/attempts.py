"""The attempts at one run: who tried, how each ended, and what had to be done again after a restart.

`attempts.json` has one entry per attempt and is written when it starts, at each checkpoint and when it ends.
`journal.txt` (in local folders) has a line for each start-up and each finished epoch of any attempt; what is in it
beyond the epochs that count was done again. Both carry checksums, the journal one per line: a kill can cut its last.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import platform
import time
import zlib
from typing import Any

from headstart.components.progress import emit
from headstart.components.records import Attempt
from headstart.components.training.checkpoint import Folder

FILE = "attempts.json"
JOURNAL = "journal.txt"
VANISHED = "killed without notice (out of memory, or its machine went away)"


class Attempts:
    """The attempts at a run so far, the current one last."""

    def __init__(self, folder: Folder, fingerprint: str) -> None:
        """Read what earlier attempts left; one that never said how it ended was killed.

        Attempts under another fingerprint (other settings, data or kind of machine) were at another run: they are
        forgotten.
        """
        self._folder, self._fingerprint = folder, fingerprint
        self._began = time.perf_counter()
        owner, earlier = _stored(folder)
        self.earlier = earlier if owner == fingerprint else []
        for attempt in self.earlier:
            attempt.ended = attempt.ended or VANISHED
        self.current = Attempt(
            number=len(self.earlier) + 1,
            started_at=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
            host=platform.node(),
        )

    @property
    def all(self) -> list[Attempt]:
        """Every attempt, the current one last."""
        return [*self.earlier, self.current]

    def begin(self) -> None:
        """Write down that this attempt has started."""
        self.save()
        if not self.earlier and self._folder.local is not None:
            self._folder.write(JOURNAL, b"")

    def prepared(self, seconds: float) -> None:
        """Note that start-up, compilation and the frozen prefix took `seconds`, which a restart takes again."""
        self._folder.append(JOURNAL, _checked(f"prepared {seconds:.6f}"))

    def epoch_done(self, epoch: int, seconds: float) -> None:
        """Note a finished epoch and its training seconds."""
        self._folder.append(JOURNAL, _checked(f"epoch {epoch} {seconds:.6f}"))

    def repeated_seconds(self, counted: float, prepared: float) -> float:
        """Seconds of work in the journal beyond the `counted` ones of epochs and one preparation of `prepared`."""
        content = self._folder.read(JOURNAL) if self._folder.local is not None else None
        total = 0.0
        for line in (content or b"").decode("ascii", errors="replace").splitlines():
            entry = line.rpartition(" ")[0]
            if entry and line == _checked(entry):  # others were cut short by a kill, or are damaged
                total += float(entry.split()[-1])
        return max(total - counted - prepared, 0.0) if self.earlier else 0.0

    def note(self, epochs: int, ended: str = "") -> None:
        """Note that the run has `epochs` done by now, and how this attempt ended where it has; see `save`."""
        self.current.epochs = max(epochs - sum(attempt.epochs for attempt in self.earlier), 0)
        self.current.wall_seconds = time.perf_counter() - self._began
        self.current.ended = ended

    def save(self) -> None:
        """Write down what was noted."""
        _write(self._folder, self._fingerprint, self.all)


def fingerprint(folder: Folder) -> str:
    """Return the fingerprint of the run whose attempts are in `folder`, or an empty text."""
    return _stored(folder)[0]


def close(folder: Folder, ended: str) -> list[Attempt]:
    """Write down for a process that is gone how it ended, and return the attempts; none if it left no trace."""
    owner, attempts = _stored(folder)
    if attempts and not attempts[-1].ended:
        attempts[-1].ended = ended
        _write(folder, owner, attempts)
    return attempts


def _write(folder: Folder, fingerprint: str, attempts: list[Attempt]) -> None:
    content = {"fingerprint": fingerprint, "attempts": [attempt.model_dump() for attempt in attempts]}
    folder.write(FILE, json.dumps(content | {"sha256": _digest(content)}).encode())


def _stored(folder: Folder) -> tuple[str, list[Attempt]]:
    """Return the fingerprint and the attempts that are in the file; none of a damaged one: a run begins again."""
    stored = folder.read(FILE)
    if stored is None:
        return "", []
    try:
        content: dict[str, Any] = json.loads(stored)
        if content.pop("sha256") != _digest(content):
            raise ValueError("checksum does not match")
        return str(content["fingerprint"]), [Attempt.model_validate(entry) for entry in content["attempts"]]
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        reason = f"damaged, or of another version ({error}); the run begins again"
        emit("warning", what="attempts", file=FILE, reason=reason)
        return "", []


def _digest(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _checked(entry: str) -> str:
    return f"{entry} {zlib.crc32(entry.encode()):08x}"
