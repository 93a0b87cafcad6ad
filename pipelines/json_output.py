"""`--json`: a command prints its result as one JSON document on standard output, and nothing else there."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click
from pydantic import BaseModel

from headstart.components.credentials import masked
from headstart.components.foreign_text import echo

Function = TypeVar("Function", bound=Callable[..., Any])


def json_option(function: Function) -> Function:
    """Add `--json`; the command receives it as `as_json`."""
    return click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")(function)


def say(text: object) -> None:
    """Print lines for people: on standard error where `--json` has standard output for itself."""
    context = click.get_current_context(silent=True)
    echo(text, err=bool(context and context.params.get("as_json")))


def print_json(value: Any) -> None:
    """Print `value` as JSON; control characters of foreign names are escaped by the format itself."""
    click.echo(json.dumps(plain(value), indent=1, ensure_ascii=True, allow_nan=False))


def plain(value: Any) -> Any:
    """Return models, data classes, paths and containers as what JSON has, without secrets; functions are left out."""
    if isinstance(value, BaseModel):
        return plain(value.model_dump(mode="json"))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {name: plain(inner) for name, inner in fields.items() if not callable(inner)}
    if isinstance(value, dict):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner) for inner in value]
    return masked(str(value)) if isinstance(value, Path | str) else value
