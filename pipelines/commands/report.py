"""`headstart report`: render the report again, from run records alone."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from headstart.components.errors import HeadstartError
from headstart.components.foreign_text import echo
from headstart.pipelines.json_output import json_option, print_json
from headstart.pipelines.options import confidence_option, price_per_hour_option, split_pairs, target_accuracy_option

if TYPE_CHECKING:
    from headstart.components.design import Cell


@click.command(name="report")
@click.argument("records", nargs=-1, required=True, metavar="RECORD…", type=click.Path(path_type=Path))
@click.option(
    "--output", "-o", required=True, type=click.Path(path_type=Path, file_okay=False), help="Folder to write."
)
@target_accuracy_option
@price_per_hour_option
@click.option(
    "--price-per-label",
    type=click.FloatRange(min=0),
    default=0.0,
    show_default=True,
    help="Of labelling one image; turns labels that are saved into money.",
)
@click.option("--currency", default="USD", show_default=True, help="Of the prices.")
@click.option("--minimum-succeeded", default=3, show_default=True, help="Runs that must have succeeded in each arm.")
@confidence_option
@click.option("--rule", "rules", multiple=True, metavar="NAME=SEVERITY", help="error, warning or off for one rule.")
@click.option("--strict", is_flag=True, help="End with status 1 if the measurement is not sound.")
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    records: tuple[Path, ...],
    output: Path,
    target_accuracy: float,
    price_per_hour: float,
    price_per_label: float,
    currency: str,
    minimum_succeeded: int,
    confidence: float,
    rules: tuple[str, ...],
    strict: bool,
    as_json: bool,
) -> int:
    """Render report.html, report.md, runs.csv, reproduce.py and summary.json from run records.

    RECORD… are record files, or folders that hold them (also the output folder of a run). Records of several runs are
    put side by side.
    """
    from headstart.components.reporting.collecting import report_on
    from headstart.components.reporting.terminal import print_summaries
    from headstart.pipelines.own_files import check_report_folder

    settings = {
        "target_accuracy": target_accuracy,
        "price_per_hour": price_per_hour,
        "price_per_label": price_per_label,
        "currency": currency,
        "minimum_succeeded": minimum_succeeded,
        "confidence": confidence,
        "rules": split_pairs(rules, "--rule", "NAME=SEVERITY", "few_runs=off"),
    }
    check_report_folder(output, "--output")
    found = report_on(records, output, settings, _planned(records))
    if as_json:
        print_json(dict(found))
    else:
        print_summaries(found)
        echo(f"Report: {output / 'report.html'}")
    return 1 if strict and not all(summary.sound for _, summary in found) else 0


def _planned(records: tuple[Path, ...]) -> list[Cell]:
    """The runs that were asked for, where `records` is the output folder of one run, which says so."""
    from headstart.components.design import cells_asked_for
    from headstart.components.records import read_record
    from headstart.components.reporting.collecting import find_records
    from headstart.pipelines.own_files import earlier_run

    if len(records) != 1 or not records[0].is_dir():
        return []
    try:
        run = earlier_run(records[0])
        if run is None:
            return []
        return cells_asked_for(run.parameters, (read_record(file).preparation for file in find_records(records)))
    except (HeadstartError, TypeError, ValueError):
        return []  # a folder of records that no run of this version wrote
