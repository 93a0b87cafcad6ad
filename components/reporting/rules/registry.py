"""What a rule is, and the register that the rules enter themselves into."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from headstart.components.records import RunRecord
from headstart.components.reporting.experiment import Experiment
from headstart.components.reporting.settings import ReportSettings, Severity

# What is wrong, in words a reader can act on, and the names of the runs concerned.
Broken = tuple[str, list[str]]
Check = Callable[[Experiment, ReportSettings], Iterable[Broken]]


@dataclass(frozen=True)
class Rule:
    """A named rule: its severity unless set otherwise, and why it matters."""

    name: str
    severity: Severity
    why: str
    check: Check


RULES: dict[str, Rule] = {}
MOST_NAMES = 20


def rule(severity: Severity) -> Callable[[Check], Check]:
    """Enter a check into RULES under its own name; its docstring is the reason that readers see."""

    def add(check: Check) -> Check:
        name = getattr(check, "__name__", "")
        RULES[name] = Rule(name, severity, check.__doc__ or "", check)
        return check

    return add


def names(records: Iterable[RunRecord]) -> list[str]:
    """Names of runs, at most MOST_NAMES, then how many more."""
    all_names = [record.name for record in records]
    return (
        all_names
        if len(all_names) <= MOST_NAMES
        else [*all_names[:MOST_NAMES], f"and {len(all_names) - MOST_NAMES} more"]
    )
