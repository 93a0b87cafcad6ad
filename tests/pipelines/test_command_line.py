"""What every command owes its user: quick help, clear errors, an exit status, colours that can be turned off."""

import json
import subprocess
import sys

import pytest

from headstart.pipelines.cli import COMMANDS

HEAVY = ("tensorflow", "pandas", "scipy", "kubernetes", "google.cloud", "kfp")


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    import os

    return subprocess.run(
        [sys.executable, "-m", "headstart", *arguments],
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, **environment},
        timeout=120,
    )


def modules_after(statement: str) -> list[str]:
    code = f"{statement}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    loaded = json.loads(done.stdout.splitlines()[-1])
    return [name for name in HEAVY if name in loaded]


def test_the_command_line_starts_without_heavy_imports() -> None:
    assert modules_after("import headstart.pipelines.cli") == []


def test_importing_the_pipeline_needs_kfp_alone() -> None:
    assert set(modules_after("import headstart.pipelines.experiment")) <= {"kfp", "kubernetes", "google.cloud"}


def test_help_lists_every_command() -> None:
    done = run("--help")
    assert done.returncode == 0
    for name, (_, line) in COMMANDS.items():
        assert name in done.stdout
        assert line in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    done = run(name, "--help")
    assert done.returncode == 0, done.stderr
    assert f"Usage: headstart {name}" in done.stdout
    assert done.stderr == ""


def test_an_unknown_command_is_wrong_use() -> None:
    done = run("rum")
    assert done.returncode == 2
    assert "No such command 'rum'" in done.stderr


def test_version_is_that_of_the_package() -> None:
    from importlib.metadata import version

    assert run("--version").stdout.strip().endswith(version("headstart"))


def test_errors_carry_no_colour_where_none_is_wanted() -> None:
    done = run("run", "--source", "/no/such/folder", NO_COLOR="1")
    assert done.returncode == 2
    assert "\x1b" not in done.stdout + done.stderr
