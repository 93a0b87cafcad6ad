"""The script beside a report: it works every figure out of the records by itself, and notices one that is not so."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import builders
import pytest

from headstart.components.records import RunRecord, read_record
from headstart.components.reporting.report import write_report


def reproduce(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    script = [sys.executable, "-W", "error", str(folder / "reproduce.py")]
    return subprocess.run([*script, *arguments], capture_output=True, text=True, check=False, cwd=folder.parent)


def report(records: list[RunRecord], folder: Path) -> dict[str, object]:
    for record in records:
        record.write(folder / "records" / f"{record.name}.json")
    write_report(records, folder, settings={"command": "headstart run --runs 3"})
    summary: dict[str, object] = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return summary


@pytest.mark.parametrize("runs", [1, 3, 10])
def test_every_figure_follows_from_the_records(tmp_path: Path, runs: int) -> None:
    records = builders.experiment(runs)
    records += [builders.record("baseline", 70, status="failed", reason="no memory", epochs=0)]
    records += [builders.record("head", 71, status="failed", reason="no memory", epochs=0)]
    report(records, tmp_path / "out")
    done = reproduce(tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Every figure worked out here is that of summary.json." in done.stdout
    # Intervals too: exact Mann–Whitney of ten runs, Welch on logarithms of three, none of one.
    assert ("train, baseline / transfer, from" in done.stdout) == (runs > 1)
    assert "breaks even from model" in done.stdout


def test_several_arms_and_preparations(tmp_path: Path) -> None:
    records = builders.experiment(6)
    records += [builders.record("head", seed, epochs=20 + seed, accuracy=0.94) for seed in range(4)]
    later = builders.preparation()[:2]
    records += [record.model_copy(update={"preparation": 1}) for record in later]
    records = [
        record.model_copy(update={"preparation": record.seed % 2}) if record.arm in ("baseline", "transfer") else record
        for record in records
    ]
    report(records, tmp_path / "out")
    done = reproduce(tmp_path / "out", str(tmp_path / "out" / "records"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "train, baseline / head" in done.stdout
    # Of two preparations the transfer runs are not independent: a mixed interval.
    method = json.loads((tmp_path / "out/summary.json").read_text())["comparisons"][0]["speedup"]["train"]["method"]
    assert method == "mixed t on logarithms"
    assert "train, baseline / transfer, from" in done.stdout and "not worked out here" not in done.stdout


@pytest.mark.parametrize("name", ["demo", "recent", "fast", "curve"])
def test_every_interval_of_a_genuine_experiment(tmp_path: Path, name: str) -> None:
    """Two preparations crossed with two draws and a bit for each test image; one preparation; two runs of each arm."""
    records = [read_record(file) for file in sorted((Path(__file__).parent / "genuine" / name).glob("*.json"))]
    summary: Any = report(records, tmp_path / "out")
    done = reproduce(tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not worked out here" not in done.stdout
    if name == "demo":
        used = json.dumps(summary)
        assert all(f'"method": "{method}"' in used for method in ("crossed t", "mixed t", "Fieller"))
        assert "gain on new_images, baseline / transfer, from" in done.stdout
        assert "breaks even, from" in done.stdout or summary["break_even"]["low"] is None


@pytest.mark.parametrize(
    "place",
    [
        ("comparisons", 0, "speedup", "train", "estimate"),
        ("comparisons", 0, "speedup", "train", "high"),
        ("comparisons", 0, "speedup", "all_phases", "low"),
        ("comparisons", 0, "accuracy_gain", "these_images", "low"),
        ("comparisons", 0, "gain_by_class", "apple", "estimate"),
        ("preparation_seconds",),
        ("break_even", "first_model"),
        ("arms", "transfer", "accuracy", "mean"),
    ],
)
def test_a_figure_that_was_changed_is_noticed(tmp_path: Path, place: tuple[str | int, ...]) -> None:
    summary = report(builders.experiment(5), tmp_path / "out")
    part: object = summary
    for key in place[:-1]:
        part = part[key]  # type: ignore[index]
    part[place[-1]] = part[place[-1]] + 1  # type: ignore[index]
    (tmp_path / "out" / "summary.json").write_text(json.dumps(summary))
    done = reproduce(tmp_path / "out")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "\n! " in "\n" + done.stdout and "figures differ" in done.stdout


def test_a_changed_point_of_a_learning_curve_is_noticed(tmp_path: Path) -> None:
    records = [read_record(file) for file in sorted((Path(__file__).parent / "genuine" / "curve").glob("*.json"))]
    summary: Any = report(records, tmp_path / "out")
    summary["curve"][0]["accuracy"]["estimate"] += 0.01
    (tmp_path / "out" / "summary.json").write_text(json.dumps(summary))
    done = reproduce(tmp_path / "out")
    assert done.returncode == 1 and "\n1 figures differ" in done.stdout and "! baseline on 18 images" in done.stdout


def test_without_records_it_says_what_it_wants(tmp_path: Path) -> None:
    write_report(builders.experiment(3), tmp_path / "out")
    done = reproduce(tmp_path / "out")
    assert done.returncode == 2 and "Give the folder that holds them" in done.stdout


def test_a_rerun_runs_nothing_but_headstart_run(tmp_path: Path) -> None:
    summary = report(builders.experiment(3), tmp_path / "out")
    summary["command"] = "touch intruder"
    (tmp_path / "out" / "summary.json").write_text(json.dumps(summary))
    done = reproduce(tmp_path / "out", "--rerun", str(tmp_path / "again"))
    assert done.returncode == 2 and "names no `headstart run`" in done.stdout
    assert not (tmp_path / "intruder").exists()
    summary["command"] = "headstart run --no-such-option"
    (tmp_path / "out" / "summary.json").write_text(json.dumps(summary))
    done = reproduce(tmp_path / "out", "--rerun", str(tmp_path / "again"))
    assert done.returncode == 2 and "no-such-option" in done.stderr
