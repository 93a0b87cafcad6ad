"""`headstart run`: the whole experiment on this machine."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Any

import click

from headstart.components.credentials import conceal, masked_address
from headstart.components.design import DESIGNS, MOST_DRAWS, MOST_PREPARATIONS
from headstart.components.errors import SettingError
from headstart.components.stages import ARMS, DEFAULT_ARMS, chosen_arms
from headstart.pipelines.local_experiment import ExperimentRequest, run_experiment
from headstart.pipelines.setting_options import LAYOUTS, ClassesCommand, classes_option, parse_settings, settings_option

DEMONSTRATION = {"source": "demo:source", "intermediate": "demo:fruits"}


def _by_preset(place: int) -> str:
    return ", ".join(f"{preset}: {design[place]}" for preset, design in DESIGNS.items())


@click.command(cls=ClassesCommand, context_settings={"show_default": True})
@click.option("--preset", type=click.Choice(["demo", "paper", "fast"]), help="Recipe.  [default: demo or paper]")
@click.option("--cifar100", metavar="URI", help="Source set: CIFAR-100 in any of its published forms.")
@click.option("--fruits360", metavar="URI", help="Intermediate set: Fruits-360, any release.")
@click.option("--source", metavar="URI", help="Source set of your own.  [default: drawn demonstration data]")
@click.option("--source-layout", type=LAYOUTS, default="auto")
@click.option("--intermediate", metavar="URI", help="Intermediate set of your own.  [default: drawn]")
@click.option("--intermediate-layout", type=LAYOUTS, default="auto")
@click.option("--target", metavar="URI", default="", help="Target set of your own.  [default: selected classes]")
@click.option("--target-layout", type=LAYOUTS, default="auto")
@classes_option
@click.option(
    "--images-per-class",
    type=click.IntRange(min=1),
    help="Training images of each target class.  [default: 400; preset demo: 250]",
)
@click.option("--test-images-per-class", type=click.IntRange(min=0), default=0, help="0: as many as there are.")
@click.option("--image-size", type=click.IntRange(min=40, max=512), default=52, help="Pixels a side.")
@click.option("--runs", type=click.IntRange(min=1, max=2500), help="Runs of each arm, seeds 1 to N.  [default: 10]")
@click.option("--seeds", metavar="N,N,…", help="Seeds of the runs of each arm, instead of --runs.")
@click.option(
    "--arms", metavar="ARM,ARM,…", default=",".join(DEFAULT_ARMS), help=f"What to compare: {', '.join(ARMS)}."
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
@click.option(
    "--data-setting", "data_settings", multiple=True, metavar="NAME=VALUE", help="Override an import setting."
)
@click.option("--target-accuracy", type=click.FloatRange(0, 1), default=0.0, help="0: what every baseline run reaches.")
@click.option("--price-per-hour", type=click.FloatRange(min=0), default=0.0, help="Turns time into cost.")
@click.option("--output", type=click.Path(path_type=Path), help="Folder for the results.  [default: outputs/<time>]")
@click.option("--restart", is_flag=True, help="Begin again where the output folder holds an earlier run.")
@click.option("--docker", metavar="IMAGE", help="Run every task in a container of this image.")
@click.option("--keep-work", is_flag=True, help="Keep imported data and the tasks' own folders.")
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Run the whole experiment on this machine.

    Without options it draws its own demonstration data. The same command again goes on where an interrupted run in
    the same --output stopped. Exit status: 0 done and sound, 1 failed, 2 wrong use, 3 done but not sound,
    130 interrupted.
    """
    source, source_layout = _data_set(options, "source", "cifar100")
    intermediate, intermediate_layout = _data_set(options, "intermediate", "fruits360")
    if options["target"] and not options["target"].startswith("demo:"):
        _refuse_drawn_preparation(options)
    if options["baseline_data"] != "selected":
        raise SettingError(
            f"--baseline-data {options['baseline_data']}: arms that train on different data cannot be compared.",
            "Leave it out: all arms train on the target images.",
        )
    request = ExperimentRequest(
        parameters={
            "source_data": source,
            "source_layout": source_layout,
            "intermediate_data": intermediate,
            "intermediate_layout": intermediate_layout,
            "target_data": _absolute(options["target"], "target"),
            "target_layout": options["target_layout"],
            "seeds": _seeds(options["runs"], options["seeds"]),
            "arms": list(chosen_arms(options["arms"].split(","))),
            "preparations": options["preparations"] or 0,
            "draws": options["draws"] or 0,
            "hold_out_target": options["hold_out_target"],
            "preset": options["preset"] or "",
            "settings": parse_settings(options["settings"], "--set"),
            "classes": options["classes"],
            "images_per_class": options["images_per_class"] or 0,
            "test_images_per_class": options["test_images_per_class"],
            "image_size": options["image_size"],
            "data_settings": parse_settings(options["data_settings"], "--data-setting"),
        },
        report_settings={
            "target_accuracy": options["target_accuracy"],
            "price_per_hour": options["price_per_hour"],
            "command": shlex.join(["headstart", *map(masked_address, sys.argv[1:])]),
        },
        output=options["output"],
        restart=options["restart"],
        docker_image=options["docker"] or "",
        keep_work=options["keep_work"],
        verbose=ctx.obj["verbose"],
    )
    ctx.exit(run_experiment(request))


def _refuse_drawn_preparation(options: dict[str, Any]) -> None:
    """Raise SettingError where photographs would be transferred to from drawings that nobody asked for."""
    drawn = [role for role, alias in (("source", "cifar100"), ("intermediate", "fruits360"))
             if not options[role] and not options[alias]]  # fmt: skip
    if drawn:
        named, asked = (" ".join(words) for words in (
            [f"--{role} FOLDER" for role in drawn], [f"--{role} {DEMONSTRATION[role]}" for role in drawn]
        ))  # fmt: skip
        raise SettingError(
            f"--target {options['target']}: the {' and the '.join(drawn)} set would be drawn by Headstart, and what is "
            "learnt from drawings says nothing about a head start for images of your own.",
            f"Give {named} (or --cifar100, --fruits360), or ask for the drawings: {asked}.",
        )


def _seeds(runs: int | None, seeds: str | None) -> list[int]:
    if seeds is None:
        return list(range(1, (runs or 10) + 1))
    if runs is not None:
        raise SettingError("--runs and --seeds both say which runs there are.", "Give one of them.")
    try:
        return [int(seed) for seed in seeds.split(",")]
    except ValueError:
        raise SettingError(f"--seeds {seeds}: expected whole numbers such as 1,2,3.") from None


def _data_set(options: dict[str, Any], role: str, alias: str) -> tuple[str, str]:
    """Return URI and layout of the source or the intermediate set, however it was named."""
    if options[role] and options[alias]:
        raise SettingError(f"--{role} and --{alias} name the same set twice.", "Give one of them.")
    if options[alias]:
        return _absolute(options[alias], role), alias
    return _absolute(options[role] or DEMONSTRATION[role], role), options[f"{role}_layout"]


def _absolute(uri: str, role: str) -> str:
    """Make a local path absolute, since tasks run elsewhere; URIs stay as they are; a missing path is refused here."""
    if not uri or "://" in uri or uri.startswith("demo:"):
        return conceal(uri, role)
    path = Path(uri).expanduser().resolve()
    if not path.exists():
        raise SettingError(f"{uri}: there is no such file or folder.", "Name a path, gs://…, https://… or file://….")
    return str(path)
