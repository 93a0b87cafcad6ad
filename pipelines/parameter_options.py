"""The option with which a run's parameters are given: one by one, or from a file."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from headstart.components.errors import SettingError
from headstart.pipelines.setting_options import split_pairs
from headstart.pipelines.yaml_files import read_mapping

Function = TypeVar("Function", bound=Callable[..., Any])


def parameter_option(function: Function) -> Function:
    """Add `-p NAME=VALUE` and `-p @FILE`, which may be repeated and mixed; the command receives them as `pairs`."""
    return click.option(
        "-p", "--parameter", "pairs", multiple=True, metavar="NAME=VALUE|@FILE",
        help="A run's parameter, or a YAML or JSON file of parameters; repeatable. A single one goes before a file's.",
    )(function)  # fmt: skip


def read_parameters(given: Sequence[str]) -> dict[str, str]:
    """Return the texts of parameters by name; what a file says other than as text is JSON.

    SettingError for a file that cannot be read, and for a name in two files or twice by itself.
    """
    values: dict[str, str] = {}
    for file in (Path(text[1:]).expanduser() for text in given if text.startswith("@")):
        if not file.is_file():
            raise SettingError(f"-p @{file}: there is no such file.", "Name a YAML or JSON file of parameters.")
        for name, value in read_mapping(file, "parameters of a run, NAME: VALUE").items():
            if name in values:
                raise SettingError(f"-p @{file}: {name!r} is in another file too.", "Keep one of them.")
            values[name] = value if isinstance(value, str) else _json(file, name, value)
    return values | split_pairs([text for text in given if not text.startswith("@")], "-p", example="preset=fast")


def _json(file: Path, name: str, value: Any) -> str:
    if value is None:
        raise SettingError(f"-p @{file}: {name}: has no value.", "Leave it out for its default.")
    try:
        return json.dumps(value, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise SettingError(
            f"-p @{file}: {name}: found {value!r}, which JSON has no value for ({error}).",
            "Expected a text, a finite number, true or false, a list or a mapping; put a date into quotes.",
        ) from error
