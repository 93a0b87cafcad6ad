"""`--config FILE`: options from a TOML or YAML file, under the names that they have on the command line."""

from __future__ import annotations

import difflib
import json
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from headstart.components.credentials import masked_address
from headstart.components.errors import SettingError
from headstart.components.regular_files import read_text
from headstart.pipelines.yaml_files import LARGEST_SETTINGS, read_mapping

Function = TypeVar("Function", bound=Callable[..., Any])


def config_option(function: Function) -> Function:
    """Add `--config FILE` to a command; what the command line gives wins over the file."""
    return click.option(
        "--config",
        type=click.Path(path_type=Path),
        is_eager=True,
        expose_value=False,
        callback=_take_defaults_from,
        help="TOML or YAML file with options under their names, such as runs = 3.",
    )(function)


def _take_defaults_from(ctx: click.Context, _: click.Parameter, file: Path | None) -> None:
    if file is None:
        return
    options = {name: option for option in ctx.command.params if isinstance(option, click.Option)
               for name in _names(option)}  # fmt: skip
    values: dict[str, Any] = {}
    for key, value in read_configuration(file).items():
        name = str(key).replace("_", "-")
        if name not in options or name == "config":
            near = difflib.get_close_matches(name, options, 1)
            raise SettingError(
                f"--config {file}: {key!r} is not an option of `{ctx.command_path}`."
                + (f" Did you mean {near[0]}?" if near else ""),
                f"`{ctx.command_path} --help` lists them.",
            )
        option = options[name]
        assert option.name is not None
        if option.name in values:
            raise SettingError(f"--config {file}: {key!r} says again what another line says.", "Keep one of them.")
        values[option.name] = _value(file, key, value, option)
    ctx.default_map = {**(ctx.default_map or {}), **values}


def _names(option: click.Option) -> list[str]:
    return [text.lstrip("-") for text in option.opts if text.startswith("--")]


def _value(file: Path, key: str, value: Any, option: click.Option) -> Any:
    """Return `value` as the command line would give it: tables and lists become NAME=VALUE and repeated values."""
    if value is None:
        raise SettingError(f"--config {file}: {key!r} has no value.", "Remove the line, or give it one.")
    if isinstance(value, dict):
        if not option.multiple:
            raise SettingError(f"--config {file}: {key!r} is a table, but takes one value.")
        return [f"{name}={_text(inner)}" for name, inner in value.items()]
    if isinstance(value, list):
        return [_text(item) for item in value] if option.multiple else ",".join(_text(item) for item in value)
    if option.multiple:
        return [_text(value)]
    return value if option.is_flag else _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def read_configuration(file: Path) -> dict[str, Any]:
    """Read the table in a TOML (.toml) or YAML (.yaml, .yml) file; SettingError where it holds anything else."""
    if not file.is_file():
        what = "it is no regular file" if file.exists() else "there is no such file"
        raise SettingError(f"--config {file}: {what}.")
    if file.suffix in (".yaml", ".yml"):
        return read_mapping(file, "options")
    if file.suffix != ".toml":
        raise SettingError(f"--config {file}: expected a name that ends in .toml, .yaml or .yml.")
    try:
        text = read_text(file, LARGEST_SETTINGS)
    except (OSError, UnicodeDecodeError) as error:
        raise SettingError(f"--config {file}: cannot be read as text: {error}.") from error
    try:
        return tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise SettingError(f"--config {file}: not TOML: {error}.") from error


def given_options(ctx: click.Context) -> dict[str, Any]:
    """Return what was given to a command, by its command line or its file, as a file for `--config` would say it."""
    given: dict[str, Any] = {}
    defaults = (click.core.ParameterSource.DEFAULT, None)
    for option in ctx.command.params:
        if not isinstance(option, click.Option) or not option.name or not option.expose_value:
            continue
        if ctx.get_parameter_source(option.name) in defaults:
            continue
        value = ctx.params[option.name]
        if isinstance(value, tuple | list):
            value = [masked_address(str(item)) for item in value]
        given[_names(option)[0]] = masked_address(str(value)) if isinstance(value, str | Path) else value
    return given
