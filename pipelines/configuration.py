"""`--config FILE`: options from a TOML or YAML file, under the names that they have on the command line."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from headstart.components.credentials import masked_address
from headstart.components.datasets.left_out import NONE
from headstart.components.errors import SettingError, suggestion
from headstart.components.regular_files import read_text
from headstart.pipelines.options import options_given
from headstart.pipelines.yaml_files import LARGEST_SETTINGS, read_mapping

# Options that name a data set or a model.
ADDRESSES = ("cifar100", "fruits360", "source", "intermediate", "target", "prepared")
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
            # `settings` is what Python and a pipeline call --set.
            called = {(option.name or "").replace("_", "-"): known for known, option in options.items()}
            near = f" Did you mean {called[name]}?" if name in called else suggestion(name, options)
            raise SettingError(
                f"--config {file}: {key!r} is not an option of `{ctx.command_path}`.{near}",
                f"`{ctx.command_path} --help` lists them.",
            )
        option = options[name]
        assert option.name is not None
        if option.name in values:
            raise SettingError(f"--config {file}: {key!r} says again what another line says.", "Keep one of them.")
        values[option.name] = found = _value(file, key, value, option)
        try:
            option.process_value(ctx, found)
        except click.BadParameter as error:
            raise SettingError(f"--config {file}: {key!r}: {error.message}") from error
    ctx.default_map = {**(ctx.default_map or {}), **values}


def _names(option: click.Option) -> list[str]:
    return [text.lstrip("-") for text in option.opts if text.startswith("--")]


def _value(file: Path, key: str, value: Any, option: click.Option) -> Any:
    """Return `value` as the command line would give it: tables and lists become NAME=VALUE and repeated values."""
    if value is None:
        raise SettingError(f"--config {file}: {key!r} has no value.", "Remove the line, or give it one.")
    if option.is_flag and not isinstance(value, bool):
        raise SettingError(f"--config {file}: {key!r}: found {value!r}, expected true or false.")

    def text(value: Any) -> str:
        try:
            return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise SettingError(
                f"--config {file}: {key!r}: found {value!r}; expected a text, a finite number, true or false, or a "
                "list.",
                "Put a date into quotes." if isinstance(error, TypeError) else "",
            ) from error

    if isinstance(value, dict):
        if not option.multiple:
            raise SettingError(f"--config {file}: {key!r} is a table, but takes one value.")
        if option.name == "settings":
            # TOML takes `target.batch_size = 64` for a table in a table.
            value = {
                f"{name}.{below}" if below else str(name): inner
                for name, table in value.items()
                for below, inner in (table.items() if isinstance(table, dict) else [("", table)])
            }
        return [f"{name}={text(inner)}" for name, inner in value.items()]
    if isinstance(value, list):
        return [text(item) for item in value] if option.multiple else ",".join(text(item) for item in value)
    if option.multiple:
        return [text(value)]
    return value if option.is_flag else text(value)


def whole_path(uri: str) -> str:
    """Return a local path from the root on, and anything else that names a set or a model as it is."""
    if not uri or uri == NONE or "://" in uri or uri.startswith("demo:"):
        return uri
    return str(Path(uri).expanduser().resolve())


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


def options_of_call(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of `headstart.run_experiment` as a file for `--config` would say them.

    Without those that are no options of the command: `verbose`, and the price of a label where it is no curve.
    """
    names = {"settings": "set", "data_settings": "data-setting"}
    without = ("verbose",) if options.get("sizes") else ("verbose", "price_per_label")
    given = {names.get(name, name.replace("_", "-")): value for name, value in options.items() if name not in without}
    return {name: _of_call(name, value) for name, value in given.items() if value is not None and value is not False}


def spelled_out(configuration: Mapping[str, Any]) -> list[str]:
    """Return what a file for `--config` says as options of the command line."""
    words: list[str] = []
    for name, value in configuration.items():
        repeated = [f"{key}={inner}" for key, inner in value.items()] if isinstance(value, Mapping) else value
        for item in repeated if isinstance(repeated, list | tuple) else [repeated]:
            if isinstance(item, bool):
                words += [f"--{name}"] * item
            else:
                words += [f"--{name}", str(item)]
    return words


def _of_call(name: str, value: Any) -> Any:
    if name in ("set", "data-setting"):
        return [f"{key}={inner if isinstance(inner, str) else json.dumps(inner)}" for key, inner in value.items()]
    if name in ADDRESSES:
        if isinstance(value, Sequence) and not isinstance(value, str):
            return [_of_call(name, one) for one in value]
        return masked_address(whole_path(str(value)))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ",".join(map(str, value))
    return dict(value) if isinstance(value, Mapping) else value


def given_options(ctx: click.Context) -> dict[str, Any]:
    """Return what was given to a command, by its command line or its file, as a file for `--config` would say it.

    Local paths are written whole, so that the file means the same wherever it is used; what is secret in an address is
    left out of it.
    """
    given: dict[str, Any] = {}
    for name, option in options_given(ctx).items():
        value = ctx.params[name]
        where = whole_path if _names(option)[0] in ADDRESSES else str
        if isinstance(value, tuple | list):
            value = [masked_address(where(str(item))) for item in value]
        given[_names(option)[0]] = masked_address(where(str(value))) if isinstance(value, str | Path) else value
    return given
