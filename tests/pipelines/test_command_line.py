"""What every command owes its user: quick help, clear errors, an exit status, colours that can be turned off."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import click
import pytest

from headstart.pipelines.cli import COMMANDS, headstart, main

HEAVY = ("tensorflow", "pandas", "scipy", "kubernetes", "google.cloud", "kfp")


def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
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
    for name, line in COMMANDS.items():
        assert name in done.stdout
        assert line in done.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    done = run(name, "--help")
    assert done.returncode == 0, done.stderr
    assert f"Usage: headstart {name}" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("name", ["data", "export", "models"])
def test_a_group_lists_its_commands_in_whole_sentences(name: str) -> None:
    listed = run(name, "--help", COLUMNS="80").stdout.partition("Commands:\n")[2].splitlines()
    assert listed and all(line.endswith(".") and not line.endswith("..") for line in listed), listed


def test_an_unknown_command_is_wrong_use() -> None:
    done = run("rum")
    assert done.returncode == 2
    assert "No such command 'rum'" in done.stderr


@pytest.mark.parametrize("name", ["a" * 300, "~" + "a" * 300, "~nobody-of-this-name/store"])
def test_a_name_that_no_file_can_have_is_said_to_be_one(name: str, capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["models", "sign", "--store", name])
    assert ended.value.code == 1
    message = capfd.readouterr().err
    assert "not expected" not in message
    assert "Name another" in message or "Write the folder out" in message


def test_a_folder_that_may_not_be_read_is_named(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """As the file system refuses it; a test that runs as root is refused nothing."""

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), "photos/lemon")

    monkeypatch.setattr(headstart, "main", refused)
    with pytest.raises(SystemExit) as ended:
        main(["data", "folder", "photos", "-o", "packed"])
    assert ended.value.code == 1
    assert capfd.readouterr().err == (
        "Error: photos/lemon: cannot be used: Permission denied.\n"
        "Give yourself the right to it, or name another file or folder.\n"
    )


def test_version_is_that_of_the_package() -> None:
    from importlib.metadata import version

    assert run("--version").stdout.strip().endswith(version("headstart"))


def test_errors_carry_no_colour_where_none_is_wanted() -> None:
    done = run("run", "--source", "/no/such/folder", NO_COLOR="1")
    assert done.returncode == 2
    assert "\x1b" not in done.stdout + done.stderr


def options() -> list[tuple[str, click.Option, str]]:
    """Every option with the command that has it, and its help as it is shown, with the default."""
    found = []

    def walk(command: click.Command, name: str) -> None:
        context = click.Context(command, **command.context_settings)
        if isinstance(command, click.Group):
            for inner in command.list_commands(context):
                below = command.get_command(context, inner)
                assert below is not None
                walk(below, f"{name} {inner}")
            return
        for one in command.params:
            if isinstance(one, click.Option) and (record := one.get_help_record(context)) is not None:
                found.append((name, one, record[1]))

    walk(headstart, "headstart")
    return found


OPTIONS = options()
KINDS = {"IntRange": "int", "IntParamType": "int", "FloatRange": "float", "FloatParamType": "float", "Path": "text",
         "StringParamType": "text", "Choice": "choice", "BoolParamType": "flag"}  # fmt: skip


@pytest.mark.parametrize(("name", "option", "text"), OPTIONS, ids=[f"{name} {one.opts[0]}" for name, one, _ in OPTIONS])
def test_every_option_explains_itself_and_its_default(name: str, option: click.Option, text: str) -> None:
    assert text[:1].isupper() or text[:1].isdigit() or text.startswith("error, "), text
    assert text.rstrip().endswith((".", "]")), text
    nothing = option.is_flag or option.default in (None, "", ()) or "UNSET" in repr(option.default)
    assert nothing or "[default:" in text or "; default: " in text, text
    assert text.count("default: ") <= 1 and 'default: ""' not in text, text
    assert ("--output" in option.opts) == ("-o" in option.opts)


def test_one_name_takes_one_kind_of_value() -> None:
    kinds: dict[str, dict[tuple[str, str | None, bool], str]] = {}
    for name, option, _ in OPTIONS:
        takes = "text" if option.metavar else KINDS[type(option.type).__name__]
        kinds.setdefault(option.opts[0], {})[takes, option.metavar, option.multiple] = name
    # A model to start from, of which a curve takes several; rules of `verify` and of promotion.
    allowed = {"--prepared", "--rule"}
    assert {option: found for option, found in kinds.items() if len(found) > 1 and option not in allowed} == {}


def test_a_shell_completes_commands_and_options() -> None:
    def completed(words: str, number: int) -> list[str]:
        done = run(_HEADSTART_COMPLETE="bash_complete", COMP_WORDS=words, COMP_CWORD=str(number))
        assert done.returncode == 0, done.stderr
        return [line.partition(",")[2] for line in done.stdout.splitlines()]

    assert completed("headstart re", 1) == ["report", "retrain"]
    assert completed("headstart models r", 2) == ["reject", "rollback"]
    assert "--preset" in completed("headstart run --pre", 2)
    assert completed("headstart run --preset fa", 3) == ["fast"]


@pytest.mark.parametrize(
    "words",
    ["run --target", "run --config", "retrain --data", "models list --store", "data folder", "predict"],
)
def test_a_shell_completes_files(words: str) -> None:
    """A real bash, asked as the tab key asks it: the program leaves the rest of the word to the shell's own files."""
    line = ["headstart", *words.split(), "pho"]
    script = f"""PATH={Path(sys.executable).parent}:$PATH
eval "$(_HEADSTART_COMPLETE=bash_source headstart)"
compopt() {{ echo "compopt $*"; }}
COMP_WORDS=({" ".join(line)}); COMP_CWORD={len(line) - 1}
_headstart_completion headstart; echo "${{COMPREPLY[*]}}"
"""
    done = subprocess.run(["bash", "--norc", "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["compopt", "-o", "default"]


def test_the_documented_line_teaches_bash_completion() -> None:
    page = (Path(__file__).parents[2] / "docs/command-line.md").read_text(encoding="utf-8")
    (line,) = [line for line in page.splitlines() if "bash_source" in line]
    words = [f"PATH={Path(sys.executable).parent}:$PATH", line, "complete -p headstart"]
    done = subprocess.run(["bash", "--norc", "-c", "\n".join(words)], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "_headstart_completion" in done.stdout, done.stderr
