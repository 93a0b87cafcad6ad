"""`headstart retrain`: the retraining pipeline on this machine, for a person, cron or a systemd timer."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

import click

from headstart.components.credentials import conceal
from headstart.components.errors import SettingError
from headstart.components.promotion.store import open_store
from headstart.pipelines import local_retraining
from headstart.pipelines.configuration import config_option
from headstart.pipelines.json_output import json_option, print_json
from headstart.pipelines.options import (
    ADDRESS,
    LAYOUTS,
    ClassesCommand,
    accelerators_option,
    classes_option,
    data_settings_option,
    parse_settings,
    settings_option,
    store_option,
    test_images_option,
)


@click.command(cls=ClassesCommand, context_settings={"show_default": True})
@config_option
@click.option(
    "--data",
    required=True,
    type=ADDRESS,
    metavar="URI",
    help="New data: a folder, an archive, gs://…, s3://… or https://….",
)
@store_option
@click.option(
    "--model",
    "prepared",
    type=ADDRESS,
    metavar="URI",
    default="",
    show_default=False,
    help="Fine-tuned model to start from, such as "
    "OUTPUT/model/finetuned.keras; the store keeps it.  [default: the one it keeps]",
)
@click.option(
    "--layout",
    type=LAYOUTS,
    default="auto",
    show_default=False,
    help="How that set is laid out.  [default: that of the version in use; without one auto]",
)
@classes_option("those of the version in use; without one ")
@click.option("--as-is", is_flag=True, help="Take the classes of the data as they are, without selecting any.")
@click.option("--images-per-class", type=click.IntRange(min=1), default=400, help="Training images of each class.")
@test_images_option
@click.option(
    "--image-size",
    type=click.IntRange(min=0, max=512),
    default=0,
    help="Height and width of images in pixels; 0: that of the prepared model.",
)
@click.option("--runs", type=click.IntRange(min=1, max=100), default=3, help="Seeds to train; the best is taken.")
@click.option("--preset", type=click.Choice(["fast", "paper", "demo"]), default="fast", help="Recipe.")
@settings_option
@data_settings_option
@click.option(
    "--rule",
    "rules",
    multiple=True,
    metavar="NAME=VALUE",
    help="Promotion setting, such as margin=0.01 or class_bound=0; see docs/retraining.md. Repeatable.",
)
@click.option(
    "--notify",
    metavar="URL",
    envvar="HEADSTART_NOTIFY",
    default="",
    show_default=False,
    help="Address that gets one JSON message when it ends, unless there was nothing to do; also HEADSTART_NOTIFY.",
)
@click.option(
    "--registry", metavar="URL", default="", show_default=False, help="Kubeflow model registry for what is promoted."
)
@click.option("--registry-name", default="headstart", help="Name of the registered model.")
@accelerators_option
@click.option("--force", is_flag=True, help="Train although these data were trained on before.")
@click.option("--log", type=click.Path(dir_okay=False, path_type=Path), help="File for the whole log.")
@json_option
@click.pass_context
def command(ctx: click.Context, /, **options: Any) -> None:
    """Train the last stage on new data and promote the model if it is better than the one in use.

    Exit status: 0 promoted, or not for a reason that is in order (not better, nothing new); 1 failed, or the data
    could not be trained on; 2 wrong use; 130 interrupted.
    """
    store, prepared = absolute(options["store_uri"]), absolute(options["prepared"])
    data = options["data"] if options["data"].startswith("demo:") else absolute(options["data"])
    if data.startswith("/") and not Path(data).exists():
        raise SettingError(
            f"--data {options['data']}: there is no such file or folder.",
            "Name a data set's folder or archive, or an address such as https:// or gs://.",
        )
    classes, layout = {} if options["as_is"] else options["classes"], options["layout"]
    known = open_store(store).current()
    if known is not None and known.rule is not None and not options["as_is"] and _left_out(ctx, "classes"):
        classes = known.rule
    for option in ("classes", "images_per_class", "test_images_per_class"):
        if not classes and not _left_out(ctx, option):
            raise SettingError(
                f"--{option.replace('_', '-')}: it selects images, and the classes of the data are taken as they are.",
                "Leave it or --as-is out." if options["as_is"] else "Leave it out, or select with --classes.",
            )
    if known is not None and known.layout and _left_out(ctx, "layout"):
        layout = known.layout
    # Asked here, so that a missing model is said at once and not after the import.
    with local_retraining.refusal_kept(store, ""):
        image_size, reading, network = local_retraining.starting_point(open_store(store), prepared)
    request = local_retraining.RetrainingRequest(
        parameters={
            "store": store,
            "data": conceal(data, "data"),
            "prepared": prepared,
            "layout": layout,
            "classes": classes,
            "images_per_class": options["images_per_class"],
            "test_images_per_class": options["test_images_per_class"],
            "image_size": options["image_size"] or image_size,
            "seeds": list(range(1, options["runs"] + 1)),
            "preset": options["preset"],
            "settings": local_retraining.with_network(parse_settings(options["settings"], "--set"), network),
            "data_settings": reading | parse_settings(options["data_settings"], "--data-setting"),
            "promotion": parse_settings(options["rules"], "--rule"),
            "force": options["force"],
        },
        accelerators=options["accelerators"],
        log=options["log"],
        notify=options["notify"],
        registry=options["registry"],
        registry_name=options["registry_name"],
        verbose=ctx.obj["verbose"],
    )
    if not options["as_json"]:
        ctx.exit(local_retraining.run_retraining(request))
    with contextlib.redirect_stdout(sys.stderr):
        status = local_retraining.run_retraining(request)
    if (outcome := local_retraining.find_outcome(open_store(store), request.run_id)) is not None:
        print_json(outcome)
    ctx.exit(status)


def _left_out(ctx: click.Context, option: str) -> bool:
    return ctx.get_parameter_source(option) == click.core.ParameterSource.DEFAULT


def absolute(uri: str) -> str:
    """Make a local path absolute, since tasks run elsewhere; a URI stays as it is."""
    return uri if not uri or "://" in uri else str(Path(uri).expanduser().resolve())
