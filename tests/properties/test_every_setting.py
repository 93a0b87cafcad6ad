"""Every setting, whatever it is given: a usable value comes in unharmed, any other is refused by the setting's name."""

import json
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from junk import check_message, scalars, values, words
from pydantic import BaseModel

from headstart.components.datasets.settings import ImportSettings, SelectionSettings, parse_settings
from headstart.components.errors import SettingError
from headstart.components.reporting.settings import ReportSettings, report_settings
from headstart.components.stages import STAGES
from headstart.components.training.recipes import PRESETS, RECIPES, Recipe
from headstart.components.training.settings import ProcessSettings, known, resolve
from headstart.components.training.stage_settings import StageSettings

TRAINING = {name: group for group in (Recipe, StageSettings, ProcessSettings) for name in group.model_fields}


def check_usable(settings: BaseModel) -> None:
    """What was accepted can be written into a record, where NaN and infinity have no place."""
    json.dumps(settings.model_dump(mode="json"), allow_nan=False)


@pytest.mark.parametrize("name", sorted(TRAINING))
@given(value=values)
@example(value=float("nan"))
@example(value=[])
def test_training_setting(name: str, value: Any) -> None:
    for arm in STAGES:
        try:
            resolved = resolve("demo", arm, {name: value})
        except SettingError as error:
            check_message(error, name)
        else:
            for part in resolved:
                check_usable(part)
            resolved.stage.frozen_layers(arm)


@given(preset=st.one_of(st.sampled_from(PRESETS), scalars), arm=st.one_of(st.sampled_from(list(STAGES)), words))
def test_preset_and_arm(preset: Any, arm: str) -> None:
    try:
        resolve(preset, arm)
    except SettingError as error:
        check_message(error, "preset", "arm")
        assert "demo" in str(error) or "baseline" in str(error), "says what would be right"
    else:
        assert preset in PRESETS
        assert arm in STAGES


@given(name=words, value=scalars)
def test_a_name_that_no_training_setting_has(name: str, value: Any) -> None:
    if name.rpartition(".")[2] in known():
        return
    with pytest.raises(SettingError) as caught:
        resolve("demo", "baseline", {name: value})
    check_message(caught.value, name, repr(name))  # what cannot be printed is shown escaped
    assert "batch_size" in caught.value.remedy


@pytest.mark.parametrize("stage", RECIPES)
def test_a_stage_named_with_a_setting_reaches_that_stage_alone(stage: str) -> None:
    for arm, own in STAGES.items():
        epochs = resolve("demo", arm, {f"{stage}.epochs": 77}).recipe.epochs
        assert (epochs == 77) is (own.recipe == stage)


@pytest.mark.parametrize("model", [ImportSettings, SelectionSettings])
@given(data=st.data())
def test_data_settings(model: type[BaseModel], data: st.DataObject) -> None:
    name = data.draw(st.sampled_from(sorted(model.model_fields)))
    try:
        settings = parse_settings(model, {name: data.draw(values)})
    except SettingError as error:
        check_message(error, name)
    else:
        check_usable(settings)


@given(name=words)
def test_a_name_that_no_data_setting_has(name: str) -> None:
    if name in ImportSettings.model_fields or name in SelectionSettings.model_fields:
        return
    with pytest.raises(SettingError) as caught:
        parse_settings(ImportSettings, {name: 1})
    check_message(caught.value, repr(name))
    assert "skip_share" in caught.value.remedy


@given(name=st.sampled_from(sorted(ReportSettings.model_fields)), value=values)
def test_report_settings(name: str, value: Any) -> None:
    try:
        settings = report_settings({name: value})
    except SettingError as error:
        check_message(error, name)
    else:
        check_usable(settings)


@given(rules=st.dictionaries(words, st.one_of(st.sampled_from(["error", "warning", "off"]), scalars), max_size=3))
def test_rules_of_verify(rules: dict[str, Any]) -> None:
    try:
        settings = report_settings({"rules": rules})
    except SettingError as error:
        check_message(error, "rules")
    else:
        assert settings.rules == rules


@given(settings=st.one_of(scalars, st.lists(scalars, max_size=2)))
def test_settings_that_are_no_table(settings: Any) -> None:
    if not settings:
        return
    with pytest.raises(SettingError) as caught:
        report_settings(settings)
    check_message(caught.value, "settings")
