"""Recurring runs of Kubeflow Pipelines by name: created or replaced, listed, paused, resumed, deleted.

The API knows recurring runs by an id and lets several have one name; it cannot change one. Here a name stands for one
schedule: putting it again creates the new recurring run and deletes the old.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from headstart.components.errors import HeadstartError
from headstart.pipelines.cron import Cron, Interval
from headstart.pipelines.packages import Package
from headstart.pipelines.submission.answers import RecurringRun, RecurringRuns, Runs
from headstart.pipelines.submission.connection import Connection, LostConnectionError, is_away
from headstart.pipelines.submission.runs import (
    API,
    FINAL_STATES,
    get_run,
    start_run,
    state_of,
    terminate_run,
    unique_name,
)

PATH = f"{API}/recurringruns"
PAGE = 100
# A pod has half a minute to end in, and Argo and the API some seconds each to notice.
END_SECONDS = 180.0


@dataclass(frozen=True)
class Schedule:
    """One recurring run as the API describes it; `when` is its cron expression, or every 6h and the like."""

    identity: str
    name: str
    when: str
    enabled: bool
    parameters: dict[str, Any]
    pipeline: str
    description: str

    @classmethod
    def of(cls, run: RecurringRun) -> Schedule:
        """Read what the API answers; what it leaves out has the API's default."""
        specification = run.get("pipeline_spec") or {}
        inner = specification.get("pipeline_spec", specification)
        information = inner.get("pipelineInfo") if isinstance(inner, dict) else None
        mode = run.get("mode") or run.get("status") or ""
        return cls(
            identity=str(run.get("recurring_run_id") or ""),
            name=str(run.get("display_name") or ""),
            when=_when(run),
            enabled=mode in ("ENABLE", "ENABLED"),
            parameters=dict((run.get("runtime_config") or {}).get("parameters") or {}),
            pipeline=str(information.get("name", "")) if isinstance(information, dict) else "",
            description=str(run.get("description") or ""),
        )


def _when(run: RecurringRun) -> str:
    trigger = run.get("trigger") or {}
    seconds = str((trigger.get("periodic_schedule") or {}).get("interval_second") or "")
    if seconds.isdecimal():
        return Interval(int(seconds)).expression
    return str((trigger.get("cron_schedule") or {}).get("cron") or "")


def list_schedules(connection: Connection, namespace: str = "") -> list[Schedule]:
    """Return all recurring runs of a namespace (empty: of a server for one user), by name."""
    query: dict[str, Any] = {"page_size": PAGE, "namespace": namespace or None}
    found: list[Schedule] = []
    while True:
        answer = connection.get(PATH, RecurringRuns, **query)
        found += [Schedule.of(run) for run in answer.get("recurringRuns") or answer.get("recurring_runs") or []]
        query["page_token"] = token = str(answer.get("next_page_token") or "")
        if not token:
            return sorted(found, key=lambda schedule: schedule.name)


def find_schedules(connection: Connection, name: str, namespace: str = "") -> list[Schedule]:
    """Return the recurring runs of this name; HeadstartError where there is none."""
    schedules = list_schedules(connection, namespace)
    found = [schedule for schedule in schedules if schedule.name == name]
    if not found:
        names = ", ".join(sorted({schedule.name for schedule in schedules})) or "none"
        raise HeadstartError(f"{connection.host} has no schedule {name!r}; there are: {names}.")
    return found


def put_schedule(
    connection: Connection,
    package: Package,
    *,
    name: str,
    when: Cron | Interval,
    experiment_id: str,
    parameters: dict[str, Any],
    namespace: str = "",
    service_account: str = "",
    pipeline_root: str = "",
    paused: bool = False,
    end_runs: bool = False,
) -> tuple[Schedule, list[Schedule]]:
    """Create the schedule `name`, or replace it, and return it and what it replaced.

    The same declaration again changes nothing, and what is returned as replaced is then empty.

    Missed times are not caught up and only one run is under way at a time. A schedule that was paused stays paused.
    The old one is paused first, so that both never start a run, and comes back where the new one cannot be created.
    HeadstartError where the name belongs to a recurring run of another pipeline.
    """
    old = [schedule for schedule in list_schedules(connection, namespace) if schedule.name == name]
    for schedule in old:
        if schedule.pipeline and schedule.pipeline != package.name:
            raise HeadstartError(
                f"{connection.host}: {name!r} is a recurring run of the pipeline {schedule.pipeline}; "
                f"it was not replaced by one of {package.name}.",
                "Give another --name, or delete that one.",
            )
    paused = paused or (bool(old) and not any(schedule.enabled for schedule in old))
    runtime: dict[str, Any] = {"parameters": parameters, **({"pipeline_root": pipeline_root} if pipeline_root else {})}
    body: dict[str, Any] = {
        "display_name": name,
        "description": f"Headstart: {when.describe()}",
        "experiment_id": experiment_id,
        "pipeline_spec": package.document,
        "runtime_config": runtime,
        "trigger": when.trigger,
        "mode": "DISABLE" if paused else "ENABLE",
        "max_concurrency": "1",
        "no_catchup": True,
        **({"namespace": namespace} if namespace else {}),
        **({"service_account": service_account} if service_account else {}),
    }
    # What tells one declaration from another, where the API keeps it for us.
    declared = json.dumps({**body, "mode": ""}, sort_keys=True)
    body["description"] += f" [{hashlib.sha256(declared.encode()).hexdigest()[:16]}]"
    if len(old) == 1 and old[0].description == body["description"] and (not paused or not old[0].enabled):
        return old[0], []
    with idle(connection, old, namespace, end_runs=end_runs):
        new = _create(connection, body, name, {schedule.identity for schedule in old}, namespace)
    for schedule in old:
        delete_schedule(connection, schedule)
    return new, old


def _create(connection: Connection, body: dict[str, Any], name: str, known: set[str], namespace: str) -> Schedule:
    try:
        return Schedule.of(connection.post(PATH, body, RecurringRun))
    except LostConnectionError:
        # It may have been created although the answer was lost.
        connection.pause(2.0)
        for schedule in list_schedules(connection, namespace):
            if schedule.name == name and schedule.identity not in known:
                return schedule
        raise


def set_enabled(connection: Connection, schedule: Schedule, enabled: bool) -> None:
    """Pause a schedule or let it go on."""
    connection.send(f"{PATH}/{quote(schedule.identity, safe='')}:{'enable' if enabled else 'disable'}")


def runs_under_way(connection: Connection, schedule: Schedule, namespace: str = "") -> list[str]:
    """Return the ids of the runs that a schedule has started and that have not ended, among its last 100 or so."""
    query = {"page_size": PAGE, "sort_by": "created_at desc", "namespace": namespace or None}
    listed = connection.get(f"{API}/runs", Runs, **query).get("runs") or []
    return [
        str(run.get("run_id") or "")
        for run in listed
        if run.get("recurring_run_id") == schedule.identity and state_of(run) not in FINAL_STATES
    ]


@contextmanager
def idle(
    connection: Connection, schedules: Sequence[Schedule], namespace: str = "", *, end_runs: bool = False
) -> Iterator[None]:
    """Pause schedules and see that none of their runs is under way; where that or the block fails, they go on.

    Kubernetes removes the workflows and pods that a schedule owns with it, and Kubeflow Pipelines calls their runs
    RUNNING or CANCELING ever after. So they are ended first, and waited for, where `end_runs` asks for that; else
    HeadstartError names them.
    """
    stopped = [schedule for schedule in schedules if schedule.enabled]
    try:
        for schedule in stopped:
            set_enabled(connection, schedule, False)
        for schedule in schedules:
            under_way = runs_under_way(connection, schedule, namespace)
            if under_way and not end_runs:
                raise HeadstartError(
                    f"Schedule {schedule.name} has a run under way, {', '.join(under_way)}, which would be killed with "
                    "it. Nothing was changed.",
                    "Wait until it has ended (headstart submit --attach RUN_ID), or give --end-runs.",
                )
            for run_id in under_way:
                terminate_run(connection, run_id)
            _wait_for_end(connection, under_way)
        yield
    except BaseException as error:
        for schedule in stopped:
            try:
                set_enabled(connection, schedule, True)
            except HeadstartError:
                raise HeadstartError(
                    f"{error} Schedule {schedule.name} is paused now, and the API did not let it go on.",
                    f"Once the API answers again: headstart schedule --resume {schedule.name}",
                ) from error
        raise


def _wait_for_end(connection: Connection, run_ids: Sequence[str]) -> None:
    """Wait until the API says of runs that were told to end that they have ended."""
    until = time.monotonic() + END_SECONDS
    for run_id in run_ids:
        while not _has_ended(connection, run_id):
            if time.monotonic() > until:
                raise HeadstartError(
                    f"Run {run_id} was told to end and had not ended {END_SECONDS:.0f} s later. The schedule is as it "
                    "was.",
                    "Give the same command again. Where the run never ends, delete it in the UI before.",
                )
            connection.pause(2.0)


def _has_ended(connection: Connection, run_id: str) -> bool:
    """Say whether the API says so; where it is away for a while it does not."""
    try:
        return state_of(get_run(connection, run_id)) in FINAL_STATES
    except HeadstartError as error:
        if not is_away(error):
            raise
        return False


def run_now(connection: Connection, schedule: Schedule, namespace: str = "") -> str:
    """Start what a schedule starts, now and once, and return the run's id.

    Raises:
        HeadstartError: a run of the schedule is under way, or the API does not say what the schedule runs.
    """
    under_way = runs_under_way(connection, schedule, namespace)
    if under_way:
        raise HeadstartError(
            f"Schedule {schedule.name} has a run under way, {', '.join(under_way)}; one more was not started.",
            f"Follow it: headstart submit --attach {under_way[0]}",
        )
    path = f"{PATH}/{quote(schedule.identity, safe='')}"
    declared = connection.get(path, RecurringRun)
    sources = ("pipeline_spec", "pipeline_version_reference", "pipeline_version_id")
    kept = (*sources, "runtime_config", "experiment_id", "service_account")
    body: dict[str, Any] = {key: declared[key] for key in kept if declared.get(key)}  # type: ignore[literal-required]
    if not any(key in body for key in sources):
        raise HeadstartError(
            f"{connection.host} does not say what schedule {schedule.name} runs.",
            "Submit the pipeline itself: headstart submit PIPELINE -p NAME=VALUE …",
        )
    return start_run(connection, {**body, "display_name": unique_name(schedule.name)})


def delete_schedule(connection: Connection, schedule: Schedule) -> None:
    """Delete a schedule. The cluster removes the pods of its runs with it, see `idle`."""
    connection.delete(f"{PATH}/{quote(schedule.identity, safe='')}")
