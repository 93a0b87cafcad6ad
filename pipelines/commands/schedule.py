"""`headstart schedule`: a pipeline on a cluster, by the clock."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import click

from headstart.components.errors import HeadstartError, SettingError
from headstart.components.foreign_text import echo
from headstart.pipelines.placement_options import placement_options, read_placement
from headstart.pipelines.setting_options import split_pairs
from headstart.pipelines.submission.options import connection_options

TIMES = 5
ADDRESS = ("host", "namespace", "token", "cookie", "certificate_authority")


@click.command()
@click.argument("pipeline", type=click.Choice(["retraining", "experiment", "curve"]), required=False)
@click.option(
    "--cron",
    "expression",
    metavar="EXPR",
    help="When: five fields as in a crontab, six with the second first, or @daily and the like.",
)
@click.option("--name", metavar="NAME", help="Name; the same one is replaced.  [default: headstart-PIPELINE]")
@click.option("-p", "--parameter", "pairs", multiple=True, metavar="NAME=VALUE", help="A run's parameter; repeatable.")
@click.option(
    "--package",
    "package_file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Compiled package.  [default: compile now]",
)
@click.option(
    "--timezone",
    "zone_name",
    default="UTC",
    show_default=True,
    help="Time zone in which the cluster's schedules run (cronScheduleTimezone); for the times that are printed.",
)
@click.option("--paused", is_flag=True, help="Create it paused.")
@click.option("--dry-run", is_flag=True, help="Explain the expression and its next times; ask no cluster.")
@click.option("--list", "show", is_flag=True, help="List the schedules.")
@click.option("--pause", metavar="NAME", help="Start no run until it is resumed.")
@click.option("--resume", metavar="NAME", help="Let a paused schedule go on; what it missed is not caught up.")
@click.option("--delete", metavar="NAME", help="Delete a schedule that has no run under way.")
@click.option(
    "--end-runs", is_flag=True, help="End the runs under way of a schedule that is deleted or replaced; else it stays."
)
@connection_options
@click.option("--experiment", default="headstart", show_default=True, help="Experiment to file the runs under.")
@click.option("--service-account", default="", help="Service account of the pods.  [default: the server's]")
@click.option("--pipeline-root", default="", metavar="URI", help="Where artifacts go.  [default: the server's]")
@placement_options
def command(
    pipeline: str | None, show: bool, pause: str | None, resume: str | None, delete: str | None, **options: Any
) -> None:
    """Run PIPELINE on a cluster by the clock; the same name again replaces the schedule.

      headstart schedule retraining --cron '30 2 * * 1' -p store=gs://BUCKET/models -p data=gs://BUCKET/fruits.tar.gz
    """  # fmt: skip
    flags = {"--list": show, "--pause": pause, "--resume": resume, "--delete": delete}
    chosen = [flag for flag, given in flags.items() if given] + ([pipeline] if pipeline else [])
    if len(chosen) != 1:
        raise SettingError(
            f"schedule: {' and '.join(chosen) or 'nothing'} given.",
            "Expected one of: a PIPELINE, --list, --pause NAME, --resume NAME, --delete NAME.",
        )
    if pipeline:
        _put(pipeline, options)
        return
    connection, namespace = _connect(options)
    if show:
        _list(connection, namespace, options["zone_name"])
    elif delete:
        _delete(connection, delete, namespace, options["end_runs"])
    else:
        _set_enabled(connection, str(pause or resume), namespace, bool(resume), options["zone_name"])


def _connect(options: dict[str, Any]) -> tuple[Any, str]:
    """Return the connection and the namespace to ask for, which is empty on a server for one user."""
    from headstart.pipelines.submission.connection import LostConnectionError, UnauthorisedError, connect
    from headstart.pipelines.submission.runs import ask_server, require_version

    connection = connect(**{name: options[name] for name in ADDRESS})
    try:
        server = ask_server(connection)
    except (LostConnectionError, UnauthorisedError) as error:
        # Its own status is for a run that goes on.
        raise HeadstartError(f"{error.message} Nothing was changed.", error.remedy) from error
    require_version(server, connection.host)
    return connection, str(options["namespace"]) if server.multi_user else ""


def _put(pipeline: str, options: dict[str, Any]) -> None:
    from headstart.pipelines.cron import EXAMPLE, parse_cron, read_zone
    from headstart.pipelines.schedules import list_schedules, put_schedule
    from headstart.pipelines.submission.runs import find_or_create_experiment, typed_parameters

    if options["expression"] is None:
        raise SettingError("--cron is missing: when is it to run?", EXAMPLE)
    cron, zone = parse_cron(options["expression"]), read_zone(options["zone_name"])
    times = cron.next_times(TIMES, zone)
    package = _package(pipeline, options)
    parameters = typed_parameters(package, split_pairs(options["pairs"], "-p"))
    if not options["dry_run"]:
        name = options["name"] or f"headstart-{pipeline}"
        connection, namespace = _connect(options)
        known = {schedule.identity for schedule in list_schedules(connection, namespace)}
        new, old = put_schedule(
            connection,
            package,
            name=name,
            cron=cron,
            experiment_id=find_or_create_experiment(connection, options["experiment"], namespace),
            parameters=parameters,
            namespace=namespace,
            service_account=options["service_account"],
            pipeline_root=options["pipeline_root"],
            paused=options["paused"],
            end_runs=options["end_runs"],
        )
        done = "Replaced" if old else "Unchanged:" if new.identity in known else "Created"
        echo(f"{done} schedule {name}{'' if new.enabled else ', paused'}.")
        echo("Missed times are not caught up; one run at a time.")
    echo(f"{cron.describe()}.  In Kubeflow Pipelines: {cron.expression}")
    echo(
        f"The time zone is that of the cluster (cronScheduleTimezone), taken here to be {options['zone_name']}. "
        "Next times:"
    )
    for moment in times:
        echo(f"  {moment:%a %Y-%m-%d %H:%M:%S %Z}")


def _package(pipeline: str, options: dict[str, Any]) -> Any:
    from headstart.pipelines.packages import compile_package, read_package

    others = {*ADDRESS, "expression", "name", "pairs", "package_file", "zone_name", "paused", "end_runs", "dry_run",
              "experiment", "service_account", "pipeline_root"}  # fmt: skip
    placement = {name: value for name, value in options.items() if name not in others}
    if not options["package_file"]:
        with tempfile.TemporaryDirectory(prefix="headstart-schedule-") as folder:
            return compile_package(pipeline, Path(folder) / f"{pipeline}.yaml", read_placement(**placement))  # type: ignore[arg-type]
    if any(value not in (None, ()) for value in placement.values()):
        raise SettingError(
            f"{options['package_file']} is compiled already; where its tasks run is fixed in it.", "Compile it again."
        )
    return read_package(options["package_file"])


def _next_time(expression: str, zone_name: str) -> str:
    from headstart.pipelines.cron import parse_cron, read_zone

    zone = read_zone(zone_name)
    try:
        return f"{parse_cron(expression).next_times(1, zone)[0]:%a %Y-%m-%d %H:%M %Z}"
    except HeadstartError:  # made by somebody else, in a form we do not read
        return "–"


def _list(connection: Any, namespace: str, zone_name: str) -> None:
    from rich.table import Table

    from headstart.components.console import Console
    from headstart.pipelines.schedules import list_schedules

    schedules = list_schedules(connection, namespace)
    if not schedules:
        echo(f"{connection.host} has no schedule.")
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
    from headstart.pipelines.schedules import find_schedules, set_enabled

    for schedule in find_schedules(connection, name, namespace):
        set_enabled(connection, schedule, enabled)
        if enabled:
            echo(f"Schedule {name} goes on; next: {_next_time(schedule.cron, zone_name)}.")
        else:
            echo(f"Schedule {name} is paused.")


def _delete(connection: Any, name: str, namespace: str, end_runs: bool) -> None:
    from headstart.pipelines.schedules import delete_schedule, find_schedules, require_idle

    for schedule in find_schedules(connection, name, namespace):
        require_idle(connection, schedule, namespace, end_runs=end_runs)
        delete_schedule(connection, schedule)
        echo(f"Schedule {name} ({schedule.cron}) is deleted.")
