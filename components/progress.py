"""Progress as lines of `key=value` pairs on standard output.

A person can read them in a pod's log, and `headstart run` reads them back to draw its live display: the same lines on
a laptop, in a container and on a cluster. Every line starts with `headstart event=`.
"""

from __future__ import annotations

import re
import sys

from headstart.components.foreign_text import printable

PREFIX = "headstart event="
_PAIR = re.compile(r'([a-z_]+)=("(?:[^"\\]|\\.)*"|\S*)')


def emit(event: str, **fields: object) -> None:
    """Print one event, for example `headstart event=epoch arm=transfer seed=3 epoch=4`, and flush.

    Floats are printed with six significant digits; values are printable (see `foreign_text`), those with spaces or
    quotes are quoted; None is left out.
    """
    parts = [f"{PREFIX}{event}"]
    for key, value in fields.items():
        if value is None:
            continue
        text = f"{value:.6g}" if isinstance(value, float) else printable(value)
        if text == "" or re.search(r'[\s"=]', text):
            text = '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
        parts.append(f"{key}={text}")
    sys.stdout.write(" ".join(parts) + "\n")
    sys.stdout.flush()


def parse(line: str) -> dict[str, str] | None:
    """Read an event line back as a dict with the key `event`, or None for any other line; indentation is allowed."""
    start = line.find(PREFIX)
    if start < 0 or line[:start].strip():
        return None
    fields: dict[str, str] = {}
    for key, value in _PAIR.findall(line[start + len("headstart ") :]):
        fields[key] = re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value
    return fields
