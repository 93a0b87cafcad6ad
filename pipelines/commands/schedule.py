"""`headstart schedule`: a pipeline on a cluster, at set times or intervals."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import click

from headstart.components.console import Console, columns
from headstart.components.errors import HeadstartError, SettingError
from headstart.pipelines import schedules
from headstart.pipelines.cron import EXAMPLE, parse_cron, parse_interval, read_zone
from headstart.pipelines.json_output import ScheduleChange, ScheduleLine, Schedules, json_option, print_json, say
from headstart.pipelines.options import (
    changed_options,
    connection_options,
    parameter_option,
    read_parameters,
    refuse_beside,
)
from headstart.pipelines.packages import Package, PipelineName, compile_now, read_package
from headstart.pipelines.placement_options import placement_options, read_placement
from headstart.pipelines.submission import runs
from headstart.pipelines.submission.connection import Connection, connect
from headstart.pipelines.submission.workflow import run_page

TIMES = 5


@click.command()
@click.argument("pipeline", type=click.Choice(["retraining", "experiment", "curve"]), required=False)
@click.option(
    "--cron",
    "expression",
    metavar="EXPR",
    help="When: five fields as in a crontab, six with the second first, or @daily and the like.",
)
@click.option("--every", metavar="INTERVAL", help="When: 90m, 6h or 2d, the first time one interval from now.")
@click.option(
    "--name", metavar="NAME", help="Name of the schedule; the same one is replaced.  [default: headstart-PIPELINE]"
)
@parameter_option
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
@click.option("--run-now", metavar="NAME", help="Start what a schedule starts, once, without waiting for its time.")
@click.option("--delete", metavar="NAME", help="Delete a schedule that has no run under way.")
@click.option(
    "--end-runs",
    is_flag=True,
    help="End the runs under way of a schedule that is deleted or replaced; without it such a schedule stays as it is.",
)
@connection_options
@click.option("--experiment", default="headstart", show_default=True, help="Experiment to file the runs under.")
@click.option("--service-account", default="", help="Service account of the pods.  [default: the server's]")
@click.option("--pipeline-root", default="", metavar="URI", help="Where artifacts go.  [default: the server's]")
@placement_options
@json_option
def command(
    pipeline: PipelineName | None,
    show: bool,
    pause: str | None,
    resume: str | None,
    run_now: str | None,
    delete: str | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Run PIPELINE on a cluster at set times; the same name again replaces the schedule.

      headstart schedule retraining --cron '30 2 * * 1' -p store=gs://BUCKET/models -p data=gs://BUCKET/fruits.tar.gz
    """  # fmt: skip
    flags = {"--list": show, "--pause": pause, "--resume": resume, "--run-now": run_now,
             "--delete": delete}  # fmt: skip
    chosen = [flag for flag, given in flags.items() if given] + ([pipeline] if pipeline else [])
    if len(chosen) != 1:
        raise SettingError(
            f"schedule: {' and '.join(chosen) or 'nothing'} given.",
            "Expected one of: a PIPELINE, --list, --pause NAME, --resume NAME, --run-now NAME, --delete NAME.",
        )
    done: ScheduleChange | Schedules
    if pipeline:
        done = _put(pipeline, options)
    else:
        heeded = {*options["address"], "show", "pause", "resume", "run_now", "delete", "as_json"}
        heeded |= {"end_runs"} if delete else {"zone_name"} if show or resume else set()
        refused = [option for name, option in changed_options().items() if name not in heeded]
        refuse_beside(chosen[0], refused, "Leave it out, or name a PIPELINE.")
        connection, namespace = _connect(options["address"])
        if show:
            done = _list(connection, namespace, options["zone_name"])
        elif run_now:
            done = _run_now(connection, run_now, namespace)
        elif delete:
            done = _delete(connection, delete, namespace, options["end_runs"])
        else:
            done = _set_enabled(connection, str(pause or resume), namespace, bool(resume), options["zone_name"])
    if as_json:
        print_json(done)


def _connect(address: dict[str, str]) -> tuple[Connection, str]:
    """Return the connection and the namespace to ask for, which is empty on a server for one user."""
    connection = connect(**address)
    with runs.nothing_done("changed"):
        return connection, runs.namespace_of(connection, address["namespace"])


def _put(pipeline: PipelineName, options: dict[str, Any]) -> ScheduleChange:
    expression, every = options["expression"], options["every"]
    if (expression is None) == (every is None):
        what = "--cron is missing: when is it to run?" if every is None else "--cron and --every both say when."
        raise SettingError(what, EXAMPLE if every is None else "Give one of them.")
    when = parse_cron(expression) if every is None else parse_interval(every)
    times = when.next_times(TIMES, read_zone(options["zone_name"]))
    package = _package(pipeline, options["package_file"], options["placement"])
    parameters = runs.typed_parameters(package, read_parameters(options["pairs"]))
    name = options["name"] or f"headstart-{pipeline}"
    action: Literal["created", "replaced", "unchanged", "explained"] = "explained"
    if not options["dry_run"]:
        connection, namespace = _connect(options["address"])
        known = {schedule.identity for schedule in schedules.list_schedules(connection, namespace)}
        new, old = schedules.put_schedule(
            connection,
            package,
            name=name,
            when=when,
            experiment_id=runs.find_or_create_experiment(connection, options["experiment"], namespace),
            parameters=parameters,
            namespace=namespace,
            service_account=options["service_account"],
            pipeline_root=options["pipeline_root"],
            paused=options["paused"],
            end_runs=options["end_runs"],
        )
        action = "replaced" if old else "unchanged" if new.identity in known else "created"
        done = "Unchanged:" if action == "unchanged" else action.capitalize()
        say(f"{done} schedule {name}{'' if new.enabled else ', paused'}.")
        say("Missed times are not caught up; one run at a time.")
    if every is None:
        say(f"{when.describe()}.  In Kubeflow Pipelines: {when.expression}")
        zone = options["zone_name"]
        say(f"The time zone is that of the cluster (cronScheduleTimezone), taken here to be {zone}. Next times:")
    else:
        say(f"{when.describe()}, from when the schedule was made. If that is now, the next times are:")
    for moment in times:
        say(f"  {moment:%a %Y-%m-%d %H:%M:%S %Z}")
    return ScheduleChange(
        name=name,
        action=action,
        when=when.expression if every is None else every,
        next_times=[moment.isoformat() for moment in times],
    )


def _package(pipeline: PipelineName, file: Path | None, placement: dict[str, Any]) -> Package:
    if file is None:
        return compile_now(pipeline, read_placement(**placement))
    if any(value not in (None, ()) for value in placement.values()):
        raise SettingError(f"{file} is compiled already; where its tasks run is fixed in it.", "Compile it again.")
    return read_package(file)


def _next_time(when: str, zone_name: str) -> str:
    zone = read_zone(zone_name)
    try:
        return f"{parse_cron(when).next_times(1, zone)[0]:%a %Y-%m-%d %H:%M %Z}"
    except HeadstartError:  # an interval, or made by somebody else in a form we do not read
        return "–"


def _list(connection: Connection, namespace: str, zone_name: str) -> Schedules:
    found = schedules.list_schedules(connection, namespace)
    if not found:
        say(f"{connection.host} has no schedule.")
    elif not click.get_current_context().params["as_json"]:
        _print_rows(
            ("name", "pipeline", "when", "state", "next", "data"),
            [
                (
                    schedule.name,
                    schedule.pipeline or "–",
                    schedule.when or "–",
                    "on" if schedule.enabled else "paused",
                    _next_time(schedule.when, zone_name) if schedule.enabled and schedule.when else "–",
                    str(schedule.parameters.get("data", "–")),
                )
                for schedule in found
            ],
        )
    return Schedules(schedules=[ScheduleLine.model_validate(each, from_attributes=True) for each in found])


def _print_rows(titles: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Print a table: to fit a terminal, but one line for each row where another program reads it."""
    console = Console()
    if not console.is_terminal:
        cells = [titles, *(tuple(" ".join(text.split()) for text in row) for row in rows)]
        widths = [max(len(row[column]) for row in cells) for column in range(len(titles))]
        for row in cells:
            say("   ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())
        return
    table = columns(*titles, padding=(0, 3, 0, 0))
    for row in rows:
        table.add_row(*row)
    console.print(table)


def _run_now(connection: Connection, name: str, namespace: str) -> ScheduleChange:
    schedule = schedules.find_schedules(connection, name, namespace)[0]
    run_id = schedules.run_now(connection, schedule, namespace)
    say(f"Started run {run_id} of schedule {name}: {run_page(connection.host, run_id)}")
    say(f"Follow it: headstart submit --attach {run_id}")
    return ScheduleChange(
        name=name, action="started", when=schedule.when, run_id=run_id, url=run_page(connection.host, run_id)
    )


def _set_enabled(connection: Connection, name: str, namespace: str, enabled: bool, zone_name: str) -> ScheduleChange:
    when = ""
    for schedule in schedules.find_schedules(connection, name, namespace):
        when = schedule.when
        schedules.set_enabled(connection, schedule, enabled)
        if enabled:
            following = _next_time(schedule.when, zone_name)
            say(f"Schedule {name} goes on" + (f"; next: {following}." if following != "–" else f", {schedule.when}."))
        else:
            say(f"Schedule {name} is paused.")
    return ScheduleChange(name=name, action="resumed" if enabled else "paused", when=when)


def _delete(connection: Connection, name: str, namespace: str, end_runs: bool) -> ScheduleChange:
    when = ""
    for schedule in schedules.find_schedules(connection, name, namespace):
        when = schedule.when
        with schedules.idle(connection, [schedule], namespace, end_runs=end_runs):
            schedules.delete_schedule(connection, schedule)
        say(f"Schedule {name} ({schedule.when}) is deleted.")
    return ScheduleChange(name=name, action="deleted", when=when)
