"""`headstart export`: results and models for other tools."""

from __future__ import annotations

from pathlib import Path

import click

from headstart.components.foreign_text import echo
from headstart.pipelines.json_output import json_option, print_json


@click.group("export")
def command() -> None:
    """Hand results and models to other tools."""


@command.command("mlflow")
@click.argument("run", metavar="RUN", type=click.Path(path_type=Path))
@click.option(
    "--tracking-uri",
    required=True,
    envvar="MLFLOW_TRACKING_URI",
    show_envvar=True,
    help="Address of the tracking server.",
)
@click.option("--experiment", default="headstart", show_default=True, help="Experiment there; made where it is none.")
@json_option
def mlflow(run: Path, tracking_uri: str, experiment: str, as_json: bool) -> None:
    """Send a run to MLflow: one parent run with the report's files, and one child run per record.

    RUN is the output folder of `headstart run`, or a folder of records. Given again, the command sends what is new or
    has changed, and nothing twice.
    """
    from headstart.pipelines.mlflow_export import export
    from headstart.pipelines.mlflow_server import TrackingServer

    done = export(run, TrackingServer(tracking_uri), experiment)
    if as_json:
        print_json(done)
        return
    states = list(done.runs.values())
    counts = ", ".join(f"{states.count(state)} {state}" for state in ("created", "updated", "unchanged"))
    echo(f"{tracking_uri}, experiment {experiment}: run {done.run_id} ({done.state}) with {counts} below it.")
    if done.left_out:
        echo(f"Files were not stored: {done.left_out}.", err=True)
