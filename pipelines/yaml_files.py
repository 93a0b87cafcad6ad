"""Reads YAML files that a user names, within limits of size, depth and repetition that are looked at while reading."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from headstart.components.errors import SettingError
from headstart.components.regular_files import read_regular

DEEPEST = 60
LARGEST_SETTINGS = 256 * 1024


def read_documents(path: Path, largest: int) -> list[Any]:
    """Return the documents of a YAML file.

    Raises:
        SettingError: it cannot be read, has more than `largest` bytes, nests deeper than DEEPEST, or has aliases, with
            which a small file can stand for one of any size.
    """
    try:
        content = read_regular(path, largest)
        depth = 0
        for event in yaml.parse(content.decode("utf-8"), Loader=yaml.SafeLoader):
            if isinstance(event, yaml.AliasEvent):
                raise SettingError(
                    f"{path}: line {_line(event)}: aliases (*{event.anchor}) are not read.",
                    "Write the value out.",
                )
            depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
            if depth > DEEPEST:
                raise SettingError(f"{path}: line {_line(event)}: nests deeper than {DEEPEST} levels.")
        return list(yaml.safe_load_all(content.decode("utf-8")))
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        raise SettingError(f"{path}: cannot be read as YAML: {error}") from error


def _line(event: yaml.Event) -> int:
    return event.start_mark.line + 1 if event.start_mark else 0


def read_mapping(path: Path, of: str = "fields of a placement") -> dict[str, Any]:
    """Return the one mapping of a YAML file with texts as keys, `of` what; empty for an empty file."""
    documents = read_documents(path, LARGEST_SETTINGS)
    values = documents[0] if documents else None
    if values is None:
        return {}
    if len(documents) > 1 or not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise SettingError(f"{path}: expected one mapping with {of}; names are texts.", "For example NAME: VALUE.")
    return values
