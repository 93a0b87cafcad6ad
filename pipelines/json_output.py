"""`--json`: a command prints its result as one JSON document on standard output, and nothing else there.

`results.schema.json` has the schema of each, by the command's words; `result_types` are what it is made from.
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


class Agreeing(_Result):
    """How far an estimate puts models into the order of an arm's test accuracy."""

    estimate: str
    arm: str
    images: int = Field(description="that the arm was trained on")
    models: int
    same: int = Field(description="pairs of models in the same order")
    pairs: int
    tau: float | None = Field(description="Kendall's, from -1 to 1; null: one of the two orders is all ties")


class MeasuredArm(_Result):
    """Mean test accuracy of the runs of an arm that started from a model."""

    arm: str
    images: int = Field(description="that they were trained on")
    accuracy: float


class ScoutedModel(_Result):
    """What was found of one model."""

    model: str
    network: str
    features: int
    logme: float
    probe: float = Field(description="accuracy on the validation images, a fraction")
    weights: str = Field(description="digest; empty: random weights")
    seen: int | None = Field(description="training images of the target that it was trained on; null: not known")
    measured: list[MeasuredArm] = Field(description="by --against")


class Ranked(_Result):
    """`headstart scout`."""

    models: list[ScoutedModel]
    agreement: list[Agreeing]
    seconds: float


class Setting(_Result):
    """One setting."""

    name: str
    option: str
    default: Any
    description: str
    accepts: str
    presets: dict[str, Any] = Field(default_factory=dict, description="defaults of presets that have their own")


class ClassShare(BaseModel):
    """One class of an image, by name, with its probability."""

    model_config = ConfigDict(extra="forbid", serialize_by_alias=True)

    name: str = Field(alias="class")
    probability: float


class Classified(_Result):
    """One image."""

    image: str
    best: str | None = Field(alias="class")
    probability: float | None
    classes: list[ClassShare] = Field(description="the most probable first")
    error: str | None = Field(description="why it was not read")


def result_types() -> dict[str, Any]:
    """Return the type of what each command prints, by its words; `run`, `curve` and `report` print summaries."""
    from headstart.components.datasets.packed import Description
    from headstart.components.promotion.versions import Manifest, Outcome
    from headstart.components.reporting.regression import Comparison
    from headstart.components.training.conversion import Converted
    from headstart.pipelines.dry_run import Forecast
    from headstart.pipelines.mlflow_export import Exported

    class ListedVersion(Manifest):
        """A version in a store."""

        current: bool
        pinned: bool
        candidate: str | None

    changes = ("approve", "reject", "rollback", "pin")
    return {
        **dict.fromkeys(("run --dry-run", "curve --dry-run"), Forecast),
        "scout": Ranked,
        **{f"data {name}": Description for name in ("cifar100", "folder", "fruits360", "select", "show")},
        "data fetch": Fetched,
        "compare": Comparison,
        "predict": list[Classified],
        "export mlflow": Exported,
        **dict.fromkeys(("export onnx", "export tflite"), Converted),
        "settings": list[Setting],
        "compile": Compiled,
        "check": Checked,
        "submit": Submitted,
        "schedule": ScheduleChange,
        "schedule --list": Schedules,
        "retrain": Outcome,
        **{f"models {name}": VersionChange for name in changes},
        "models list": list[ListedVersion],
        "models show": Manifest,
        "models diff": dict[str, dict[str, Any]],
        "models history": list[Outcome],
        "models manifest": dict[str, Any],
        "models verify": Verified,
        "models prune": Pruned,
        "models sign": Signed,
    }
