"""`headstart submit`: submit a pipeline to a cluster, follow it to its end, bring the report back."""

from __future__ import annotations

import secrets
import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from headstart.components.console import Console
from headstart.components.errors import HeadstartError, SettingError
from headstart.pipelines.packages import Package, compile_package, read_package
from headstart.pipelines.placement_options import placement_options, read_placement
from headstart.pipelines.setting_options import split_pairs
from headstart.pipelines.submission import runs
from headstart.pipelines.submission.connection import Connection, connect
from headstart.pipelines.submission.failures import explain_failure
from headstart.pipelines.submission.following import Follower, TerminalWatcher
from headstart.pipelines.submission.options import connection_options
from headstart.pipelines.submission.results import download_results
from headstart.pipelines.submission.workflow import fetch_workflow

CANCELED_STATUS = 3


@click.command()
@click.argument("pipeline", required=False)
@click.option("-p", "--parameter", "pairs", multiple=True, metavar="NAME=VALUE", help="A run's parameter; repeatable.")
@connection_options
@click.option("--experiment", default="headstart", show_default=True, help="Experiment to file the run under.")
@click.option("--name", help="Name of the run.  [default: the pipeline's name and the time]")
@click.option("--service-account", default="", help="Service account of the pods.  [default: the server's]")
@click.option("--pipeline-root", default="", metavar="URI", help="Where artifacts go.  [default: the server's]")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Follow the run to its end.")
@click.option(
    "--timeout", type=click.FloatRange(min=0), default=0.0, metavar="MINUTES", help="Wait no longer than this."
)
@click.option("--attach", metavar="RUN_ID", help="Follow a run that was submitted before, instead of a new one.")
@click.option(
    "--output", type=click.Path(file_okay=False, path_type=Path), help="Folder for the report.  [default: outputs/TIME]"
)
@click.option("--parallelism", type=click.IntRange(1, 100), help="As in compile.  [default: 1]")
@placement_options
def command(
    pipeline: str | None,
    pairs: tuple[str, ...],
    host: str,
    namespace: str,
    token: str,
    cookie: str,
    certificate_authority: str,
    experiment: str,
    name: str | None,
    service_account: str,
    pipeline_root: str,
    wait: bool,
    timeout: float,
    attach: str | None,
    output: Path | None,
    parallelism: int | None,
    **placement: Any,
) -> int:
    """Submit PIPELINE (experiment, retraining, or a compiled package), follow it, and bring the report back.

    Ends with 0 where the run succeeded, 1 where it failed, 3 where it was canceled, 4 where --timeout ran out, 5 where
    the API was lost or no longer knows us; in the last two the run goes on. Ctrl-C leaves the run alone.
    """
    console = Console(highlight=False)
    if bool(pipeline) == bool(attach):
        raise SettingError("Give either a PIPELINE to submit or --attach RUN_ID.")
    connection = connect(
        host, namespace=namespace, token=token, cookie=cookie, certificate_authority=certificate_authority
    )
    package: Package | None = None
    if attach:
        run_id = attach
    else:
        package = _package(str(pipeline), parallelism, placement)
        run_id = _start(
            connection, package, pairs, experiment=experiment, name=name, namespace=namespace,
            service_account=service_account, pipeline_root=pipeline_root,
        )  # fmt: skip
        console.print(f"Submitted run {run_id}: {connection.host}/#/runs/details/{run_id}")
    if not wait:
        return 0
    try:
        with TerminalWatcher(console) as watcher:
            run = Follower(connection, package, watcher, timeout_seconds=timeout * 60).wait(run_id)
    except KeyboardInterrupt:
        console.print(f"\nThe run goes on. Follow it again with: headstart submit --attach {run_id}")
        return 130
    return _finish(console, connection, run, run_id, package, output, namespace)


def _package(pipeline: str, parallelism: int | None, placement: dict[str, Any]) -> Package:
    if pipeline in ("experiment", "retraining"):
        build = {"parallelism": parallelism or 1} if pipeline == "experiment" else {}
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / f"{pipeline}.yaml"
            return compile_package(pipeline, file, read_placement(**placement), **build)  # type: ignore[arg-type]
    path = Path(pipeline)
    if not path.is_file():
        raise SettingError(f"{pipeline}: neither experiment nor retraining nor a file.")
    if parallelism is not None or any(value not in (None, ()) for value in placement.values()):
        raise SettingError(
            f"{path} is compiled already; where its tasks run, and how many at once, is fixed in it.",
            "Compile it again.",
        )
    return read_package(path)


def _start(
    connection: Connection,
    package: Package,
    pairs: tuple[str, ...],
    *,
    experiment: str,
    name: str | None,
    namespace: str,
    service_account: str,
    pipeline_root: str,
) -> str:
    parameters = runs.typed_parameters(package, split_pairs(pairs, "-p"))
    server = runs.ask_server(connection)
    runs.require_version(server, connection.host)
    experiment_id = runs.find_or_create_experiment(connection, experiment, namespace if server.multi_user else "")
    # Never the same twice, so that a run whose answer was lost can be found by it.
    unique = name or f"{package.name} {datetime.now():%Y-%m-%d %H-%M-%S} {secrets.token_hex(2)}"
    return runs.create_run(
        connection, package, name=unique, experiment_id=experiment_id, parameters=parameters,
        pipeline_root=pipeline_root, service_account=service_account,
    )  # fmt: skip


def _finish(
    console: Console,
    connection: Connection,
    run: dict[str, Any],
    run_id: str,
    package: Package | None,
    output: Path | None,
    namespace: str,
) -> int:
    state = runs.state_of(run)
    try:
        workflow = fetch_workflow(connection, run_id)
    except HeadstartError as error:
        console.print(f"What lies behind the run cannot be read: {error.message}", style="yellow")
        workflow = None
    if state != "SUCCEEDED":
        explain_failure(console, connection, run, run_id, workflow, package)
    # A run that failed at the last check has its report all the same, and that says why.
    if workflow is not None and workflow.artifacts():
        folder = output or Path("outputs") / f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
        download = download_results(connection, workflow, folder, package=package, namespace=namespace)
        for file in download.files:
            console.print(f"Saved {file}")
        for uri, reason in download.missing if state == "SUCCEEDED" else []:
            console.print(f"Not brought back: {uri}: {reason}", style="yellow")
    elif state == "SUCCEEDED":
        console.print("The API does not say where the report is; it is in the UI.", style="yellow")
    return {"SUCCEEDED": 0, "CANCELED": CANCELED_STATUS}.get(state, 1)
