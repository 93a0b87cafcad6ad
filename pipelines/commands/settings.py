"""`headstart settings`: every setting there is, from the models that check them."""

from __future__ import annotations

import json
from typing import Any

import click
from pydantic import BaseModel

from headstart.components.datasets.settings import OPTIONS, ImportSettings, SelectionSettings
from headstart.components.errors import SettingError, suggestion
from headstart.components.foreign_text import echo
from headstart.components.promotion.gate import Rules
from headstart.components.reporting.settings import ReportSettings
from headstart.components.stages import STAGES
from headstart.components.training.recipes import PRESETS, RECIPES, Recipe, recipe
from headstart.components.training.settings import OWN_RATES, ProcessSettings
from headstart.components.training.stage_settings import StageSettings
from headstart.pipelines.json_output import json_option


def all_settings() -> list[dict[str, Any]]:
    """Return every setting: name, option that takes it, type, default of each preset that has its own, description."""
    groups: list[tuple[str, type[BaseModel]]] = [
        ("--set", Recipe),
        ("--set", StageSettings),
        ("--set", ProcessSettings),
        ("--data-setting", ImportSettings),
        ("--data-setting", SelectionSettings),
        ("report", ReportSettings),
        ("retrain --rule", Rules),
    ]
    by_stage = {stage: next(name for name, row in STAGES.items() if row.recipe == stage) for stage in RECIPES}
    presets = {
        f"{preset} {stage}": recipe(preset, arm).model_dump(mode="json")
        for preset in PRESETS
        for stage, arm in by_stage.items()
    }
    found = []
    seen: set[tuple[str, str]] = set()
    for option, model in groups:
        schema = model.model_json_schema()["properties"]
        defaults = model.model_construct().model_dump(mode="json", warnings=False)
        for name, described in schema.items():
            if (option, name) in seen or (option == "--data-setting" and name in OPTIONS):
                continue
            seen.add((option, name))
            entry = {
                "name": name,
                "option": option,
                "default": defaults.get(name),
                "description": described.get("description", ""),
                "accepts": _accepts(described),
            }
            if model is Recipe:
                own = {preset: values[name] for preset, values in presets.items() if values[name] != defaults[name]}
                entry |= {"presets": own} if own else {}
            found.append(entry)
    return found


def _accepts(described: dict[str, Any]) -> str:
    if "enum" in described:
        return ", ".join(map(str, described["enum"]))
    if "anyOf" in described:
        return " or ".join(_accepts(part) for part in described["anyOf"])
    words = {"exclusiveMinimum": ">", "minimum": "≥", "exclusiveMaximum": "<", "maximum": "≤"}
    limits = " and ".join(f"{sign} {described[key]:,}" for key, sign in words.items() if key in described)
    return " ".join(filter(None, (described.get("type", "any"), limits)))


@click.command(name="settings")
@click.argument("name", required=False)
@json_option
def command(name: str | None, as_json: bool) -> None:
    """List every setting, or what NAME means, accepts and is by default.

    Settings are given as `--set NAME=VALUE` (recipe, freezing, process), `--data-setting NAME=VALUE` (import and
    selection), options of `headstart report`, and `--rule NAME=VALUE` of `headstart retrain`.
    """
    found = all_settings()
    if name is not None:
        known = [entry["name"] for entry in found]
        stage, _, own = name.lower().replace("-", "_").rpartition(".")
        of_stage = not stage or stage in RECIPES or name in OWN_RATES
        found = [
            entry for entry in found if entry["name"] == own and of_stage and (not stage or entry["option"] == "--set")
        ]
        if own in OPTIONS and not stage:
            raise SettingError(f"{name}: is not a setting, but an option.", f"Use {OPTIONS[own]}.")
        if not found:
            hint = "" if own in known else suggestion(own, known)
            raise SettingError(f"{name}: no such setting.{hint}", "`headstart settings` lists them all.")
    if as_json:
        click.echo(json.dumps(found, indent=1, ensure_ascii=False))
        return
    option = ""
    for entry in found:
        if entry["option"] != option:
            option = entry["option"]
            echo(f"{option} NAME=VALUE" if option.startswith("-") else option, bold=True)
        echo(f"  {entry['name']:28} {json.dumps(entry['default'], ensure_ascii=False):12} {entry['accepts']}")
        if entry["description"]:
            echo(click.wrap_text(entry["description"], 100, "      ", "      "))
        for preset, value in entry.get("presets", {}).items():
            if name is not None:
                echo(f"      {preset}: {json.dumps(value)}")
