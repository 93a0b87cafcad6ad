"""What a model store writes down: one manifest a version, one pointer to the version in use, pins."""

from __future__ import annotations

import datetime
from collections.abc import Container
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from headstart.components.datasets.reading import Reading

SCHEMA_VERSION = 1
HISTORY_LENGTH = 200


def _moment(text: str) -> str:
    if datetime.datetime.fromisoformat(text).tzinfo is None:
        raise ValueError("a moment without its time zone")
    return text


Moment = Annotated[str, AfterValidator(_moment)]
Fraction = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Action = Literal["first", "promoted", "rolled back"]


def now() -> str:
    """Return the present moment as ISO 8601 in UTC, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def age_in_days(moment: str) -> float:
    """Return how many days ago the ISO 8601 `moment` was."""
    return (datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(moment)).total_seconds() / 86400


class _Part(BaseModel):
    model_config = ConfigDict(extra="ignore")


class DataFacts(_Part):
    """What the training images of a version were like; see `headstart.components.promotion.drift`."""

    images: int = Field(ge=0)
    brightness: float = Field(ge=0, le=255, allow_inf_nan=False, description="mean level of the images, 0 to 255")
    brightness_deviation: float = Field(ge=0, allow_inf_nan=False, description="standard deviation between images")
    counts: dict[str, int] = Field(description="training images of each class")


class Manifest(_Part):
    """`versions/<n>/version.json`: what a version is. Written last, so its presence says that the version is whole."""

    schema_version: int = SCHEMA_VERSION
    version: int = Field(ge=1)
    created_at: Moment = Field(description="UTC, ISO 8601")
    run_id: str = Field("", description="the retraining that made it")
    seed: int = 0
    data_digest: str = Field(description="SHA-256 of the packed data it was trained on")
    data_source: str = ""
    data_counts: dict[str, int] = Field(default_factory=dict, description="images per split")
    facts: DataFacts | None = Field(None, description="what its training images were like")
    classes: list[str]
    rule: dict[str, str] | None = Field(
        None, description="by which its classes were selected; empty: taken as they are"
    )
    layout: str = Field("", description="in which its data were imported; empty: not known")
    image_size: int = Field(ge=1)
    reading: Reading | None = Field(None, description="how files became pixels; null in versions that did not say")
    accuracy: Fraction | None = Field(None, description="on the test split of its own data")
    recalls: dict[str, Fraction] = Field(default_factory=dict, description="share of each class that it recognised")
    weights: str | None = Field(None, description="SHA-256 of the weights")
    initial_weights: str | None = Field(None, description="SHA-256 of the prepared model's weights it started from")
    reason: str = Field("", description="why it was promoted, or could be")
    compared_with: int | None = Field(None, description="the version in use when it was compared")
    files: dict[str, str] = Field(default_factory=dict, description="SHA-256 of every other file, by relative path")


class Switch(_Part):
    """One change of the pointer."""

    version: int = Field(ge=1)
    action: Action
    at: str
    reason: str = ""
    by: str = Field("", description="retraining run or user at host")


class Pointer(_Part):
    """`current.json`: which version is in use, and how that came about."""

    schema_version: int = SCHEMA_VERSION
    version: int = Field(ge=1)
    data_digest: str = Field(description="of the version in use")
    sequence: int = Field(ge=1, description="number of changes of this file so far")
    switched_at: str
    action: Action
    reason: str = ""
    by: str = ""
    previous: int | None = Field(None, description="the version in use before; retention never takes it")
    withdrawn: dict[str, str] = Field(
        default_factory=dict, description="data digest → why: what a rolled-back version was trained on"
    )
    history: list[Switch] = Field(default_factory=list, description=f"the last {HISTORY_LENGTH} switches, oldest first")


def withdrawn_versions(pointer: Pointer) -> set[int]:
    """Return the versions that somebody rolled back from, unless they came into use again afterwards."""
    withdrawn: set[int] = set()
    before: int | None = None
    for change in pointer.history:
        if change.action == "rolled back" and before is not None:
            withdrawn.add(before)
        withdrawn.discard(change.version)
        before = change.version
    return withdrawn


def rollback_target(pointer: Pointer, there: Container[int]) -> int | None:
    """Return the version that a roll back leads to: the last before the one in use that is there and not withdrawn.

    A roll back takes everything that came after its target out of the line, so the next one leads further back.
    """
    line: list[int] = []
    for change in pointer.history:
        if change.action == "rolled back":
            line = line[: line.index(change.version)] if change.version in line else line[:-1]
        line.append(change.version)
    return next((version for version in reversed(line[:-1]) if version != pointer.version and version in there), None)


class Pin(_Part):
    """`pins/<n>.json`: retention never takes this version."""

    at: str
    by: str = ""
    reason: str = ""


class Candidacy(_Part):
    """`candidates/<n>.json`: a version that waits for a person, or that a person rejected."""

    schema_version: int = SCHEMA_VERSION
    state: Literal["waiting", "rejected"] = "waiting"
    compared_with: int | None = Field(None, description="the version in use when it was compared")
    data_digest: str = Field("", description="of what it was trained on")
    run_id: str = ""
    why: str = Field("", description="how it compares, and why it waits")
    at: str = ""
    by: str = Field("", description="who rejected it")
    reason: str = Field("", description="why it was rejected")


class Outcome(_Part):
    """`retrainings/<id>/outcome.json`: how one retraining ended, whether or not it promoted a model."""

    schema_version: int = SCHEMA_VERSION
    status: Literal["promoted", "candidate", "refused", "unchanged", "unusable", "superseded", "failed"]
    title: str = Field(description="one line that says what happened")
    reasons: list[str] = Field(default_factory=list)
    at: str = ""
    run_id: str = ""
    version: int | None = Field(None, description="the version it promoted, or that waits for approval")
    current: int | None = Field(None, description="the version in use when it decided")
    data_digest: str = ""
    data: dict[str, Any] = Field(default_factory=dict, description="source, counts, notes of the data set")
    candidate: dict[str, Any] = Field(default_factory=dict, description="seed, accuracies, recalls, seconds")
    comparison: dict[str, Any] = Field(default_factory=dict, description="figures of both on the same test images")
    evidence: dict[str, Any] = Field(default_factory=dict, description="what the test images prove")
    measured: dict[str, Any] = Field(default_factory=dict, description="latency and size of both models")
    removed: list[int] = Field(default_factory=list, description="versions that retention took")
