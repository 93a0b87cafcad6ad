"""Files and folders are whole or absent, and nothing that Headstart did not write is removed or replaced."""

import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from headstart.components.atomic_files import scratch_folder, whole_file, whole_folder, write_json, write_text
from headstart.components.errors import HeadstartError


def everything(folder: Path) -> dict[str, bytes | None]:
    return {str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None for path in folder.rglob("*")}


def ours(folder: Path) -> bool:
    return (folder / "mark").exists()


def test_a_failed_write_leaves_what_was_there(tmp_path: Path) -> None:
    file = tmp_path / "record.json"
    write_text(file, "old")
    with pytest.raises(RuntimeError), whole_file(file) as partial:
        partial.write_text("half")
        raise RuntimeError
    assert file.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["record.json"]


def test_a_failed_folder_leaves_what_was_there(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    with whole_folder(folder) as partial:
        (partial / "mark").write_text("old")
    with pytest.raises(RuntimeError), whole_folder(folder, ours) as partial:
        (partial / "mark").write_text("half")
        raise RuntimeError
    assert (folder / "mark").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["data"]


@pytest.mark.parametrize("how", ["folder", "link", "working directory", "dot"])
def test_a_whole_folder_replaces_our_old_one(tmp_path: Path, how: str, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "data"
    for name in ("old", "new"):
        with whole_folder(folder, ours) as partial:
            (partial / "mark").write_text(name)
            (partial / name).mkdir()
        if how == "link" and not (tmp_path / "real").exists():
            folder.rename(tmp_path / "real")
            folder.symlink_to("real")
        if how in ("working directory", "dot"):
            monkeypatch.chdir(tmp_path / "data")
            folder = Path() if how == "dot" else tmp_path / "data"
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["mark", "new"]
    assert (tmp_path / "data" / "mark").read_text() == "new"
    assert folder.is_symlink() == (how == "link")
    # Whoever works in the folder sees its content without entering it again.
    assert sorted(os.listdir()) == ["mark", "new"] or how in ("folder", "link")  # noqa: PTH208
    assert sorted(path.name for path in tmp_path.iterdir()) == (["data", "real"] if how == "link" else ["data"])


@pytest.mark.parametrize("content", ["notes.txt", "sub/notes.txt", ".hidden", "link", "mark-not"])
def test_a_folder_that_is_not_ours_is_refused_unchanged(tmp_path: Path, content: str) -> None:
    mine = tmp_path / "mine"
    (mine / content).parent.mkdir(parents=True)
    if content == "link":
        (mine / content).symlink_to("/nowhere")
    else:
        (mine / content).write_text("mine")
    before = everything(tmp_path)
    with pytest.raises(HeadstartError, match="what Headstart did not write there"), whole_folder(mine, ours):
        raise AssertionError("the work must not begin")
    assert everything(tmp_path) == before


def test_what_appears_while_the_folder_is_filled_is_kept(tmp_path: Path) -> None:
    with pytest.raises(HeadstartError, match="did not write"), whole_folder(tmp_path / "data") as partial:
        (partial / "mark").write_text("")
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "mine").write_text("mine")
    assert everything(tmp_path) == {"data": None, "data/mine": b"mine"}


@pytest.mark.parametrize("empty", [(), ("a/b",), (".DS_Store",)])
def test_an_empty_folder_is_replaced(tmp_path: Path, empty: tuple[str, ...]) -> None:
    (tmp_path / "data").mkdir()
    for name in empty:
        (tmp_path / "data" / name).parent.mkdir(exist_ok=True)
        (tmp_path / "data" / name).write_bytes(b"") if name.startswith(".") else (tmp_path / "data" / name).mkdir()
    with whole_folder(tmp_path / "data") as partial:
        (partial / "mark").write_text("")
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["mark"]


def test_files_links_and_devices_are_not_replaced_by_something_else(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    (tmp_path / "lost").symlink_to("nowhere")
    os.mkfifo(tmp_path / "pipe")
    for name, why in (("file", "is a file"), ("lost", "link to nothing"), ("pipe", "is a file")):
        with pytest.raises(HeadstartError, match=why), whole_folder(tmp_path / name):
            raise AssertionError
    for path in (tmp_path, tmp_path / "pipe", Path("/dev/null")):
        with pytest.raises(HeadstartError, match="no regular file"):
            write_text(path, "x")
    assert Path("/dev/null").is_char_device()


_WRITES = """
import sys, time
from pathlib import Path
from headstart.components.atomic_files import scratch_folder, whole_file, whole_folder
place = Path(sys.argv[1])
with whole_folder(place / "data") as a, whole_file(place / "file") as b, scratch_folder("import") as c:
    (a / "x").write_text("half"), b.write_text("half"), (c / "unpacked").write_text("half")
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("signalled", [signal.SIGKILL, signal.SIGTERM])
def test_what_killed_processes_left_is_removed_by_the_next_call_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, signalled: signal.Signals
) -> None:
    place, scratch = tmp_path / "place", tmp_path / "scratch"
    place.mkdir(), scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    (scratch / "headstart-import-notes").mkdir()
    environment = {**os.environ, "TMPDIR": str(scratch)}
    command = [sys.executable, "-c", _WRITES, str(place)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as killed:
        assert killed.stdout is not None
        killed.stdout.readline()
        killed.send_signal(signalled)
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as alive:
        assert alive.stdout is not None
        alive.stdout.readline()
        during = everything(place), everything(scratch)
        assert [len([name for name in each if name.endswith(".partial")]) for each in during] == [2, 1]
        # One that is at work is left alone, and does not keep another from writing to the same place.
        with whole_folder(place / "data") as a, whole_file(place / "file") as b, scratch_folder("import"):
            (a / "x").write_text("whole")
            b.write_text("whole")
        assert {name: content for name, content in everything(place).items() if name in during[0]} == during[0]
        assert everything(scratch) == during[1]
        alive.kill()
    with whole_folder(place / "data", lambda folder: True) as a, whole_file(place / "file"), scratch_folder("import"):
        (a / "y").write_text("next")
    assert everything(place) == {"data": None, "data/y": b"next", "file": b""}
    assert everything(scratch) == {"headstart-import-notes": None}


def test_json_refuses_what_other_readers_cannot_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []
