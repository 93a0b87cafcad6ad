"""`headstart predict`: the classes of image files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from textwrap import indent
from typing import TypeVar

import click
from rich.table import Table
from rich.text import Text

from headstart.components.console import Console
from headstart.components.datasets.folders import to_convert
from headstart.components.datasets.images import SUFFIXES
from headstart.components.errors import HeadstartError, SettingError
from headstart.components.foreign_text import echo
from headstart.components.promotion import signing
from headstart.components.promotion.integrity import MANIFEST, check_files, read_manifest
from headstart.components.regular_files import is_litter
from headstart.components.training import prediction
from headstart.pipelines.json_output import json_option
from headstart.pipelines.options import ADDRESS

Entry = TypeVar("Entry")
_SHOWN_TOGETHER = 500
"""Rows of a table, whose columns are as wide as their widest entry."""


@click.command(name="predict")
@click.argument("model", type=ADDRESS)
@click.argument("images", nargs=-1, required=True, type=ADDRESS, metavar="IMAGE…")
@click.option("--top", default=3, show_default=True, type=click.IntRange(1, 1000), help="Classes to print per image.")
@json_option
def command(model: str, images: tuple[str, ...], top: int, as_json: bool) -> int:
    """Print the classes of images, most probable first.

    MODEL is a .keras file or a SavedModel that `headstart run` wrote, the folder that holds it, or a version in a model
    store. IMAGE… are image files, or folders of them. Ends with status 1 if an image could not be read.
    """
    place = prediction.local(model, "MODEL")
    prediction.kind_of(place)
    files: list[Path] = []
    for image in images:
        files += image_files(prediction.local(image, "IMAGE"))
    check_version(place)
    unread = 0
    found = prediction.classify(place, files, top)
    for number, block in enumerate(batches(found, _SHOWN_TOGETHER)):
        unread += sum(bool(entry.error) for entry in block)
        if as_json:
            # One list in the end, but written as it comes, since it may be long.
            entries = [
                indent(json.dumps(prediction.as_json(entry), indent=2, ensure_ascii=False), "  ") for entry in block
            ]
            json_text = ("," if number else "[") + "\n" + ",\n".join(entries)
            click.echo(json_text, nl=False)
        else:
            _print(block)
    if as_json:
        click.echo("\n]")  # which ends the json
    return 1 if unread else 0


def batches(entries: Iterable[Entry], size: int) -> Iterator[list[Entry]]:
    """Yield lists of `size` entries, and what is left in the last."""
    left = iter(entries)
    while block := list(islice(left, size)):
        yield block


def check_version(model: Path) -> None:
    """Where `model` lies in a version of a model store, check that version's files against its manifest."""
    place = model.resolve()
    for folder in [place, *place.parents[:3]]:
        if (folder / MANIFEST).is_file():
            check_files(folder, read_manifest(folder))
            signing.verify(folder, str(folder))
            return
    if signing.verifies():
        raise HeadstartError(
            f"{model}: lies in no version of a model store, and {signing.VERIFYING_KEY} asks for a signature.",
            "Name a version in a store, or unset the variable.",
        )


def image_files(image: Path) -> list[Path]:
    """Return the file itself, or the images below a folder; SettingError where there are none."""
    if not image.is_dir():
        return [image]
    inside = sorted(
        path for path in image.rglob("*") if path.is_file() and not any(map(is_litter, path.relative_to(image).parts))
    )
    images = [path for path in inside if path.suffix.lower() in SUFFIXES]
    rest = sorted({path.suffix.lower() or path.name for path in inside} - SUFFIXES)
    if not images:
        found = f"only {', '.join(rest[:5])}" if rest else "nothing"
        raise SettingError(f"{image}: there are no images in this folder; found {found}.", to_convert(map(str, inside)))
    if rest:
        echo(f"{image}: {len(inside) - len(images)} other files left out ({', '.join(rest[:5])}).", err=True)
    return images


def _print(predictions: list[prediction.Prediction]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("Image", overflow="fold")
    table.add_column("Class")
    table.add_column("Probability", justify="right")
    table.add_column("Then", style="dim")
    for entry in predictions:
        if entry.error:
            table.add_row(Text(entry.image), Text(entry.error, style="red"), "", "")
            continue
        (name, probability), *others = entry.classes
        then = ", ".join(f"{other} {value:.1%}" for other, value in others)
        table.add_row(Text(entry.image), Text(name), f"{probability:.1%}", Text(then))
    # A pipe has no width: whoever reads it wants whole paths.
    console = Console()
    (console if console.is_terminal else Console(width=250)).print(table)
