"""A data set that an experiment does without: `none` in place of a URI, a marker in place of the packed images."""

from __future__ import annotations

from pathlib import Path

from headstart.components.atomic_files import holds_only, whole_folder, write_json
from headstart.components.regular_files import read_json

NONE = "none"
AUTO = "auto"
MARKER = "left_out.json"


def needed_beside(target: str) -> str:
    """What `auto` means for the intermediate set where all models are prepared: the target may be selected from it."""
    return NONE if target else "demo:fruits"


def leave_out(folder: str | Path, image_size: int) -> None:
    """Write a marker into `folder`, with the size in pixels that the images would have had."""
    with whole_folder(folder, lambda old: holds_only(old, (MARKER,))) as new:
        write_json(new / MARKER, {"image_size": image_size})


def left_out(folder: str | Path) -> int | None:
    """Return the image size where `folder` is a set that was left out, else None."""
    try:
        return int(read_json(Path(folder) / MARKER)["image_size"])
    except FileNotFoundError:
        return None
