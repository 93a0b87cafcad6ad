"""Measured figures: kept in results.json, shown as one table in results.md and on the terminal."""

from __future__ import annotations

import datetime
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.timing import REPOSITORY
from headstart.components import machine
from headstart.components.atomic_files import write_json, write_text
from headstart.components.training import environment

DOCUMENTS = REPOSITORY / "docs"


def commit() -> str:
    """Return the short hash of the checked-out commit, with a plus where the tree differs from it."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty=+", "--exclude=*"],
            cwd=REPOSITORY,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return found.stdout.strip()


@dataclass
class Entry:
    """One row of the table.

    Attributes:
        key: unique and stable, so that a later measurement replaces an earlier one.
        section: what it was measured with, as in `--only`.
        what: what was measured, for a reader.
        unit: of `ours` and `peer`: s, images/s, MiB, share, …
        ours: repeats.
        peer: repeats of the notebook, or of what `against` names, pairwise beside ours; empty: nothing to compare with.
        faster_is: `less` for seconds and bytes, `more` for throughput; a ratio above 1 always means ours is better.
        target: `>= 2.5` for a ratio, `<= 3` for ours; empty: none.
        on: the data it was measured on.
        note: what a reader must know.
    """

    key: str
    section: str
    what: str
    unit: str
    ours: list[float]
    peer: list[float] = field(default_factory=list)
    faster_is: str = "less"
    against: str = "notebook"
    target: str = ""
    on: str = ""
    note: str = ""
    others: float | None = None
    when: str = field(default_factory=lambda: datetime.datetime.now(datetime.UTC).isoformat(timespec="minutes"))
    commit: str = field(default_factory=commit)

    @property
    def ratios(self) -> list[float]:
        """How many times better ours is, repeat by repeat; where repeats do not pair, median against each."""
        pairs: Sequence[tuple[float, float]]
        if len(self.ours) == len(self.peer):
            pairs = list(zip(self.ours, self.peer, strict=True))
        elif self.ours and self.peer:
            pairs = [(value, statistics.median(self.peer)) for value in self.ours]
        else:
            return []
        return [peer / ours if self.faster_is == "less" else ours / peer for ours, peer in pairs]

    @property
    def holds(self) -> bool | None:
        """Whether the median meets the target; None where there is none."""
        if not self.target:
            return None
        sign, limit = self.target.split()
        value = statistics.median(self.ratios or self.ours)
        return value >= float(limit) if sign == ">=" else value <= float(limit)


def this_machine() -> dict[str, Any]:
    """Say what the figures were measured on."""
    return {
        "processor": machine.processor(),
        "cores": machine.usable_cores(),
        "memory_gib": round(machine.memory_limit() / 2**30, 1),
        "versions": environment.versions(),
        "load": list(os.getloadavg()),
    }


def read(file: Path) -> dict[str, Entry]:
    """Read what was measured before; nothing where there is no file."""
    if not file.exists():
        return {}
    content = json.loads(file.read_text(encoding="utf-8"))
    return {entry["key"]: Entry(**entry) for entry in content["entries"]}


def merge(file: Path, measured: Sequence[Entry]) -> dict[str, Entry]:
    """Put `measured` in the place of earlier figures with the same key and write results.json and results.md."""
    entries = read(file) | {entry.key: entry for entry in measured}
    write_json(file, {"machine": this_machine(), "entries": [asdict(entry) for entry in entries.values()]})
    write_text(file.with_suffix(".md"), markdown(list(entries.values())))
    return entries


def spread(values: Sequence[float], unit: str) -> str:
    """Show a median with its range: `12.3 s (11.8 to 13.0)`."""
    if not values:
        return ""
    middle = statistics.median(values)
    shown = f"{number(middle)}{f' {unit}' if unit else ''}"
    return shown if len(values) == 1 else f"{shown} ({number(min(values))} to {number(max(values))})"


def write_between(page: Path, begin: str, end: str, text: str) -> None:
    """Put `text` into a page of the documentation, in the place of what is between two markers; ValueError for none."""
    content = page.read_text(encoding="utf-8")
    before, after = content[: content.index(begin) + len(begin)], content[content.index(end) :]
    write_text(page, f"{before}\n{text}{after}")


def number(value: float) -> str:
    """Three significant digits, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def cells(entry: Entry) -> list[str]:
    """One row of the table."""
    ratio = spread(entry.ratios, "×")
    verdict = {None: "", True: "holds", False: "missed"}[entry.holds]
    return [
        entry.what + (f" ({entry.note})" if entry.note else ""),
        spread(entry.ours, entry.unit),
        spread(entry.peer, entry.unit) + (f" [{entry.against}]" if entry.peer and entry.against != "notebook" else ""),
        ratio,
        f"{entry.target.replace('>=', '≥').replace('<=', '≤')}: {verdict}" if entry.target else "",
        str(len(entry.ours)),
        "" if entry.others is None else f"{entry.others:.0%}",
        entry.on,
        f"{entry.when.removesuffix('+00:00')} {entry.commit}",
    ]


HEADINGS = ["what", "ours", "notebook", "times better", "target", "n", "others", "data", "measured (UTC, commit)"]


def markdown(entries: Sequence[Entry]) -> str:
    """Render results.md."""
    here = this_machine()
    versions = ", ".join(f"{name} {version}" for name, version in here["versions"].items())
    lines = [
        "# Measured against the notebook",
        "",
        f"{here['processor']}, {here['cores']:g} cores, {here['memory_gib']} GiB; {versions}.",
        "",
        "Medians, in brackets the range over repeats; *times better* is taken pair by pair. *others*: share of the",
        "machine that other processes used meanwhile. How each is measured and what it does not show is in",
        "[README.md](README.md); `results.json` holds every repeat.",
    ]
    for section in dict.fromkeys(entry.section for entry in entries):
        lines += ["", f"## {section}", "", "| " + " | ".join(HEADINGS) + " |", "|" + "---|" * len(HEADINGS)]
        lines += ["| " + " | ".join(cells(entry)) + " |" for entry in entries if entry.section == section]
    return "\n".join(lines) + "\n"


def show(entries: Sequence[Entry]) -> None:
    """Print the table."""
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in HEADINGS[:7]:
        table.add_column(heading, justify="left" if heading == "what" else "right", overflow="fold")
    for entry in entries:
        table.add_row(*cells(entry)[:7])
    Console(width=None if sys.stdout.isatty() else 160).print(table)
