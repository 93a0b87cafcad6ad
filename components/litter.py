"""What lies in folders unasked: files of desktops and archivers, and hidden ones."""

from __future__ import annotations

_OF_SYSTEMS = frozenset({".ds_store", "thumbs.db", "desktop.ini", "__macosx"})


def is_of_a_system(name: str) -> bool:
    """Say whether a system put a file or folder of this name there: nobody misses it."""
    return name.lower() in _OF_SYSTEMS


def is_litter(name: str) -> bool:
    """Say whether a file or folder is hidden or of a system: it is not read as data, and may still be somebody's."""
    return name.startswith(".") or is_of_a_system(name)
