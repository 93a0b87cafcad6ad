"""The documentation names every rule and setting as they are; HEADSTART_RENEW_GOLDEN=1 renews the tables."""

import os
import re
from pathlib import Path

from headstart.components.reporting.settings import ReportSettings
from headstart.components.reporting.verify import RULES

DOCS = Path(__file__).parents[2] / "docs"


def renewed(path: Path, heading: str, rows: list[str]) -> None:
    """Check that the table below the line `heading` of the document has these rows, or write them there."""
    text = path.read_text(encoding="utf-8")
    start = text.index(heading) + len(heading)
    found = re.compile(r"(?:\|.*\n)*").match(text, start)
    assert found is not None
    table = "".join(f"{row}\n" for row in rows)
    if os.environ.get("HEADSTART_RENEW_GOLDEN"):
        path.write_text(text[:start] + table + text[found.end() :], encoding="utf-8")
        return
    assert found.group() == table, f"{path} is not up to date; HEADSTART_RENEW_GOLDEN=1 renews it."


def test_rules_are_documented_as_they_are() -> None:
    rows = [f"| `{rule.name}` | {rule.severity} | {rule.why} |" for rule in RULES.values()]
    renewed(DOCS / "verify.md", "| rule | severity | why |\n|---|---|---|\n", rows)


def test_settings_are_documented_as_they_are() -> None:
    text = (DOCS / "report.md").read_text(encoding="utf-8")
    for name in set(ReportSettings.model_fields) - {"command"}:
        assert f"| `{name}` |" in text
