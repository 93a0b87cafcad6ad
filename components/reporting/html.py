"""The report as one self-contained HTML file: no script, nothing fetched, every text escaped."""

from __future__ import annotations

from jinja2 import Environment, PackageLoader, StrictUndefined

from components.reporting import units
from components.reporting.answer import verdict
from components.reporting.experiment import Experiment
from components.reporting.settings import ReportSettings
from components.reporting.summary import Summary
from components.reporting.tables import preparation_table, runs_table


def environment() -> Environment:
    """Templates with escaping always on and no undefined name tolerated."""
    made = Environment(
        loader=PackageLoader("components.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.globals["units"] = units
    return made


def render(experiment: Experiment, summary: Summary, settings: ReportSettings) -> str:
    """The whole report."""
    return (
        environment()
        .get_template("report.html.jinja")
        .render(
            summary=summary,
            verdict=verdict(summary),
            tables=[
                runs_table(experiment, summary, "baseline"),
                runs_table(experiment, summary, "transfer"),
                preparation_table(experiment),
            ],
        )
    )
