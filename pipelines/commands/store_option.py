"""The option that names a model store, the same for every command that has one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

Function = TypeVar("Function", bound=Callable[..., Any])


def store_option(function: Function) -> Function:
    """Add `--store`, a local folder, or a gs:// or s3:// URI."""
    return click.option(
        "--store",
        "store_uri",
        required=True,
        envvar="HEADSTART_STORE",
        metavar="URI",
        help="Model store: a folder, gs://BUCKET/PREFIX or s3://BUCKET/PREFIX; also HEADSTART_STORE.",
    )(function)
