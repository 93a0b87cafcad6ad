"""Command-line options for the connection to a cluster's API, shared by every command that speaks to it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from headstart.pipelines.submission.connection import COOKIE_VARIABLE, HOST_VARIABLE, TOKEN_VARIABLE

Function = TypeVar("Function", bound=Callable[..., Any])


def connection_options(function: Function) -> Function:
    """Add --host, --namespace, --token, --cookie and --certificate-authority."""
    for option in reversed(
        (
            click.option(
                "--host", default="", metavar="URL",
                help=f"Address of ml-pipeline-ui or ml-pipeline.  [default: {HOST_VARIABLE}, the cluster we are in, or "
                "the kubeconfig's, through its proxy]",
            ),
            click.option(
                "--namespace", "-n", default="kubeflow", show_default=True,
                help="Namespace of Kubeflow Pipelines; where it serves several users, yours.",
            ),
            click.option("--token", default="", help=f"Bearer token.  [default: {TOKEN_VARIABLE}, or a pod's own]"),
            click.option("--cookie", default="", help=f"Cookie of a login page.  [default: {COOKIE_VARIABLE}]"),
            click.option(
                "--certificate-authority", default="", metavar="FILE", help="Certificates to trust for --host, in PEM."
            ),
        )
    ):  # fmt: skip
        function = option(function)
    return function
