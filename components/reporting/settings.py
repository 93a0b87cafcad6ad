"""Settings of a report, checked once where they come in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from headstart.components.errors import SettingError, suggestion

Severity = Literal["error", "warning", "off"]


class ReportSettings(BaseModel):
    """What a reader can change about a report."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    target_accuracy: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            allow_inf_nan=False,
            description="validation accuracy for time to accuracy, a fraction; 0: the best that every run of the "
            "control reaches",
        ),
    ] = 0.0
    price_per_hour: Annotated[
        float,
        Field(
            ge=0,
            allow_inf_nan=False,
            description="price of one accelerator, or of the machine where there is none, for one hour; 0: no costs",
        ),
    ] = 0.0
    price_per_label: Annotated[float, Field(ge=0, allow_inf_nan=False, description="price of labelling one image")] = (
        0.0
    )
    currency: Annotated[str, Field(max_length=12, description="of the prices")] = "USD"
    rules: Annotated[dict[str, Severity], Field(description="severity of single rules of `verify`")] = {}
    minimum_succeeded: Annotated[int, Field(ge=0, description="runs that must have succeeded in each arm")] = 3
    confidence: Annotated[float, Field(gt=0.5, lt=1, description="coverage of every interval")] = 0.95
    command: Annotated[str, Field(description="the command that repeats the run; printed, never run")] = ""


def report_settings(settings: Mapping[str, Any] | None) -> ReportSettings:
    """Check `settings`; SettingError names the first one that cannot be used, and the rules that exist."""
    from headstart.components.reporting.verify import RULES

    if settings is not None and not isinstance(settings, Mapping):
        raise SettingError(f"Report settings are {settings!r}.", "Expected names with values, such as confidence: 0.9.")
    try:
        checked = ReportSettings.model_validate(dict(settings or {}))
    except ValidationError as error:
        first = error.errors()[0]
        name = ".".join(str(part) for part in first["loc"]) or "settings"
        if first["type"] == "extra_forbidden":
            raise SettingError(
                f"Report setting {name!r} is not known.{suggestion(name, ReportSettings.model_fields)}",
                f"Known are: {', '.join(ReportSettings.model_fields)}.",
            ) from error
        raise SettingError(f"Report setting {name!r} is {first['input']!r}: {first['msg']}.") from error
    unknown = sorted(set(checked.rules) - set(RULES))
    if unknown:
        raise SettingError(
            f"Report setting 'rules' names {unknown[0]!r}, which is no rule.{suggestion(unknown[0], RULES)}",
            f"Rules are: {', '.join(RULES)}.",
        )
    return checked
