"""`headstart schedule`: a pipeline on a cluster, by the clock."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click

from components.errors import SettingError
from pipelines.placement_options import placement_options, read_placement

DEFAULT_NAME = "headstart-retraining"
TIMES = 5


@click.command()
@click.argument("pipeline", type=click.Choice(["retraining", "experiment"]), required=False)
@click.option(
    "--cron", "expression", metavar="EXPR", help="Five fields as in a crontab, six with the second first, or @daily."
)
@click.option(
    "--name", metavar="NAME", help="Name of the schedule; the same name is replaced.  [default: headstart-PIPELINE]"
)
@click.option(
    "-p",
    "--parameter",
    "parameters",
    multiple=True,
    metavar="NAME=VALUE",
    help="Parameter of the pipeline; repeatable.",
)
@click.option(
    "--package",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Compiled package; default: compile now.",
)
@click.option(
    "--timezone", "zone_name", default="UTC", show_default=True, help="Time zone that the cluster's schedules run in."
)
@click.option("--paused", is_flag=True, help="Create it paused.")
@click.option("--dry-run", is_flag=True, help="Explain the expression and its next times; touch no cluster.")
@click.option("--list", "show", is_flag=True, help="List the schedules.")
@click.option("--pause", "pause", metavar="NAME", help="Start no run until it is resumed.")
@click.option(
    "--resume", "resume", metavar="NAME", help="Let a paused schedule go on; what it missed is not caught up."
)
@click.option("--delete", "delete", metavar="NAME", help="Delete a schedule; runs that it started go on.")
@click.option(
    "--host", default="", help="URL of Kubeflow Pipelines.  [default: KF_PIPELINES_ENDPOINT, this cluster, kubeconfig]"
)
@click.option("--namespace", default="", help="Your namespace on a server with several users.")
@click.option("--experiment", default="headstart", show_default=True, help="Experiment in which the runs appear.")
@click.option("--service-account", default="", help="Kubernetes service account of the runs.")
@click.option("--pipeline-root", default="", help="Where artifacts go, for example gs://BUCKET/PREFIX.")
@click.option("--token", default="", help="Bearer token; also KF_PIPELINES_TOKEN.")
@placement_options
def command(
    pipeline: str | None,
    expression: str | None,
    name: str | None,
    parameters: tuple[str, ...],
    package: Path | None,
    zone_name: str,
    paused: bool,
    dry_run: bool,
    show: bool,
    pause: str | None,
    resume: str | None,
    delete: str | None,
    host: str,
    namespace: str,
    experiment: str,
    service_account: str,
    pipeline_root: str,
    token: str,
    **placement: Any,
) -> None:
    """Run PIPELINE on a cluster by the clock; the same name again replaces the schedule.

    headstart schedule retraining --cron '30 2 * * 1' -p store=gs://BUCKET/models -p data=gs://BUCKET/fruits.tar.gz
    """
    chosen = [
        flag
        for flag, given in (("--list", show), ("--pause", pause), ("--resume", resume), ("--delete", delete))
        if given
    ]
    if len(chosen) + bool(pipeline) != 1:
        raise SettingError(
            f"schedule: {' and '.join([*chosen, *([pipeline] if pipeline else [])]) or 'nothing'} given.",
            "Expected one of: a PIPELINE, --list, --pause NAME, --resume NAME, --delete NAME.",
        )
    if pipeline:
        _put(
            pipeline, expression, name or f"headstart-{pipeline}", parameters, package, zone_name, paused, dry_run,
            {"host": host, "token": token}, namespace, experiment, service_account, pipeline_root, placement,
        )  # fmt: skip
        return
    from pipelines.submission.connection import connect

    connection = connect(host, token=token)
    if show:
        _list(connection, namespace, zone_name)
    elif delete:
        _delete(connection, delete, namespace)
    else:
        _set_enabled(connection, str(pause or resume), namespace, bool(resume), zone_name)


def _put(
    pipeline: str,
    expression: str | None,
    name: str,
    pairs: tuple[str, ...],
    package_file: Path | None,
    zone_name: str,
    paused: bool,
    dry_run: bool,
    address: dict[str, str],
    namespace: str,
    experiment: str,
    service_account: str,
    pipeline_root: str,
    placement: dict[str, Any],
) -> None:
    from pipelines.cron import EXAMPLE, parse_cron, read_zone
    from pipelines.packages import compile_package, read_package
    from pipelines.submission.runs import typed_parameters

    if expression is None:
        raise SettingError("--cron is missing: when is it to run?", EXAMPLE)
    cron, zone = parse_cron(expression), read_zone(zone_name)
    cron.next_times(1, zone)
    with tempfile.TemporaryDirectory(prefix="headstart-schedule-") as scratch:
        if package_file:
            package = read_package(package_file)
        else:
            package = compile_package(pipeline, Path(scratch) / f"{pipeline}.yaml", read_placement(**placement))  # type: ignore[arg-type]
        values = typed_parameters(package, _pairs(pairs))
        if not dry_run:
            from pipelines.schedules import put_schedule
            from pipelines.submission.connection import connect
            from pipelines.submission.runs import ask_server, find_or_create_experiment, require_version

            connection = connect(**address)
            require_version(ask_server(connection), connection.host)
            new, old = put_schedule(
                connection,
                package,
                name=name,
                cron=cron,
                experiment_id=find_or_create_experiment(connection, experiment, namespace),
                parameters=values,
                namespace=namespace,
                service_account=service_account,
                pipeline_root=pipeline_root,
                paused=paused,
            )
            click.echo(f"{'Replaced' if old else 'Created'} schedule {name}{'' if new.enabled else ', paused'}.")
    click.echo(f"{cron.describe()}.  In Kubeflow Pipelines: {cron.expression}")
    click.echo(
        f"The time zone is that of the cluster (cronScheduleTimezone), taken here to be {zone_name}. Next times:"
    )
    for moment in cron.next_times(TIMES, zone):
        click.echo(f"  {moment:%a %Y-%m-%d %H:%M:%S %Z}")
    if not dry_run:
        click.echo("Missed times are not caught up; one run at a time.")


def _pairs(pairs: tuple[str, ...]) -> dict[str, str]:
    values: dict[str, str] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise SettingError(f"-p {pair!r}: expected NAME=VALUE.")
        values[key] = value
    return values


def _next_time(expression: str, zone_name: str) -> str:
    from components.errors import HeadstartError
    from pipelines.cron import parse_cron, read_zone

    zone = read_zone(zone_name)
    try:
        return f"{parse_cron(expression).next_times(1, zone)[0]:%a %Y-%m-%d %H:%M %Z}"
    except HeadstartError:  # made by somebody else, in a form we do not read
        return "–"


def _list(connection: Any, namespace: str, zone_name: str) -> None:
    from rich.console import Console
    from rich.table import Table

    from pipelines.schedules import list_schedules

    schedules = list_schedules(connection, namespace)
    if not schedules:
        click.echo(f"{connection.host} has no schedule.")
        return
    table = Table(box=None, pad_edge=False, padding=(0, 3, 0, 0))
    for title in ("name", "pipeline", "cron", "state", "next", "data"):
        table.add_column(title, overflow="fold")
    for schedule in schedules:
        table.add_row(
            schedule.name,
            schedule.pipeline or "–",
            schedule.cron or "–",
            "on" if schedule.enabled else "paused",
            _next_time(schedule.cron, zone_name) if schedule.enabled and schedule.cron else "–",
            str(schedule.parameters.get("data", "–")),
        )
    Console().print(table, highlight=False)


def _set_enabled(connection: Any, name: str, namespace: str, enabled: bool, zone_name: str) -> None:
    from pipelines.schedules import find_schedules, set_enabled

    for schedule in find_schedules(connection, name, namespace):
        set_enabled(connection, schedule, enabled)
        if enabled:
            click.echo(f"Schedule {name} goes on; next: {_next_time(schedule.cron, zone_name)}.")
        else:
            click.echo(f"Schedule {name} is paused.")


def _delete(connection: Any, name: str, namespace: str) -> None:
    from pipelines.schedules import delete_schedule, find_schedules

    for schedule in find_schedules(connection, name, namespace):
        delete_schedule(connection, schedule)
        click.echo(f"Schedule {name} ({schedule.cron}) is deleted.")
