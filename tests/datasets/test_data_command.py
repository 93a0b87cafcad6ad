"""`headstart data` as a person uses it."""

import functools
import hashlib
import io
import subprocess
import sys
import threading
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from click.testing import CliRunner
from PIL import Image

from headstart.components.console import Console
from headstart.components.datasets import downloads, preview
from headstart.pipelines.commands import data
from tests.datasets import drawn_files
from tests.json_results import read_result


def headstart(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "headstart", "data", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_import_show_and_select(tmp_path: Path) -> None:
    source = drawn_files.fruits(tmp_path / "in", ("Apple 1", "Apple 2", "Pear", "Kiwi"), train=8, test=3)
    packed, chosen = tmp_path / "packed", tmp_path / "chosen"
    imported = headstart("fruits360", str(source), "--output", str(packed), "--image-size", "24", "--seed", "5")
    assert imported.returncode == 0, imported.stderr
    rows = [line.replace("│", " ").split() for line in imported.stdout.splitlines() if "Apple 1" in line]
    assert rows == [["Apple", "1", "7", "1", "3"]]
    assert "event=" not in imported.stdout, "a person sees a table, not events"
    sheet = Image.open(packed / "preview.png")
    assert sheet.size[0] > 300
    assert len(sheet.getcolors(1 << 20) or []) > 100, "there are pictures on it"
    shown = headstart("show", str(packed), "--verify")
    assert shown.returncode == 0
    assert "The digest is right" in shown.stdout
    rule = ["-c", "apple=apple", "-c", "pears=pear", "-c", "noise=*"]
    selected = headstart("select", str(packed), "--output", str(chosen), *rule, "--images-per-class", "7")
    assert selected.returncode == 0, selected.stderr
    assert "apple/pears/noise: 3 classes" in selected.stdout


def test_the_sheet_writes_every_class_name(monkeypatch: pytest.MonkeyPatch) -> None:
    assert preview.font_for("apple")[1] == "apple"
    # As in a container, where there are no fonts but Pillow's own.
    monkeypatch.setattr(preview, "_FONTS", ())
    preview._fonts.cache_clear()
    assert preview.font_for("Äpfel (rot)")[1] == "Apfel (rot)"
    preview._fonts.cache_clear()


def test_wrong_use_is_explained(tmp_path: Path) -> None:
    missing = headstart("folder", str(tmp_path / "nothing"), "--output", str(tmp_path / "out"))
    assert missing.returncode == 2
    assert "there is no such file or folder" in missing.stderr
    assert "Traceback" not in missing.stderr
    (tmp_path / "empty").mkdir()
    empty = headstart("fruits360", str(tmp_path / "empty"), "--output", str(tmp_path / "out"))
    assert empty.returncode == 1
    assert "found nothing; expected folders Training and Test" in empty.stderr
    assert not (tmp_path / "out").exists()
    rule = headstart("select", str(tmp_path / "empty"), "--output", str(tmp_path / "out"), "-c", "apple")
    assert rule.returncode == 2
    assert "expected NAME=WORDS" in rule.stderr
    twice = headstart("select", str(tmp_path / "empty"), "--output", str(tmp_path / "out"), "-c", "a=x", "-c", "a=y")
    assert twice.returncode == 2
    assert "'a' is given twice" in twice.stderr


def test_fetch_downloads_checks_and_says_what_to_do_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"an archive" * 1000
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "set.tar.gz").write_bytes(content)
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "served"))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"http://127.0.0.1:{server.server_address[1]}/set.tar.gz"
    checksum = f"md5={hashlib.md5(content).hexdigest()}"
    # The address alone is another; everything behind it is the real thing.
    monkeypatch.setitem(downloads.FILES, "cifar100", downloads.PublishedFile(url, checksum, "a page"))
    fetch = ["fetch", "cifar100", "--output", str(tmp_path / "put in")]
    done, again = (CliRunner().invoke(data.command, [*fetch, *more]) for more in ([], ["--json"]))
    server.shutdown()
    server.server_close()
    assert done.exit_code == 0, done.output
    file = tmp_path / "put in" / "set.tar.gz"
    assert file.read_bytes() == content
    assert "its published MD5 is right" in done.output
    assert f"headstart data cifar100 '{file}' --output packed-cifar100" in done.output
    assert read_result("data fetch", again.stdout) == {"files": [str(file)]}


def _content(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize(
    "output", ["photos", "photos/packed", ".", "", "other", "link", "photos.zip", "photos/../photos"]
)
def test_an_output_that_is_not_ours_is_refused_and_nothing_is_lost(
    tmp_path: Path, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    photos = drawn_files.write_tree(tmp_path / "photos", {"a": 6, "b": 6})
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    (tmp_path / "link").symlink_to("other")
    (tmp_path / "photos.zip").write_text("mine")
    before = _content(tmp_path)
    monkeypatch.chdir(tmp_path)
    for named in (output, str(tmp_path / output)):
        refused = headstart("folder", str(photos), "--output", named)
        assert refused.returncode == 2, refused.stderr
        words = ("the output is", "the output lies in", "the output contains", "did not write there", "is a file")
        assert any(each in " ".join(refused.stderr.split()) for each in words), refused.stderr
        assert _content(tmp_path) == before


def test_a_selection_does_not_replace_what_it_selects_from(tmp_path: Path) -> None:
    drawn_files.fruits(tmp_path / "in", ("Apple", "Pear", "Kiwi"))
    packed = tmp_path / "packed"
    assert headstart("folder", str(tmp_path / "in"), "-o", str(packed)).returncode == 0
    before = _content(packed)
    for output in (packed, packed / "few"):
        refused = headstart("select", str(packed), "-o", str(output), "-c", "pear=pear", "-c", "rest=*")
        assert refused.returncode == 2, refused.stderr
        assert "the source" in refused.stderr
        assert _content(packed) == before


def test_an_earlier_packed_set_is_replaced_unless_something_was_put_into_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn_files.fruits(tmp_path / "in")
    (tmp_path / "packed").mkdir()
    monkeypatch.chdir(tmp_path / "packed")
    for size in ("16", "24"):
        assert headstart("folder", "../in", "-o", ".", "--image-size", size).returncode == 0
        assert f'"image_size": {size}' in (tmp_path / "packed" / "dataset.json").read_text()
    (tmp_path / "packed" / "train" / "notes.txt").write_text("mine")
    before = _content(tmp_path)
    assert headstart("folder", "../in", "-o", "../packed").returncode == 2
    assert _content(tmp_path) == before


@pytest.mark.parametrize(("terminal", "seconds", "lines"), [(False, 0, 2), (False, 1e9, 0), (True, 0, 0)])
def test_without_a_terminal_an_import_says_how_far_it_is(terminal: bool, seconds: float, lines: int) -> None:
    written = io.StringIO()
    tell = data.lines_instead(Console(file=written, force_terminal=terminal), seconds)
    tell("Packing test: 1 of 4")
    tell("Packing test: 2 of 4")
    assert written.getvalue().splitlines() == ["Packing test: 1 of 4", "Packing test: 2 of 4"][:lines]
