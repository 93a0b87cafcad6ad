"""The report and verify tasks of the pipeline."""

import json
from pathlib import Path

import builders
import pytest

from headstart.components.errors import HeadstartError
from headstart.components.records import RunRecord
from headstart.components.reporting import component
from headstart.components.reporting.report import report_stage, verify_stage


def paths(records: list[RunRecord], folder: Path) -> list[str]:
    made = []
    for record in records:
        path = folder / f"{record.arm}-{record.seed}" / "record"
        record.write(path)
        made.append(str(path))
    return made


def run(records: list[str], folder: Path, **settings: object) -> dict[str, float]:
    return report_stage(
        records=records,
        run_id=builders.RUN_ID,
        settings=settings,
        html=str(folder / "html"),
        markdown=str(folder / "markdown"),
        summary=str(folder / "summary"),
    )


def test_report_fills_its_artifacts_and_logs_plain_numbers(tmp_path: Path) -> None:
    metrics = run(paths(builders.experiment(), tmp_path), tmp_path, command="headstart run")
    assert (tmp_path / "html").read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert (tmp_path / "markdown").read_text(encoding="utf-8").startswith("# Transfer trains")
    assert sorted(path.name for path in (tmp_path / "summary").iterdir()) == [
        "report.html",
        "report.md",
        "reproduce.py",
        "runs.csv",
        "summary.json",
    ]
    summary = json.loads((tmp_path / "summary" / "summary.json").read_text(encoding="utf-8"))
    assert metrics == {
        "speedup": summary["speedup"]["train"]["estimate"],
        "accuracy_gain_points": 100 * summary["accuracy_gain"]["estimate"],
        "break_even_models": summary["break_even_models"],
        "preparation_seconds": summary["preparation_seconds"],
        "sound": 1.0,
    }
    verify_stage(str(tmp_path / "summary"))


def test_a_foreign_record_renders_and_then_fails_verify(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    records = [r.model_copy(update={"run_id": "last-week"}) if r.seed == 3 else r for r in builders.experiment()]
    assert run(paths(records, tmp_path), tmp_path)["sound"] == 0.0
    with pytest.raises(HeadstartError, match="own_run: 2 records of another pipeline run"):
        verify_stage(str(tmp_path / "summary"))
    assert "event=finding severity=error rule=own_run" in capsys.readouterr().out


def test_a_damaged_record_costs_its_run_and_not_the_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = paths(builders.experiment(), tmp_path)
    Path(files[5]).write_text("{", encoding="utf-8")
    run(files, tmp_path)
    summary = json.loads((tmp_path / "summary" / "summary.json").read_text(encoding="utf-8"))
    assert sum(arm["runs"] for arm in summary["arms"].values()) == 19
    assert "record left out" in capsys.readouterr().out
    rules = [finding["rule"] for finding in summary["findings"]]
    assert rules == ["unreadable"]
    with pytest.raises(HeadstartError, match="unreadable"):
        verify_stage(str(tmp_path / "summary"))


def test_metrics_that_are_not_known_are_absent(tmp_path: Path) -> None:
    metrics = run(paths(builders.preparation(), tmp_path), tmp_path)
    assert set(metrics) == {"preparation_seconds", "sound"}


def test_components_take_the_collected_records() -> None:
    spec = component.report.component_spec
    assert {name for name, value in (spec.inputs or {}).items() if value.is_artifact_list} == {
        "pretrain",
        "finetune",
        "runs",
    }
    assert set(spec.outputs or {}) == {"html", "markdown", "summary", "metrics"}
    assert set(component.verify.component_spec.inputs or {}) == {"summary"}
