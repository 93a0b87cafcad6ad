"""A disk that fills up under what is written: words that name the place, nothing half-written, and a second try."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from faults import Disk, descendants

from headstart.components.atomic_files import whole_folder, write_text
from headstart.components.datasets.importing import import_dataset
from headstart.components.datasets.packed import PackedDataset, write_packed
from headstart.components.errors import HeadstartError
from headstart.components.promotion.candidates import candidates
from headstart.components.promotion.commit import keep_candidate
from headstart.components.promotion.store import open_store
from headstart.components.promotion.uses import count, read_uses
from headstart.components.records import RunRecord, read_record
from headstart.components.reporting.report import write_report
from headstart.components.training.checkpoint import CHECKPOINT, Folder
from tests.processes import alive
from tests.promotion.store_contents import manifest, outcome, put, served, version_folder

MountDisk = Callable[[str], Disk]
RECORDS = [RunRecord(arm="baseline", seed=seed, run_id="r", status="failed", reason="x" * 2000) for seed in range(60)]


def test_importing(disk: MountDisk) -> None:
    small = disk("1m")
    with pytest.raises(HeadstartError, match=r"data: cannot be written: no space left on its disk"):
        import_dataset("demo:source", small.folder / "data", images_per_class=8)
    assert small.names() == []
    small.remount("size=64m")
    description = import_dataset("demo:source", small.folder / "data", images_per_class=8)
    assert len(PackedDataset(small.folder / "data").split("train")[1]) == description.counts["train"]


def test_a_packed_set_of_arrays(disk: MountDisk) -> None:
    # numpy tells of a full disk without an error number
    small = disk("100k")
    images, labels = np.zeros((200, 16, 16, 3), np.uint8), np.zeros(200, np.int32)
    splits = dict.fromkeys(("train", "validation", "test"), (images, labels))
    about = {"name": "x", "source": "y", "classes": ["a"]}
    with pytest.raises(HeadstartError, match="no space left"), whole_folder(small.folder / "data") as partial:
        write_packed(partial, about, splits)
    assert small.names() == []


def test_a_checkpoint(disk: MountDisk) -> None:
    small = disk("300k")
    folder = Folder(str(small.folder / "baseline-1"))
    folder.write(CHECKPOINT, b"1" * 200_000)
    with pytest.raises(HeadstartError, match=r"checkpoint.npz: cannot be written: no space left"):
        folder.write(CHECKPOINT, b"2" * 200_000)
    assert folder.read(CHECKPOINT) == b"1" * 200_000
    assert small.names() == ["baseline-1", CHECKPOINT]


def test_a_record(disk: MountDisk) -> None:
    small = disk("64k")
    path = small.folder / "baseline-01.json"
    RECORDS[0].write(path)
    small.fill()
    with pytest.raises(HeadstartError, match=r"baseline-01.json: cannot be written: no space left"):
        RECORDS[1].write(path)
    assert read_record(path) == RECORDS[0]
    assert small.names() == ["baseline-01.json"]


def test_a_report(disk: MountDisk) -> None:
    small = disk("60k")
    with pytest.raises(HeadstartError, match="no space left"):
        write_report(RECORDS, small.folder / "report")
    # summary.json is what programs look for; it comes last
    assert "summary.json" not in small.names()
    assert not [name for name in small.names() if name.endswith(".partial")]
    small.remount("size=4m")
    write_report(RECORDS, small.folder / "report")
    assert "summary.json" in small.names()


def test_a_package(disk: MountDisk) -> None:
    small = disk("16k")
    done = subprocess.run(
        [sys.executable, "-m", "headstart", "compile", "experiment", "--output", str(small.folder / "x.yaml")],
        check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 1
    assert "x.yaml: cannot be written: no space left" in " ".join(done.stderr.split())
    assert small.names() == []


@pytest.mark.slow
def test_a_whole_run(disk: MountDisk) -> None:
    """An import fails, the status and the message say so; with more room the same command goes on."""
    small = disk("600k")
    output = small.folder / "out put"
    command = [sys.executable, "-m", "headstart", "run", "--runs", "1", "--output", str(output)]
    command += [
        "--data-setting",
        "images_per_class=8",
        "--images-per-class",
        "8",
        "--data-setting",
        "near_duplicates=false",
    ]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    said = " ".join((done.stdout + done.stderr).split())
    assert done.returncode == 1, said
    assert re.search(r"import-dataset(-2)? failed: .*cannot be written: no space left on its disk", said), said
    assert "Traceback" not in said
    assert not list(output.rglob("dataset.json"))
    assert not (output / "summary.json").exists()
    assert json.loads((output / "run.json").read_text())["state"] == "running"
    small.remount("size=200m")
    again = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert again.stdout is not None
    for line in again.stdout:
        if line.startswith("Import "):
            assert "FAILED" not in line
            break
    below = descendants(again.pid)
    again.terminate()
    rest, _ = again.communicate(timeout=120)
    assert again.returncode == 130, rest
    assert alive(below) == []


def test_a_log_that_cannot_be_written_stops_nothing(disk: MountDisk, tmp_path: Path) -> None:
    from headstart.pipelines.local import _Log

    small = disk("8k")
    with _Log(small.folder / "run.log") as log:
        for _ in range(20):
            log.write("a line of the log\n" * 100)
    assert (small.folder / "run.log").stat().st_size > 0


def test_text_replaces_only_when_whole(disk: MountDisk) -> None:
    small = disk("40k")
    write_text(small.folder / "a.txt", "before")
    with pytest.raises(HeadstartError):
        write_text(small.folder / "a.txt", "x" * 100_000)
    assert (small.folder / "a.txt").read_text() == "before"
    assert small.names() == ["a.txt"]


def test_a_model_store(disk: MountDisk, tmp_path: Path) -> None:
    """Neither a version, nor a candidate, nor the counts of test images are there by half, and a second try works."""
    small = disk("1m")
    store = open_store(str(small.folder / "store"))
    put(store, tmp_path, "first")
    count(store, ["ab" * 16], "night 1", "q", 0.95, 50)
    before, names = read_uses(store), [name for name in small.names() if name != ".lock"]
    big = version_folder(tmp_path, "second")
    (big / "model" / "model.keras").write_bytes(bytes(2 << 20))
    with pytest.raises((HeadstartError, OSError), match=r"(?i)no space left"):
        store.add(big, manifest("second"))
    (big / "model" / "model.keras").write_bytes(b"small")
    small.fill()
    with pytest.raises((HeadstartError, OSError), match=r"(?i)no space left"):
        count(store, ["cd" * 16], "night 2", "q", 0.95, 50)
    with pytest.raises((HeadstartError, OSError), match=r"(?i)no space left"):
        keep_candidate(store, big, manifest("second"), outcome("second", 1, "night 2"))
    assert (read_uses(store), [name for name in small.names() if name != ".lock"]) == (before, names)
    assert candidates(store) == {}
    assert served(store, tmp_path / "fetched") == "served first"
    (small.folder / "filling").unlink()
    assert keep_candidate(store, big, manifest("second"), outcome("second", 1, "night 2")).version == 2
