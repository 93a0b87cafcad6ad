"""`headstart curve`: every arm at several sizes of the training set, on this machine."""

from __future__ import annotations

from typing import Any

import click

from headstart.components.design import (
    AUTO_SIZES,
    CURVE_DRAWS,
    CURVE_RUNS,
    MOST_DRAWS,
    MOST_PREPARATIONS,
    MOST_RUNS,
    check_sizes,
)
from headstart.components.errors import SettingError
from headstart.pipelines.commands import run
from headstart.pipelines.options import ADDRESS, ClassesCommand

# What `headstart run` has and a curve has not, or has with another default.
OWN = ("runs", "preparations", "draws", "prepared", "preparation_hours", "images_per_class")

_options: list[click.Parameter] = [
    click.Option(
        ["--sizes"],
        metavar="N,N,…",
        default=AUTO_SIZES,
        help="Training images per class; auto: 1/32, 1/16 … 1 of what there is.",
    ),
    click.Option(
        ["--prepared"],
        multiple=True,
        type=ADDRESS,
        metavar="URI",
        help="Output folder of an experiment, or a model, whose weights are transferred; repeatable.  [default: they "
        "are made first]",
    ),
    click.Option(
        ["--price-per-label"], type=click.FloatRange(min=0), default=0.0, help="Turns labels that are saved into money."
    ),
    click.Option(
        ["--runs"],
        type=click.IntRange(1, MOST_RUNS // 2),
        help=f"Runs of each arm at each size.  [default: {CURVE_RUNS}]",
    ),
    click.Option(
        ["--draws"],
        type=click.IntRange(1, MOST_DRAWS),
        default=CURVE_DRAWS,
        help="Draws of the target's training images, over which the runs are spread.",
    ),
    click.Option(
        ["--images-per-class"],
        type=click.IntRange(min=1),
        help="Training images of each target class.  [default: the largest of --sizes; auto: 400, preset demo: 250]",
    ),
    click.Option(
        ["--preparations"],
        type=click.IntRange(1, MOST_PREPARATIONS),
        help="Chains of pretraining and fine-tuning to make, where no --prepared is given.  [default: 1]",
    ),
]


@click.command(
    cls=ClassesCommand,
    context_settings={"show_default": True},
    params=[*_options, *(option for option in run.command.params if option.name not in OWN)],
)
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Say how many labels transfer saves: with how many images would training from scratch have been as accurate?

    Trains every arm at several sizes of the target's training set and reports learning curves. The images of a
    smaller size are among those of a larger one, and validation images shrink alike. What else is set is as in
    `headstart run`; the same command with the same --output goes on where it was interrupted.
    """
    sizes, prepared = _sizes(options.pop("sizes")), options.pop("prepared")
    as_json, dry_run = options.pop("as_json"), options.pop("dry_run")
    run.execute(ctx, run.read_request(ctx, options, sizes=sizes, prepared=prepared), as_json, dry_run)


def _sizes(text: str) -> list[Any]:
    if text == AUTO_SIZES:
        return [AUTO_SIZES]
    try:
        return list(check_sizes([int(size) for size in text.split(",")]))
    except ValueError:
        raise SettingError(f"--sizes {text}: expected whole numbers such as 12,25,50, or {AUTO_SIZES}.") from None
