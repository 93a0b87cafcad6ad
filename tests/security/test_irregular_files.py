"""Files that a command reads and that are a pipe, a device, a folder or without end: refused at once, by name."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from headstart.pipelines.cli import main
from tests.datasets import drawn_files

# What is in place of the file {X}, named or met in a folder, and the command that reads it.
COMMANDS = {
    "summary compared": ("compare {F} {F}", "summary.json"),
    "summary named": ("compare {X} {X}", "summary.json"),
    "record reported": ("report {F} --output {O}", "baseline-1.json"),
    "earlier run": ("run --output {F} --runs 1", "run.json"),
    "options in TOML": ("run --config {X} --output {O}", "options.toml"),
    "options in YAML": ("run --config {X} --output {O}", "options.yaml"),
    "placement": ("compile experiment --placement {X} --output {O}", "placement.yaml"),
    "package": ("submit {X} --host http://127.0.0.1:9", "package.yaml"),
    "parameters": ("submit experiment -p @{X} --host http://127.0.0.1:9", "parameters.yaml"),
    "table": ("data folder {X} --output {O}", "labels.csv"),
    "table in a folder": ("data folder {F} --output {O}", "labels.csv"),
    "archive": ("data folder {X} --output {O}", "images.zip"),
    "packed set": ("data select {F} --output {O}", "dataset.json"),
    "packed set looked at": ("data show {F}", "dataset.json"),
    "model's description": ("predict {F}/model.keras {F}", "model.json"),
    "model": ("predict {X} {F}", "model.keras"),
    "SavedModel": ("predict {F} {F}", "saved_model.pb"),
    "store's pointer": ("models list --store {F}", "current.json"),
    "version": ("models show 1 --store {F}", "versions/1/version.json"),
}


@pytest.fixture
def in_time() -> Iterator[None]:
    """Fail where a test waits for ever."""

    def late(*_: object) -> None:
        raise AssertionError("it waits for something that never comes")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(60)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.usefixtures("in_time")
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "endless"])
@pytest.mark.parametrize("case", COMMANDS)
def test_it_is_refused(
    case: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    command, name = COMMANDS[case]
    folder, file, output = tmp_path / "in", tmp_path / "in" / name, tmp_path / "out"
    file.parent.mkdir(parents=True)
    if kind == "pipe":
        os.mkfifo(file)
    elif kind == "device":
        file.symlink_to("/dev/zero")
    elif kind == "folder":
        file.mkdir()
    else:
        file.touch()
        os.truncate(file, 1 << 40)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(SystemExit) as end:
        main(command.format(X=file, F=folder, O=output).split())
    text = capsys.readouterr().err
    assert end.value.code in (1, 2, 3), text
    assert "Traceback" not in text
    assert "was not expected" not in text
    assert str(folder) in text or name in text, text
    assert not output.exists()


@pytest.mark.parametrize("place", ["file/below", "file/far/below", "x" * 300, "loop/x"])
@pytest.mark.parametrize(
    "command",
    ["data folder photos --output {O}", "compile experiment --output {O}", "run --runs 1 --output {O}"],
)
def test_a_place_that_cannot_be_is_named(
    command: str, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    drawn_files.write_tree(tmp_path / "photos", {"a": 6, "b": 6})
    Path("file").write_text("mine")
    Path("loop").symlink_to("loop")
    with pytest.raises(SystemExit) as end:
        main(command.format(O=place).split())
    text = capsys.readouterr().err
    assert end.value.code in (1, 2), text
    assert place[:4] in text
    assert "was not expected" not in text
    assert Path("file").read_text() == "mine"
