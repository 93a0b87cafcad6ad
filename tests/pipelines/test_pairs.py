"""NAME=VALUE means the same wherever a command takes it."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from headstart.components.errors import SettingError
from headstart.pipelines.cli import headstart
from headstart.pipelines.options import parse_classes, parse_settings, split_pairs


def test_a_pair_is_a_name_and_all_that_follows_the_first_equals_sign() -> None:
    assert split_pairs(["a=x", " b = y=z", "c="], "-p") == {"a": "x", "b": " y=z", "c": ""}
    assert parse_settings(["a=1", "b=true", "c=text", "d=[1]"], "--set") == {"a": 1, "b": True, "c": "text", "d": [1]}
    assert parse_classes(["pears= pear ", "rest=*"]) == {"pears": "pear", "rest": "*"}


@pytest.mark.parametrize(
    ("pairs", "what"),
    [(["a"], "expected NAME=VALUE"), (["=x"], "expected NAME=VALUE"), (["a=x", "a=y"], "given twice")],
)
def test_what_is_no_pair_or_there_twice_is_refused(pairs: list[str], what: str) -> None:
    with pytest.raises(SettingError, match=what):
        split_pairs(pairs, "-p")


@pytest.mark.parametrize(
    ("option", "example"), [("--set", "batch_size=64"), ("--data-setting", "fit=crop"), ("--rule", "margin=0.01")]
)
def test_the_example_is_one_that_the_option_takes(option: str, example: str) -> None:
    with pytest.raises(SettingError, match=rf"For example {option} {example}\."):
        parse_settings(["confidence"], option)


def commands_with_pairs(folder: Path) -> list[list[str]]:
    """Every command with an option of that form, up to the option."""
    return [
        ["run", "--output", str(folder / "run"), "--set"],
        ["run", "--output", str(folder / "run"), "--data-setting"],
        ["run", "--output", str(folder / "run"), "--classes"],
        ["report", str(folder), "--output", str(folder / "report"), "--rule"],
        ["compile", "experiment", "--output", str(folder / "e.yaml"), "--node-selector"],
        ["data", "select", str(folder), "--output", str(folder / "selected"), "--classes"],
    ]


@pytest.mark.parametrize("number", range(6))
def test_no_command_keeps_the_last_of_two_in_silence(number: int, tmp_path: Path) -> None:
    command = commands_with_pairs(tmp_path)[number]
    option = command.pop()
    done = CliRunner().invoke(headstart, [*command, option, "seed=1", option, "seed=2"])
    assert isinstance(done.exception, SettingError) or done.exit_code == 2, done.output
    assert "given twice" in f"{done.output}{done.exception}"
