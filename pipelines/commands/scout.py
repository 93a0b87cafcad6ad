"""`headstart scout`: rank prepared models for a target set before anything is trained."""

from __future__ import annotations

import dataclasses
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from headstart.components.datasets.settings import check_data_settings
from headstart.components.errors import SettingError
from headstart.components.foreign_text import echo
from headstart.components.training.networks import NAMES, own_network
from headstart.pipelines.commands.data import watched
from headstart.pipelines.json_output import json_option, print_json
from headstart.pipelines.options import (
    ADDRESS,
    LAYOUTS,
    ClassesCommand,
    data_settings_option,
    image_size_option,
    parse_classes,
    parse_settings,
)

_ABREAST = 7  # models in one table of accuracies: a terminal of 90 columns holds them

if TYPE_CHECKING:
    from headstart.components.console import Console
    from headstart.components.datasets.packed import Description
    from headstart.components.scouting.against import Agreement, Measure
    from headstart.components.scouting.scout import Scouted


@click.command(cls=ClassesCommand, context_settings={"show_default": True})
@click.argument("models", nargs=-1, required=True, type=ADDRESS, metavar="MODEL…")
@click.option("--target", type=ADDRESS, metavar="URI", required=True, help="Target set: your images.")
@click.option("--target-layout", type=LAYOUTS, default="auto", help="How that set is laid out.")
@click.option(
    "--classes",
    multiple=True,
    metavar="NAME=WORDS",
    help="Select these target classes from that set, as `run` does from its intermediate set.  [default: its classes]",
)
@click.option(
    "--images-per-class",
    type=click.IntRange(min=1),
    help="Training images of each of --classes.  [default: 400]",
)
@click.option(
    "--network",
    metavar="NAME|MODULE:FUNCTION",
    default="",
    show_default=False,
    help="Network of the models that do not say theirs: weights, and models of other programs at another image size.",
)
@image_size_option
@data_settings_option
@click.option(
    "--against",
    multiple=True,
    metavar="RUN",
    type=click.Path(exists=True, path_type=Path),
    help="Output folder of a run that started from one of the models: its accuracies are shown too; repeatable.",
)
@json_option
def command(
    models: tuple[str, ...],
    target: str,
    target_layout: str,
    classes: tuple[str, ...],
    images_per_class: int | None,
    network: str,
    image_size: int,
    data_settings: tuple[str, ...],
    against: tuple[Path, ...],
    as_json: bool,
) -> None:
    """Rank prepared models for a target set before training: LogME, and a linear probe on their features.

    MODEL… are what `headstart run --prepared` takes, or networks of the registry, with random weights then. Training
    and validation images are used, test images never.
    """
    if network:
        own = own_network(network)
        if own is not None and own.file is not None and not own.file.is_file():
            raise SettingError(f"--network {network}: there is no file {own.file}.")
    settings = parse_settings(data_settings, "--data-setting")
    check_data_settings(settings)
    if images_per_class and not classes:
        raise SettingError(
            "--images-per-class: says how many images of each of --classes are selected, and none are given.",
            "Give --classes, or thin the whole set with --data-setting images_per_class=N.",
        )
    rule = parse_classes(classes) if classes else {}
    with watched():
        from headstart.components.training import environment

        environment.prepare_on_processor()
    from headstart.components.scouting.against import agreements, measured
    from headstart.components.scouting.scout import scout

    with tempfile.TemporaryDirectory(prefix="headstart-scout-") as scratch, watched():
        packed = Path(scratch, "target")
        how = {"layout": target_layout, "image_size": image_size, **settings}
        description = _import(target, packed, how, rule, images_per_class or 400)
        start = time.perf_counter()
        found = scout(models, packed, network)
        took = time.perf_counter() - start
    accuracies: dict[str, dict[Measure, float]] = {}
    agreed: list[Agreement] = []
    if against:
        accuracies = measured(against, [each.weights for each in found], description.classes)
        estimates = {
            name: {each.weights: getattr(each, name) for each in found if each.weights} for name in ("logme", "probe")
        }
        agreed = agreements(estimates, accuracies)
    if as_json:
        rows = [{**dataclasses.asdict(each), "measured": _measured(accuracies.get(each.weights, {}))} for each in found]
        print_json({"models": rows, "agreement": agreed, "seconds": took})
        return
    counts = description.counts
    echo(
        f"{len(description.classes)} classes, {counts['train']:,} training and {counts['validation']:,} validation "
        f"images of {image_size} pixels; {took:.0f} s for {len(found)} models"
    )
    _print(found, accuracies, agreed, compared=bool(against))


def _import(target: str, folder: Path, how: dict[str, Any], rule: dict[str, str], images_per_class: int) -> Description:
    """Pack the target set into `folder`; with a `rule`, its classes selected as a run selects them."""
    from headstart.components.datasets.importing import import_dataset
    from headstart.components.datasets.selection import select_classes

    if not rule:
        return import_dataset(target, folder, **how)
    whole = folder.with_name("whole")
    import_dataset(target, whole, **how)
    return select_classes(whole, folder, **{**how, "classes": rule, "images_per_class": images_per_class})


def _measured(accuracies: dict[Measure, float]) -> list[dict[str, Any]]:
    return [{**measure._asdict(), "accuracy": accuracy} for measure, accuracy in sorted(accuracies.items())]


def _print(
    found: list[Scouted], accuracies: dict[str, dict[Measure, float]], agreed: list[Agreement], *, compared: bool
) -> None:
    from rich.text import Text

    from headstart.components.console import Console, columns
    from headstart.components.scouting.against import Measure

    titles = ("", "model", "network", "features", "LogME", "linear probe")
    table = columns(*titles, left=("model", "network"), header_style="bold")
    for place, each in enumerate(found, start=1):
        name = f"{each.model}, random weights" if each.model in NAMES else each.model
        table.add_row(
            str(place),
            Text(name),
            Text(each.network),
            f"{each.features:,}",
            f"{round(each.logme, 3) + 0.0:.3f}",  # no -0.000
            f"{100 * each.probe:.1f} %",
        )
    console = Console()
    console = console if console.is_terminal else Console(width=250)
    console.print(table)
    _print_measured(console, found, accuracies)
    for each in found:
        if each.seen:
            echo(f"{each.model} was trained on {each.seen:,} of these training images: its estimates flatter it.")
    best = max(found, key=lambda each: each.probe)
    if best.probe > found[0].probe:
        echo(f"The two disagree about the first: by the linear probe it is {best.model}.")
    for line in agreed:
        tau = "" if line.tau is None else f", Kendall's tau {line.tau:.2f}"
        name = {"logme": "LogME", "probe": "The linear probe"}[line.estimate]
        measure = Measure(line.arm, line.images)
        echo(
            f"{name} against {measure}, {line.models} models: {line.same} of {line.pairs} pairs in the same order{tau}."
        )
    if compared and not agreed:
        echo("An order takes two measured models; fewer of these were.")
    if compared and any(line.models < 6 for line in agreed):
        echo("So few models say little about how well an estimate orders others.")


def _print_measured(console: Console, found: list[Scouted], accuracies: dict[str, dict[Measure, float]]) -> None:
    """Print a row for each arm and number of images, and a column for each measured model, as many as fit."""
    from rich.table import Table

    from headstart.components.scouting.against import measures

    own = {place: accuracies[each.weights] for place, each in enumerate(found, 1) if accuracies.get(each.weights)}
    if own:
        echo("Mean test accuracy of the runs that started from each model, by its place above:")
    for first in range(0, len(own), _ABREAST):
        columns = dict(list(own.items())[first : first + _ABREAST])
        table = Table("", *map(str, columns), box=None, pad_edge=False, header_style="bold")
        for column in table.columns[1:]:
            column.justify = "right"
        for measure in measures({str(place): each for place, each in columns.items()}):
            cells = (f"{100 * each[measure]:.1f} %" if measure in each else "–" for each in columns.values())
            table.add_row(str(measure), *cells)
        console.print(table)
