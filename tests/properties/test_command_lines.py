"""Every option and argument of every command, whatever it is given: a clear message and a status, never a traceback.

The commands run in this process through `cli.main`, up to the point where a pipeline would be started. There
is no cluster: its address is one where nobody listens.
"""

import contextlib
import importlib.util
import io
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from junk import words

from headstart.components.records import RunRecord
from headstart.pipelines.cli import COMMANDS, headstart, main
from headstart.pipelines.local import LocalResult
from headstart.pipelines.packages import Package, PipelineName, compile_package
from headstart.pipelines.placement import Placement
from headstart.pipelines.submission.connection import Connection

# Places that a command writes to: the test is root on many machines, and stays in its folder.
WRITTEN = ("--output", "-o", "--store", "--log")
MODULES = "headstart.pipelines.commands"
STATUSES = {0, 1, 2, 3, 4, 5, 130}


def leaves(
    group: click.Group = headstart, path: tuple[str, ...] = ()
) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        if group is headstart and importlib.util.find_spec(f"{MODULES}.{name}") is None:
            continue  # test_every_command_that_help_lists_exists says so
        found = group.get_command(context, name)
        assert found is not None
        if isinstance(found, click.Group):
            yield from leaves(found, (*path, name))
        else:
            yield (*path, name), found


LEAVES = dict(leaves())


def test_every_command_that_help_lists_exists() -> None:
    assert [name for name in COMMANDS if importlib.util.find_spec(f"{MODULES}.{name}") is None] == []


@pytest.fixture(scope="module")
def closed_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@pytest.fixture(scope="module")
def packages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Package]:
    folder = tmp_path_factory.mktemp("packages")
    names: tuple[PipelineName, ...] = ("experiment", "retraining")
    return {name: compile_package(name, folder / f"{name}.yaml", Placement()) for name in names}


@pytest.fixture
def nothing_starts(
    tmp_path_factory: pytest.TempPathFactory,
    closed_port: int,
    monkeypatch: pytest.MonkeyPatch,
    packages: dict[str, Package],
) -> Path:
    """A folder to be in, without a cluster, without credentials, and where no pipeline is ever started."""
    folder = tmp_path_factory.mktemp("here")
    for module in ("headstart.pipelines.local_experiment", "headstart.pipelines.local_retraining"):
        result = LocalResult(succeeded=False, failed_task="nothing", message="a test lets no pipeline start")
        monkeypatch.setattr(f"{module}.run_locally", lambda *_, result=result: result)
    monkeypatch.setattr(Connection, "pause", lambda *_: None)
    monkeypatch.setattr("headstart.components.datasets.downloads._ATTEMPTS", 1)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{closed_port}")
    # A package is compiled once and for all: what goes into one is tried by the properties of placements.
    for module in ("packages", "commands.compile"):
        monkeypatch.setattr(f"headstart.pipelines.{module}.compile_package", lambda name, *_, **__: packages[name])
    monkeypatch.chdir(folder)
    for name in ("KUBECONFIG", "GOOGLE_APPLICATION_CREDENTIALS", "KF_PIPELINES_SA_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{closed_port}")
    return folder


def call(*arguments: str) -> tuple[int, str]:
    """Return the exit status and all that was said on both streams."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said):
        try:
            main(list(arguments))
        except SystemExit as end:
            return int(end.code or 0), said.getvalue()
    raise AssertionError("main() came back without an exit status")


def check(status: int, err: str, *context: object) -> None:
    assert status in STATUSES, (status, err, context)
    assert "Traceback" not in err, (err, context)
    assert "was not expected" not in err, (err, context)
    if status in (1, 2):
        assert err.strip(), ("no message", context)


@pytest.mark.parametrize("path", sorted(LEAVES), ids=" ".join)
@settings(max_examples=12 if settings.default and settings.default.max_examples == 60 else 500)
@given(data=st.data())
def test_option(path: tuple[str, ...], data: st.DataObject, nothing_starts: Path, closed_port: int) -> None:
    parameter = data.draw(st.sampled_from(LEAVES[path].params))
    value = data.draw(words)
    option = parameter.opts[-1] if isinstance(parameter, click.Option) else ""
    if option in WRITTEN:
        value = "outputs/" + value.lstrip("/.")
    if "\0" in value:
        return  # cannot be an argument of a process
    arguments = [f"{option}={value}"] if option.startswith("--") else [option, value] if option else ["--", value]
    if isinstance(parameter, click.Option) and parameter.is_flag:
        arguments = [option]
    known = {name for other in LEAVES[path].params for name in other.opts} - {option}
    address = ["--host", f"http://127.0.0.1:{closed_port}"] if "--host" in known else []
    output = ["--output", "outputs/x.yaml"] if "--output" in known else []
    # A run that is followed is waited for while its API is away; not here.
    patience = ["--timeout", "0.0001"] if "--timeout" in known else []
    status, said = call(*path, *address, *output, *patience, *arguments)
    check(status, said, path, arguments)


@given(
    arguments=st.lists(st.one_of(words, st.sampled_from([*COMMANDS, "-h", "--version", "--verbose", "--"])), max_size=3)
)
def test_arguments_of_any_kind(arguments: list[str], nothing_starts: Path) -> None:
    if {"-v", "--verbose"} & set(arguments) or any("\0" in word for word in arguments):
        return  # --verbose asks for tracebacks
    status, err = call(*arguments)
    check(status, err, arguments)


@pytest.mark.parametrize(
    ("arguments", "named", "right"),
    [
        (["run", "--runs", "-1"], "--runs", "1<=x<=2000"),
        (["run", "--preset", "quick"], "--preset", "demo"),
        (["run", "--target-accuracy", "nan"], "target_accuracy", "finite"),
        (["run", "--price-per-hour", "nan"], "price_per_hour", "finite"),
        (["run", "--image-size", "10"], "--image-size", "40<=x<=512"),
        (["run", "--set", "batch_size=0"], "batch_size", "greater than or equal to 1"),
        (["run", "--set", "learning_rate=1e999"], "learning_rate", "finite"),
        (["run", "--set", "bathc_size=1"], "bathc_size", "batch_size"),
        (["run", "--set", "epochs=1", "--set", "epochs=2"], "epochs", "Keep one"),
        (["run", "--data-setting", "skip_share=2"], "skip_share", "less than or equal to 1"),
        (["run", "--source", "no such folder"], "no such folder", "Name a path"),
        (["run", "--classes", "a=x", "a=y"], "'a'", "Keep one of them"),
        (["compile", "experiment", "--image", "headstart:latest"], "image", "latest"),
        (["compile", "experiment", "--output", "x.json"], "x.json", ".yaml"),
        (["compile", "nothing"], "nothing", "experiment"),
        (["report", "no/such/record.json", "--output", "x"], "no/such/record.json", ""),
        (["frobnicate"], "frobnicate", ""),
    ],
)
def test_a_message_names_what_is_wrong_and_what_would_be_right(
    arguments: list[str], named: str, right: str, nothing_starts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("headstart.pipelines.commands.compile.compile_package", compile_package)
    status, err = call(*arguments)
    assert status in (1, 2), err
    assert named in err, err
    assert right in " ".join(err.split()), err
    check(status, err, arguments)


@pytest.mark.parametrize("name", ["a folder", 'it\'s "quoted" ķirsis 苹果', "-starts-with-dash", "a=b"])
def test_paths_with_spaces_quotes_and_other_scripts(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / name
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    status, said = call("compile", "retraining", f"--output={name}/package.yaml")
    assert status == 0, said
    assert [path.name for path in folder.iterdir()] == ["package.yaml"]
    record = RunRecord(arm="baseline", seed=1, run_id="r", status="failed", reason="why")
    record.write(folder / "baseline-01.json")
    status, said = call("report", "--output", str(folder / "re port"), "--", f"{name}/baseline-01.json")
    assert status in (0, 3), said
    assert (folder / "re port" / "report.html").exists()


def test_a_reader_that_goes_away_is_no_error() -> None:
    command = f"{sys.executable} -m headstart --help | head -1"
    done = subprocess.run(["bash", "-o", "pipefail", "-c", command], check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""


def test_verbose_shows_where_and_without_it_nobody_is_bothered(tmp_path: Path) -> None:
    wrong = ["report", str(tmp_path / "nothing.json"), "--output", str(tmp_path / "report")]
    for arguments, expected in ((wrong, False), (["--verbose", *wrong], True)):
        done = subprocess.run(
            [sys.executable, "-m", "headstart", *arguments],
            check=False, capture_output=True, text=True, env={**os.environ, "NO_COLOR": "1"},
        )  # fmt: skip
        assert done.returncode != 0
        assert ("Traceback" in done.stderr) is expected, done.stderr
