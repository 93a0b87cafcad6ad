"""What a rule is, the register that the rules enter themselves into, and how they name runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import NamedTuple

from headstart.components.records import RunRecord
from headstart.components.reporting.experiment import Experiment, by_key
from headstart.components.reporting.settings import ReportSettings, Severity
from headstart.components.reporting.units import counted

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
    if len(all_names) <= MOST_NAMES:
        return all_names
    return [*all_names[:MOST_NAMES], f"and {len(all_names) - MOST_NAMES} more"]


class Problem(NamedTuple):
    """What is wrong with one run; those of one kind become one finding.

    Attributes:
        kind: what problems are grouped by.
        record: the run.
        message: a sentence that names the run.
    """

    kind: str
    record: RunRecord
    message: str


# The kind of what is wrong with one run, and a sentence that names the run.
Flaw = tuple[str, str]


def of_runs(records: Iterable[RunRecord], *checks: Callable[[RunRecord], Iterable[Flaw]]) -> Iterable[Broken]:
    """Yield, grouped by kind, what checks of single runs find in each of them."""
    return grouped(
        Problem(kind, record, message) for record in records for check in checks for kind, message in check(record)
    )


def grouped(problems: Iterable[Problem]) -> Iterable[Broken]:
    """Yield one finding per kind: the first problem in full, then how many runs more have one of that kind."""
    for same in by_key(problems, lambda problem: problem.kind).values():
        runs = list({id(problem.record): problem.record for problem in same}.values())
        more = f" The same holds for {counted(len(runs) - 1, 'more run')}." if len(runs) > 1 else ""
        yield same[0].message + more, names(runs)
