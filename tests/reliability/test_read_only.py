"""Places that cannot be written are refused by name, and before any work is done."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from faults import Disk

from headstart.components.datasets.importing import import_dataset
from headstart.components.errors import HeadstartError
from headstart.components.records import RunRecord
from headstart.components.reporting.report import write_report
from headstart.components.training.checkpoint import Folder


def headstart(*arguments: str) -> tuple[int, str]:
    done = subprocess.run([sys.executable, "-m", "headstart", *arguments], check=False, capture_output=True, text=True)
    assert "Traceback" not in done.stderr
    return done.returncode, " ".join(done.stderr.split())


def test_run(read_only: Disk) -> None:
    status, err = headstart("run", "--output", str(read_only.folder / "x"))
    assert status == 2
    assert f"--output {read_only.folder / 'x'}: cannot be written" in err
    assert "Name a folder" in err


def test_compile(read_only: Disk) -> None:
    status, err = headstart("compile", "experiment", "--output", str(read_only.folder / "x.yaml"))
    assert status == 1
    assert "x.yaml: cannot be written: Read-only file system" in err


def test_report(read_only: Disk, tmp_path: Path) -> None:
    record = RunRecord(arm="baseline", seed=1, run_id="r", status="failed", reason="why")
    record.write(tmp_path / "baseline-01.json")
    status, err = headstart("report", str(tmp_path), "--output", str(read_only.folder / "report"))
    assert status in (1, 2)
    assert str(read_only.folder / "report") in err


def test_plain_functions(read_only: Disk) -> None:
    record = RunRecord(arm="baseline", seed=1, run_id="r", status="failed", reason="why")
    place = read_only.folder
    for write in (
        lambda: import_dataset("demo:source", place / "data", images_per_class=2),
        lambda: record.write(place / "record.json"),
        lambda: write_report([record], place / "report"),
        lambda: Folder(str(place / "checkpoints")).write("checkpoint.npz", b"x"),
    ):
        with pytest.raises(HeadstartError, match="cannot be written: Read-only file system"):
            write()
    assert read_only.names() == []
