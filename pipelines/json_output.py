"""`--json`: a command prints its result as one JSON document on standard output, and nothing else there.

Here are the shapes of those documents that are not a summary, a data set's description or a version's manifest.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import click
from pydantic import BaseModel, ConfigDict, Field

from headstart.components.credentials import masked
from headstart.components.foreign_text import echo

Function = TypeVar("Function", bound=Callable[..., Any])


json_option = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


def say(text: object) -> None:
    """Print lines for people: on standard error where `--json` has standard output for itself."""
    context = click.get_current_context(silent=True)
    echo(text, err=bool(context and context.params.get("as_json")))


def print_json(value: Any) -> None:
    """Print `value` as JSON; control characters of foreign names are escaped by the format itself."""
    click.echo(json.dumps(plain(value), indent=1, ensure_ascii=True, allow_nan=False))


def plain(value: Any) -> Any:
    """Return models, data classes, paths and containers as what JSON has, without secrets; functions are left out."""
    if isinstance(value, BaseModel):
        return plain(value.model_dump(mode="json"))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return {name: plain(inner) for name, inner in fields.items() if not callable(inner)}
    if isinstance(value, dict):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner) for inner in value]
    return masked(str(value)) if isinstance(value, Path | str) else value


class _Result(BaseModel):
    model_config = ConfigDict(extra="forbid")


class CheckLine(_Result):
    """One thing that `headstart check` looked at."""

    name: str
    outcome: Literal["passed", "warning", "failed"]
    found: str
    remedy: str = ""


class Checked(_Result):
    """`headstart check`."""

    ready: bool = Field(description="nothing failed; warnings may stand")
    checks: list[CheckLine]


class Compiled(_Result):
    """`headstart compile`."""

    pipeline: str = Field(description="its name in Kubeflow Pipelines")
    package: str = Field(description="the file")
    bytes: int
    images: list[str]
    accelerators: int
    accelerator_type: str
    parameters: list[str]
    manifest: str | None = Field(None, description="the file of --manifest")
    version: str | None = Field(None, description="name of its PipelineVersion")


class Submitted(_Result):
    """`headstart submit`."""

    run_id: str
    url: str
    state: str = Field(description="of the run, as the API has it; empty where it was not followed to its end")
    status: int = Field(description="exit status of the command")
    output: str | None = Field(None, description="folder of what was brought back")
    files: list[str] = Field(default_factory=list)


class ScheduleLine(_Result):
    """One schedule of a cluster."""

    name: str
    pipeline: str
    when: str = Field(description="its cron expression, or every 6h and the like")
    enabled: bool
    parameters: dict[str, Any]


class Schedules(_Result):
    """`headstart schedule --list`."""

    schedules: list[ScheduleLine]


class ScheduleChange(_Result):
    """`headstart schedule`, when it changes, explains or starts one."""

    name: str
    action: Literal["created", "replaced", "unchanged", "explained", "paused", "resumed", "deleted", "started"]
    when: str = ""
    next_times: list[str] = Field(default_factory=list, description="ISO 8601")
    run_id: str | None = Field(None, description="of --run-now")
    url: str | None = None


class VersionChange(_Result):
    """`headstart models approve`, `reject`, `rollback` and `pin`."""

    version: int
    action: Literal["approved", "rejected", "rolled back", "pinned", "unpinned"]
    previous: int | None = Field(None, description="the version that was in use before")
    serve_from: str | None = Field(None, description="folder to point a model server at")


class VersionCheck(_Result):
    """What was found about one version."""

    version: int | None = Field(description="null: a version whose manifest cannot be read")
    problem: str = Field("", description="empty: it is what was stored")
    provenance: bool = False
    signature: bool = Field(False, description="a signature was asked for, and holds")


class Verified(_Result):
    """`headstart models verify`."""

    sound: bool
    versions: list[VersionCheck]


class Pruned(_Result):
    """`headstart models prune`."""

    dry_run: bool
    removed: list[int] = Field(description="versions that went, or would go")


class Signed(_Result):
    """`headstart models sign`."""

    signed: list[str]
    version: int = Field(description="in use")


class Fetched(_Result):
    """`headstart data fetch`."""

    files: list[str]


RESULTS: tuple[type[BaseModel], ...] = (
    *(Checked, Compiled, Submitted, Schedules, ScheduleChange),
    *(VersionChange, Verified, Pruned, Signed, Fetched),
)
