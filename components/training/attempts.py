"""The attempts at one run: who tried, how each ended, and what had to be done again after a restart.

`attempts.json` has one entry an attempt and is written when it starts, at each checkpoint and when it ends.
`journal.txt` (in local folders) has a line for each start-up and each finished epoch of any attempt; what stands in it
beyond the epochs that count was done again.
"""

from __future__ import annotations

import datetime
import json
import platform
import time

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
        self.earlier = _read(folder, fingerprint)
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
        self._save()
        if not self.earlier and self._folder.local is not None:
            self._folder.write(JOURNAL, b"")

    def prepared(self, seconds: float) -> None:
        """Note that start-up, compilation and the frozen prefix took `seconds`, which a restart takes again."""
        self._folder.append(JOURNAL, f"prepared {seconds:.6f}")

    def epoch_done(self, epoch: int, seconds: float) -> None:
        """Note a finished epoch and its training seconds."""
        self._folder.append(JOURNAL, f"epoch {epoch} {seconds:.6f}")

    def repeated_seconds(self, counted: float, prepared: float) -> float:
        """Seconds of work in the journal beyond the `counted` ones of epochs and one preparation of `prepared`."""
        content = self._folder.read(JOURNAL) if self._folder.local is not None else None
        total = 0.0
        for line in (content or b"").decode("ascii", errors="replace").splitlines():
            try:
                total += float(line.split()[-1])
            except (ValueError, IndexError):
                continue  # cut short by a kill
        return max(total - counted - prepared, 0.0) if self.earlier else 0.0

    def note(self, epochs: int, ended: str = "") -> None:
        """Write down that the run has `epochs` done by now, and how this attempt ended where it has."""
        self.current.epochs = max(epochs - sum(attempt.epochs for attempt in self.earlier), 0)
        self.current.wall_seconds = time.perf_counter() - self._began
        self.current.ended = ended
        self._save()

    def _save(self) -> None:
        content = {"fingerprint": self._fingerprint, "attempts": [attempt.model_dump() for attempt in self.all]}
        self._folder.write(FILE, json.dumps(content).encode())


def fingerprint(folder: Folder) -> str:
    """Return the fingerprint of the run whose attempts are in `folder`, or an empty text."""
    try:
        return str(json.loads(folder.read(FILE) or b"{}").get("fingerprint", ""))
    except (ValueError, AttributeError):
        return ""


def close(folder: Folder, ended: str) -> list[Attempt]:
    """Write down for a process that is gone how it ended, and return the attempts; none where it left no trace."""
    owner = fingerprint(folder)
    attempts = _read(folder, owner)
    if attempts and not attempts[-1].ended:
        attempts[-1].ended = ended
        content = {"fingerprint": owner, "attempts": [attempt.model_dump() for attempt in attempts]}
        folder.write(FILE, json.dumps(content).encode())
    return attempts


def _read(folder: Folder, fingerprint: str) -> list[Attempt]:
    stored = folder.read(FILE)
    try:
        content = json.loads(stored or b"{}")
        if content.get("fingerprint") != fingerprint:
            return []
        return [Attempt.model_validate(entry) for entry in content["attempts"]]
    except (ValueError, KeyError, TypeError, AttributeError):
        return []  # damaged; what it said is lost, the checkpoint is not
