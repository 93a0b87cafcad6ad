"""`headstart compare`: say whether one result is slower or less accurate than another, for people and for CI."""

from __future__ import annotations

from pathlib import Path

import click

from headstart.pipelines.json_output import json_option, print_json
from headstart.pipelines.options import confidence_option


@click.command(name="compare")
@click.argument("a", type=click.Path(path_type=Path))
@click.argument("b", type=click.Path(path_type=Path))
@confidence_option
@click.option(
    "--time-tolerance",
    type=click.FloatRange(0),
    default=5.0,
    show_default=True,
    help="Per cent by which B may take longer than A without counting as slower.",
)
@click.option(
    "--accuracy-tolerance",
    type=click.FloatRange(0),
    default=0.5,
    show_default=True,
    help="Percentage points by which B may lie below A without counting as less accurate.",
)
@click.option("--anyway", is_flag=True, help="Compare even if images or hardware differ.")
@json_option
def command(
    a: Path,
    b: Path,
    confidence: float,
    time_tolerance: float,
    accuracy_tolerance: float,
    anyway: bool,
    as_json: bool,
) -> int:
    """Say whether B is slower or less accurate than A beyond noise.

    A and B are output folders of a run, their summary.json, or folders of run records. The exit status is 0 if B is no
    worse, 1 if it is, 2 if the two cannot be compared.
    """
    from headstart.components.console import Console
    from headstart.components.reporting.regression import compare, load
    from headstart.components.reporting.terminal import comparison_table

    found = compare(
        load(a),
        load(b),
        confidence=confidence,
        time_tolerance=time_tolerance / 100,
        accuracy_tolerance=accuracy_tolerance / 100,
        anyway=anyway,
    )
    if as_json:
        print_json(found)
        return 1 if found.worse else 0
    console = Console()
    for notice in found.notices:
        console.print(notice, style="yellow")
    console.print(comparison_table(found))
    worse = [judgement.quantity for judgement in found.judgements if judgement.verdict == "worse"]
    if worse:
        console.print(f"B is worse: {', '.join(worse)}.", style="bold red")
    else:
        console.print("B is no worse than A.", style="bold green")
    return 1 if worse else 0
