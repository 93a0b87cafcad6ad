"""`headstart submit`: submit a pipeline to a cluster, follow it to its end, bring the report back."""

from __future__ import annotations

import math
from datetime import datetime
from pathlib import Path
from typing import Any

import click

from headstart.components.console import Console
from headstart.components.errors import HeadstartError, SettingError, suggestion
from headstart.pipelines.json_output import Submitted, json_option, print_json
from headstart.pipelines.options import (
    changed_options,
    connection_options,
    parameter_option,
    read_parameters,
    refuse_beside,
)
from headstart.pipelines.own_files import check_report_folder
from headstart.pipelines.packages import PIPELINES, Package, compile_now, read_package
from headstart.pipelines.placement_options import placement_options, read_placement
from headstart.pipelines.submission import runs
from headstart.pipelines.submission.answers import Run
from headstart.pipelines.submission.connection import connect
from headstart.pipelines.submission.failures import explain_failure
from headstart.pipelines.submission.following import Follower, TerminalWatcher
from headstart.pipelines.submission.records import report_here
from headstart.pipelines.submission.results import download_results
from headstart.pipelines.submission.workflow import run_page

CANCELED_STATUS = 3


@click.command()
@click.argument("pipeline", required=False)
@parameter_option
@connection_options
@click.option("--experiment", default="headstart", show_default=True, help="Experiment to file the run under.")
@click.option("--name", metavar="NAME", help="Name of the run.  [default: the pipeline's name and the time]")
@click.option("--service-account", default="", help="Service account of the pods.  [default: the server's]")
@click.option("--pipeline-root", default="", metavar="URI", help="Where artifacts go.  [default: the server's]")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Follow the run to its end.")
@click.option(
    "--timeout",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    metavar="MINUTES",
    help="Wait no longer than this; 0: to the end.",
)
@click.option("--attach", metavar="RUN_ID", help="Follow a run that was submitted before, instead of a new one.")
@click.option(
    "--output", "-o", type=click.Path(file_okay=False, path_type=Path), help="Folder to write.  [default: outputs/TIME]"
)
@click.option("--parallelism", type=click.IntRange(1, 100), help="As in compile.  [default: 1]")
@placement_options
@json_option
def command(
    pipeline: str | None,
    pairs: tuple[str, ...],
    address: dict[str, str],
    experiment: str,
    name: str | None,
    service_account: str,
    pipeline_root: str,
    wait: bool,
    timeout: float,
    attach: str | None,
    output: Path | None,
    parallelism: int | None,
    placement: dict[str, Any],
    as_json: bool,
) -> int:
    """Submit PIPELINE (experiment, curve, retraining, or a compiled package), follow it, and bring the report back.

    Exit status: 0 where the run succeeded, or failed after everything that is compared was measured and is sound; 1
    where it failed otherwise or nothing was submitted, 2 for wrong use, 3 where the run was canceled, 4 where
    --timeout ran out, 5 where the API stopped answering or no longer accepts the credentials; in the last two a run
    that was started goes on. Ctrl-C leaves the run alone. Where the pipeline could not make its report, it is made
    here, from the records that are in the store.
    """
    console = Console(stderr=as_json)
    if bool(pipeline) == bool(attach):
        raise SettingError("Give either a PIPELINE to submit or --attach RUN_ID.")
    changed = changed_options()
    if attach:
        follows = {*address, "attach", "wait", "timeout", "output", "as_json"}
        unheeded = [option for name, option in changed.items() if name not in follows]
        refuse_beside("--attach", [*unheeded, *([] if wait else ["--no-wait"])])
    if not wait:
        refuse_beside("--no-wait", [changed[name] for name in ("timeout", "output") if name in changed])
    if output:
        check_report_folder(output, "--output")
    namespace = address["namespace"]
    package: Package | None = None
    if attach:
        run_id, connection = attach, connect(**address)
    else:
        # What can be wrong here is looked at before any cluster is asked.
        package = _package(str(pipeline), parallelism, placement)
        parameters = runs.typed_parameters(package, read_parameters(pairs))
        with runs.nothing_done("submitted"):
            connection = connect(**address)
            own_namespace = runs.namespace_of(connection, namespace)
            run_id = runs.create_run(
                connection, package, name=name or runs.unique_name(package.name),
                experiment_id=runs.find_or_create_experiment(connection, experiment, own_namespace),
                parameters=parameters, pipeline_root=pipeline_root, service_account=service_account,
            )  # fmt: skip
        console.print(f"Submitted run {run_id}: {run_page(connection.host, run_id)}")
    done = Submitted(run_id=run_id, url=run_page(connection.host, run_id), state="", status=0)
    if not wait:
        return _ended(done, as_json)
    try:
        with TerminalWatcher(console) as watcher:
            follower = Follower(connection, package, watcher, timeout_seconds=timeout * 60)
            run = follower.wait(run_id)
    except KeyboardInterrupt:
        console.print(f"\nThe run goes on. Follow it again with: headstart submit --attach {run_id}")
        return 130
    connection.deadline = math.inf
    done.status = _finish(console, follower, run, done, output, namespace)
    return _ended(done, as_json)


def _ended(done: Submitted, as_json: bool) -> int:
    if as_json:
        print_json(done)
    return done.status


def _package(pipeline: str, parallelism: int | None, placement: dict[str, Any]) -> Package:
    if pipeline in PIPELINES:
        return compile_now(pipeline, read_placement(**placement), parallelism=parallelism or 1)
    path = Path(pipeline)
    if not path.is_file():
        near = suggestion(pipeline, PIPELINES)
        raise SettingError(f"{pipeline}: none of {', '.join(PIPELINES)}, nor a file.{near}")
    if _says_where(parallelism, placement):
        raise SettingError(
            f"{path} is compiled already; where its tasks run, and how many at once, is fixed in it.",
            "Compile it again.",
        )
    return read_package(path)


def _says_where(parallelism: int | None, placement: dict[str, Any]) -> bool:
    """Say whether an option of a placement, or --parallelism, was given."""
    return parallelism is not None or any(value not in (None, ()) for value in placement.values())


def _finish(
    console: Console, follower: Follower, run: Run, done: Submitted, output: Path | None, namespace: str
) -> int:
    connection, package, workflow = follower.connection, follower.package, follower.workflow
    state = done.state = runs.state_of(run)
    if state != "SUCCEEDED":
        explain_failure(console, follower, run)
    folder = output or Path("outputs") / f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
    reported = False
    # A run that failed at the last check has its report all the same, and that says why.
    if workflow is not None and workflow.artifacts():
        download = download_results(connection, workflow, folder, package=package, namespace=namespace)
        for file in download.files:
            console.print(f"Saved {file}")
        for uri, reason in download.missing if state == "SUCCEEDED" else []:
            console.print(f"Not brought back: {uri}: {reason}", style="yellow")
        done.files = [str(file) for file in download.files]
        reported = any(file.suffix == ".html" for file in download.files)
    elif state == "SUCCEEDED":
        console.print("The API does not say where the report is; it is in the UI.", style="yellow")
    if state != "SUCCEEDED" and not reported:
        try:
            complete = report_here(console, connection, workflow, run, folder, namespace)
        except HeadstartError as error:
            console.print(f"No report could be made from what is in the store: {error}", style="yellow")
            complete = None
        reported = complete is not None
        if reported:
            done.files = [str(file) for file in sorted(folder.rglob("*")) if file.is_file()]
        if complete and state == "FAILED":
            done.output = str(folder)
            return 0
    done.output = str(folder) if done.files else None
    return {"SUCCEEDED": 0, "CANCELED": CANCELED_STATUS}.get(state, 1)
