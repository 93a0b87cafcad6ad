"""One experiment with what was measured of it: what every form of the report is made from."""

from __future__ import annotations

from dataclasses import dataclass

from headstart.components.reporting.experiment import Experiment
from headstart.components.reporting.settings import ReportSettings
from headstart.components.reporting.summary import Summary


@dataclass(frozen=True)
class Report:
    """The runs, their summary, and the settings it was made with."""

    experiment: Experiment
    summary: Summary
    settings: ReportSettings
