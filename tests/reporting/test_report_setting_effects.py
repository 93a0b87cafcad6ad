"""Every setting of a report changes what the report says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import builders
import pytest

from headstart.components.reporting.report import write_report
from headstart.components.reporting.settings import ReportSettings

# The setting's other value, what must be set beside it, and one of the things in which the two reports must differ.
CASES: dict[str, tuple[Any, dict[str, Any], str]] = {
    "target_accuracy": (0.5, {}, "report.html"),
    "price_per_hour": (2.5, {}, "report.html"),
    "currency": ("EUR", {"price_per_hour": 2.5}, "report.html"),
    "rules": ({"few_runs": "error"}, {}, "findings"),
    "minimum_succeeded": (50, {}, "sound"),
    "confidence": (0.6, {}, "interval"),
    "command": ("headstart run --preset paper", {}, "report.html"),
}


@pytest.fixture(scope="module")
def records() -> list[Any]:
    return builders.experiment(runs=4)


def test_every_setting_has_a_case() -> None:
    # test_curve.py shows what the price of a label does: it is said of learning curves alone.
    assert {*ReportSettings.model_fields} == {*CASES, "price_per_label"}


@pytest.mark.parametrize("name", CASES)
def test_a_setting_changes_the_report(name: str, records: list[Any], tmp_path: Path) -> None:
    value, beside, what = CASES[name]

    def facts(folder: str, settings: dict[str, Any]) -> dict[str, Any]:
        summary = write_report(records, tmp_path / folder, settings=settings)
        return {
            "report.html": (tmp_path / folder / "report.html").read_text(),
            "findings": [(finding.rule, finding.severity) for finding in summary.findings],
            "sound": summary.sound,
            "interval": (summary.speedup.train.low, summary.accuracy_gain.low),
        }

    before = facts("before", beside)
    assert before == facts("again", beside), "differs by chance"
    assert before[what] != facts("after", {**beside, name: value})[what]
