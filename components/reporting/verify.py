"""What makes a measurement unsound (error) or weaker (warning): a list of named rules, each with its reason.

A rule looks at the records of one experiment and says what breaks it, in words a reader can act on. Which severity a
rule has can be set; `off` leaves it out.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence

from headstart.components.reporting.experiment import Experiment
from headstart.components.reporting.rules.registry import RULES
from headstart.components.reporting.settings import ReportSettings
from headstart.components.reporting.summary import Finding

__all__ = ["RULES", "is_sound", "verify"]

# Each of these enters its rules into the register, in the order in which reports list them.
for _part in ("runs", "copies", "likeness", "chain", "result", "clock", "learning", "images"):
    importlib.import_module(f"headstart.components.reporting.rules.{_part}")


def verify(experiment: Experiment, settings: ReportSettings) -> list[Finding]:
    """Apply every rule that is not off; errors come first, each group in the order of RULES."""
    findings = [
        Finding(rule=rule.name, severity=severity, message=message, runs=runs)
        for rule in RULES.values()
        if (severity := settings.rules.get(rule.name, rule.severity)) != "off"
        for message, runs in rule.check(experiment, settings)
    ]
    return sorted(findings, key=lambda finding: finding.severity != "error")


def is_sound(findings: Sequence[Finding]) -> bool:
    """A measurement is sound when no finding is an error."""
    return not any(finding.severity == "error" for finding in findings)
