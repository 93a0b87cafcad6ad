"""`--config FILE`, `headstart settings`, and what is said of names that do not exist."""

import json
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner

from headstart.components.errors import SettingError
from headstart.components.training.recipes import Recipe
from headstart.pipelines.cli import headstart
from headstart.pipelines.commands.settings import all_settings
from headstart.pipelines.configuration import config_option, given_options, read_configuration


@click.command()
@config_option
@click.option("--runs", type=click.IntRange(min=1), default=10)
@click.option("--hold-out-target", is_flag=True)
@click.option("--arms", default="a,b")
@click.option("--set", "settings", multiple=True)
@click.option("--output", type=click.Path(path_type=Path))
@click.pass_context
def small(ctx: click.Context, **options: Any) -> None:
    click.echo(json.dumps({"options": options, "given": given_options(ctx)}, default=str))


def call(*arguments: str) -> dict[str, Any]:
    done = CliRunner().invoke(small, arguments, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = json.loads(done.output)
    return found


TOML = 'runs = 3\nhold-out-target = true\narms = ["x", "y"]\n[set]\nbatch_size = 64\n"target.optimizer" = "adamw"\n'
YAML = "runs: 3\nhold_out_target: true\narms: [x, y]\nset: {batch_size: 64, target.optimizer: adamw}\n"


@pytest.mark.parametrize(("name", "text"), [("a.toml", TOML), ("a.yaml", YAML), ("a.yml", YAML)])
def test_a_file_gives_options_and_the_command_line_wins(tmp_path: Path, name: str, text: str) -> None:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    options = call("--config", str(file))["options"]
    assert options["runs"] == 3
    assert options["hold_out_target"] is True
    assert options["arms"] == "x,y"
    assert options["settings"] == ["batch_size=64", "target.optimizer=adamw"]
    assert call("--runs", "5", "--config", str(file))["options"]["runs"] == 5


def test_what_was_given_can_be_given_again_as_a_file(tmp_path: Path) -> None:
    import yaml

    first = call("--runs", "4", "--set", "epochs=2", "--set", "flip=true", "--hold-out-target")
    assert first["given"] == {"runs": 4, "set": ["epochs=2", "flip=true"], "hold-out-target": True}
    file = tmp_path / "again.yaml"
    file.write_text(yaml.safe_dump(first["given"]), encoding="utf-8")
    assert call("--config", str(file))["options"] == first["options"]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.toml", "rnus = 3", "Did you mean runs?"),
        ("a.toml", "config = 'b.toml'", "is not an option"),
        ("a.toml", "runs = ", "not TOML"),
        ("a.yaml", "runs: [", "cannot be read as YAML"),
        ("a.yaml", "- 1", "expected one mapping with options"),
        ("a.yaml", "a: &x [1]\nb: *x", "aliases"),
        ("a.yaml", "runs:", "has no value"),
        ("a.yaml", "runs: {a: 1}", "takes one value"),
        ("a.json", "{}", "ends in .toml"),
        ("a.yaml", "hold_out_target: true\nhold-out-target: true", "says again"),
        ("a.yaml", "[" * 3000, "nests deeper"),
    ],
)
def test_what_a_file_cannot_say_is_refused(tmp_path: Path, name: str, text: str, message: str) -> None:
    file = tmp_path / name
    file.write_text(text, encoding="utf-8")
    with pytest.raises(SettingError, match=message.replace("?", r"\?")):
        CliRunner().invoke(small, ["--config", str(file)], catch_exceptions=False)


def test_a_value_is_checked_as_on_the_command_line(tmp_path: Path) -> None:
    file = tmp_path / "a.toml"
    file.write_text("runs = 0")
    done = CliRunner().invoke(small, ["--config", str(file)])
    assert done.exit_code == 2
    assert "--runs" in done.output


def test_files_that_are_not_there_or_too_large(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="no such file"):
        read_configuration(tmp_path / "none.toml")
    (tmp_path / "large.toml").write_text("#" * (1 << 20) + "\nruns = 1")
    with pytest.raises(SettingError, match="more than 262,144 bytes"):
        read_configuration(tmp_path / "large.toml")


def test_settings_lists_what_the_models_check() -> None:
    found = {entry["name"]: entry for entry in all_settings() if entry["option"] == "--set"}
    assert set(Recipe.model_fields) <= set(found)
    assert found["learning_rate"]["default"] == Recipe.model_fields["learning_rate"].default
    assert found["optimizer"]["accepts"] == "adam, adamw, muon"
    assert all(entry["description"] or entry["accepts"] for entry in found.values())
    printed = CliRunner().invoke(headstart, ["settings", "batch_size"], obj={})
    assert "batch_size" in printed.output
    as_json = json.loads(CliRunner().invoke(headstart, ["settings", "--json"], obj={}).output)
    assert as_json == json.loads(json.dumps(all_settings()))


def test_a_setting_or_a_command_that_is_not_there_gets_a_suggestion() -> None:
    with pytest.raises(SettingError) as caught:
        CliRunner().invoke(headstart, ["settings", "lerning_rate"], obj={}, catch_exceptions=False)
    assert "learning_rate" in caught.value.remedy
    assert "Did you mean run?" in CliRunner().invoke(headstart, ["rnu"], obj={}).output
