"""docs/report.md names every rule and setting as they are."""

from pathlib import Path

from headstart.components.reporting.settings import ReportSettings
from headstart.components.reporting.verify import RULES


def test_rules_and_settings_are_documented_as_they_are() -> None:
    text = (Path(__file__).parents[2] / "docs" / "report.md").read_text(encoding="utf-8")
    for rule in RULES.values():
        assert f"| `{rule.name}` | {rule.severity} | {rule.why} |" in text
    for name in set(ReportSettings.model_fields) - {"command"}:
        assert f"| `{name}` |" in text
