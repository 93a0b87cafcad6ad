"""`headstart run`: the whole experiment on this machine."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import click

from headstart.components.design import DESIGNS, MOST_DRAWS, MOST_PREPARATIONS, MOST_RUNS
from headstart.components.errors import SettingError
from headstart.components.stages import ARMS, DEFAULT_ARMS
from headstart.components.training.networks import NAMES
from headstart.pipelines.configuration import config_option, given_options
from headstart.pipelines.dry_run import forecast, show
from headstart.pipelines.experiment_outputs import read_summary
from headstart.pipelines.interruption import INTERRUPTED
from headstart.pipelines.json_output import json_option, print_json
from headstart.pipelines.local_experiment import ExperimentRequest, run_experiment
from headstart.pipelines.options import (
    ADDRESS,
    LAYOUTS,
    ClassesCommand,
    accelerators_option,
    classes_option,
    data_settings_option,
    image_size_option,
    parse_settings,
    price_per_hour_option,
    settings_option,
    target_accuracy_option,
    test_images_option,
)
from headstart.pipelines.request import experiment_request, parse_seeds

# Options that are read before they are passed on.
_PARSED = frozenset({"arms", "settings", "data_settings"})


def _by_preset(place: int) -> str:
    return ", ".join(f"{preset}: {design[place]}" for preset, design in DESIGNS.items())


@click.command(cls=ClassesCommand, context_settings={"show_default": True})
@config_option
@click.option(
    "--preset",
    type=click.Choice(["demo", "paper", "fast"]),
    help="Recipe.  [default: demo on drawn images, else paper]",
)
@click.option(
    "--network",
    metavar="NAME|MODULE:FUNCTION",
    help=f"Network: {', '.join(NAMES)}, or a function of your own (FILE.py:FUNCTION).  [default: paper]",
)
@click.option("--cifar100", type=ADDRESS, metavar="URI", help="Source set: CIFAR-100 in any of its published forms.")
@click.option("--fruits360", type=ADDRESS, metavar="URI", help="Intermediate set: Fruits-360, any release.")
@click.option(
    "--source",
    type=ADDRESS,
    metavar="URI",
    help="Source set of your own, or none.  [default: drawn demonstration data]",
)
@click.option("--source-layout", type=LAYOUTS, default="auto", help="How that set is laid out.")
@click.option(
    "--intermediate",
    type=ADDRESS,
    metavar="URI",
    help="Intermediate set of your own, or none.  [default: drawn demonstration data]",
)
@click.option("--intermediate-layout", type=LAYOUTS, default="auto", help="How that set is laid out.")
@click.option(
    "--target",
    type=ADDRESS,
    metavar="URI",
    default="",
    show_default=False,
    help="Target set of your own.  [default: classes selected from the intermediate set]",
)
@click.option("--target-layout", type=LAYOUTS, default="auto", help="How that set is laid out.")
@click.option(
    "--prepared",
    type=ADDRESS,
    metavar="URI",
    help="Model to start from in place of the stages whose data are not given: .keras, .weights.h5, a SavedModel of "
    "Headstart, a run's output folder or a model store.",
)
@click.option(
    "--preparation-hours",
    type=click.FloatRange(min=0),
    help="Hours that preparing that model took.  [default: as its run measured it, else not known]",
)
@classes_option()
@click.option(
    "--images-per-class",
    type=click.IntRange(min=1),
    help="Training images of each target class.  [default: 400; preset demo: 250]",
)
@test_images_option
@image_size_option
@click.option(
    "--runs", type=click.IntRange(min=1, max=MOST_RUNS // 2), help="Runs of each arm, seeds 1 to N.  [default: 10]"
)
@click.option("--seeds", metavar="N,N,…", help="Seeds of the runs of each arm, instead of --runs.")
@click.option(
    "--arms", metavar="ARM,ARM,…", default=",".join(DEFAULT_ARMS), help=f"What to compare: {', '.join(ARMS)}."
)
@click.option(
    "--frozen",
    metavar="N..N|N,N,…",
    help="Further arms: transfer with the first N blocks frozen, such as 0..4; the report draws their curve.",
)
@click.option(
    "--preparations",
    type=click.IntRange(min=1, max=MOST_PREPARATIONS),
    help=f"Chains of pretraining and fine-tuning, over which the runs are spread.  [default: {_by_preset(0)}]",
)
@click.option(
    "--draws",
    type=click.IntRange(min=1, max=MOST_DRAWS),
    help=f"Draws of the target's training images, over which the runs are spread.  [default: {_by_preset(1)}]",
)
@click.option("--hold-out-target", is_flag=True, help="Fine-tune without the target's classes: transfer, not memory.")
@click.option("--baseline-data", hidden=True, type=click.Choice(["selected", "intermediate"]), default="selected")
@settings_option
@data_settings_option
@target_accuracy_option
@price_per_hour_option
@click.option("--output", "-o", type=click.Path(path_type=Path), help="Folder to write.  [default: outputs/TIME]")
@click.option("--restart", is_flag=True, help="Begin again where the output folder holds an earlier run.")
@click.option("--docker", metavar="IMAGE", help="Run every task in a container of this image.")
@accelerators_option
@click.option("--keep-work", is_flag=True, help="Keep imported data and the tasks' own folders.")
@click.option("--dry-run", is_flag=True, help="Say what would be read and trained and how long it takes, and stop.")
@json_option
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Run the whole experiment on this machine.

    Without options it draws its own demonstration data. The same command again goes on where an interrupted run in
    the same --output stopped. Exit status: 0 done and sound, 1 failed, 2 wrong use, 3 done but not sound,
    130 interrupted.
    """
    as_json, dry_run = options.pop("as_json"), options.pop("dry_run")
    execute(ctx, read_request(ctx, options), as_json, dry_run)


def read_request(ctx: click.Context, options: dict[str, Any], **more: Any) -> ExperimentRequest:
    """Return what the options of the command line, and `more` of `experiment_request`, ask for."""
    if options.pop("baseline_data") != "selected":
        raise SettingError(
            "--baseline-data: arms that train on different data cannot be compared.",
            "Leave it out: all arms train on the target images.",
        )
    seeds, docker = options.pop("seeds"), options.pop("docker")
    return experiment_request(
        **{name: value for name, value in options.items() if value is not None and name not in _PARSED},
        arms=options["arms"].split(","),
        seeds=parse_seeds(seeds) if seeds is not None else None,
        settings=parse_settings(options["settings"], "--set"),
        data_settings=parse_settings(options["data_settings"], "--data-setting"),
        docker=docker or "",
        verbose=ctx.obj["verbose"],
        configuration=given_options(ctx),
        typed=sys.argv[1:],
        **more,
    )


def execute(ctx: click.Context, request: ExperimentRequest, as_json: bool, dry_run: bool) -> None:
    """Run it, or forecast it, and end the command; with `as_json` only the result is printed, as JSON."""
    if dry_run:
        found = forecast(request)
        print_json(found) if as_json else show(found)
        return
    if not as_json:
        ctx.exit(run_experiment(request))
    with contextlib.redirect_stdout(sys.stderr):
        status = run_experiment(request)
    if status != INTERRUPTED:
        print_json(read_summary(request.output))
    ctx.exit(status)
