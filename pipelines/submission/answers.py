"""The shapes of what the API of Kubeflow Pipelines answers, as far as we read them, and the check that it has them.

Another server, a proxy or a page of a login answers JSON of another shape, or something half of it; that must be said
as such and not break somewhere behind. Fields that we do not read are not looked at; what may be left out may be null.
"""

from __future__ import annotations

import functools
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

Shape = TypeVar("Shape")


class Health(TypedDict, total=False):
    """What healthz answers: the API itself, or the UI's server before it."""

    tag_name: str | None
    apiServerTagName: str | None
    apiServerReady: bool | None
    multi_user: bool | None


class ErrorInfo(TypedDict, total=False):
    """Why something failed."""

    message: str | None


class StateChange(TypedDict, total=False):
    """One entry of a run's history."""

    state: str | None
    error: ErrorInfo | None


class ChildTask(TypedDict, total=False):
    """A task's pod."""

    pod_name: str | None


class TaskDetail(TypedDict, total=False):
    """One node of the workflow, as the API describes tasks."""

    display_name: str | None
    state: str | None
    start_time: str | None
    end_time: str | None
    child_tasks: list[ChildTask] | None


class RunDetails(TypedDict, total=False):
    """The tasks of a run."""

    task_details: list[TaskDetail] | None


class Runtime(TypedDict, total=False):
    """What a schedule gives to each run."""

    parameters: dict[str, Any] | None
    pipeline_root: str | None


class Run(TypedDict, total=False):
    """A run; every answer about one names it."""

    run_id: str
    display_name: str | None
    state: str | None
    state_history: list[StateChange] | None
    error: ErrorInfo | None
    run_details: RunDetails | None
    recurring_run_id: str | None
    pipeline_spec: dict[str, Any] | None
    runtime_config: Runtime | None


class Runs(TypedDict, total=False):
    """A page of runs."""

    runs: list[Run] | None
    next_page_token: str | None


class Experiment(TypedDict, total=False):
    """An experiment."""

    experiment_id: str


class Experiments(TypedDict, total=False):
    """A page of experiments."""

    experiments: list[Experiment] | None


class Cron(TypedDict, total=False):
    """When a schedule fires."""

    cron: str | None


class Periodic(TypedDict, total=False):
    """An interval; the gateway writes int64 as text."""

    interval_second: str | int | None


class Trigger(TypedDict, total=False):
    """What starts the runs of a schedule."""

    cron_schedule: Cron | None
    periodic_schedule: Periodic | None


class RecurringRun(TypedDict, total=False):
    """A schedule."""

    recurring_run_id: str
    display_name: str | None
    description: str | None
    trigger: Trigger | None
    mode: str | None
    status: str | None
    runtime_config: Runtime | None
    pipeline_spec: dict[str, Any] | None
    pipeline_version_reference: dict[str, Any] | None
    pipeline_version_id: str | None
    max_concurrency: str | int | None
    no_catchup: bool | None
    experiment_id: str | None
    service_account: str | None


class RecurringRuns(TypedDict, total=False):
    """A page of schedules, under the name that JSON gives them or the one of the protocol."""

    recurringRuns: list[RecurringRun] | None
    recurring_runs: list[RecurringRun] | None
    next_page_token: str | None


class PipelineRuntime(TypedDict, total=False):
    """What the v1beta1 API knows of what runs beneath a run."""

    workflow_manifest: str | None


class OldRun(TypedDict, total=False):
    """A run as the v1beta1 API describes it."""

    pipeline_runtime: PipelineRuntime | None


class Parameter(TypedDict, total=False):
    """A parameter of a node."""

    name: str | None
    value: Any


class Side(TypedDict, total=False):
    """What goes into a node, or comes out of it."""

    parameters: list[Parameter] | None


class Node(TypedDict, total=False):
    """A node of an Argo workflow."""

    id: str | None
    name: str | None
    displayName: str | None
    type: str | None
    templateName: str | None
    boundaryID: str | None
    phase: str | None
    message: str | None
    startedAt: str | None
    finishedAt: str | None
    children: list[str] | None
    inputs: Side | None
    outputs: Side | None


class WorkflowMetadata(TypedDict, total=False):
    """Names of a workflow."""

    name: str | None
    namespace: str | None
    annotations: dict[str, Any] | None


class WorkflowStatus(TypedDict, total=False):
    """How far a workflow is; Argo packs `nodes` where they grow large."""

    message: str | None
    phase: str | None
    nodes: dict[str, Node] | None
    compressedNodes: str | None


class Manifest(TypedDict, total=False):
    """An Argo workflow."""

    metadata: WorkflowMetadata | None
    status: WorkflowStatus | None


_adapter = functools.cache(TypeAdapter[Any])


def has_shape(value: Any, shape: type[Shape]) -> bool:
    """Say whether `value` is what `shape` describes, without copying it."""
    return not shape_error(value, shape)


def shape_error(value: Any, shape: Any) -> str:
    """Return an empty text where `value` has the shape, else the first place where it has not and what is there."""
    try:
        _adapter(shape).validate_python(value, strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        return f"{where + ': ' if where else ''}{type(first['input']).__name__} where another was expected"
    except RecursionError:
        return "it is nested too deeply"
    return ""
