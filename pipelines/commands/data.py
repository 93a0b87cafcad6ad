"""`headstart data`: fetch, import, look at and select data sets."""

from __future__ import annotations

import contextlib
import io
import shlex
import sys
import time
import typing
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from pydantic import BaseModel
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from headstart.components.console import Console
from headstart.components.datasets import downloads
from headstart.components.datasets.importing import import_dataset
from headstart.components.datasets.packed import PREVIEW_FILE, SPLITS, Description, PackedDataset
from headstart.components.datasets.selection import select_classes
from headstart.components.datasets.settings import ImportSettings, SelectionSettings
from headstart.components.foreign_text import echo
from headstart.components.progress import parse
from headstart.pipelines.json_output import Fetched, json_option, print_json
from headstart.pipelines.live_display import LINE_SECONDS
from headstart.pipelines.options import ADDRESS, parse_classes

_OWN = frozenset({"layout", "classes"})
"""Settings that the commands give in another way than by an option of that name."""


def sentence(text: str) -> str:
    """Return a setting's description as the help of an option."""
    return text[:1].upper() + text[1:].rstrip(".") + "."


def setting_options(model: type[BaseModel]) -> Callable[[Any], Any]:
    """Give a command an option for every setting of `model`, with its description as help."""

    def decorate(command: Any) -> Any:
        for name, field in reversed(model.model_fields.items()):
            if name in _OWN:
                continue
            choices = typing.get_args(field.annotation) if typing.get_origin(field.annotation) is typing.Literal else ()
            kind: Any = click.Choice(choices) if choices else field.annotation
            flag = f"--{name.replace('_', '-')}"
            if field.annotation is bool:
                flag = f"{flag}/--no-{name.replace('_', '-')}"
            command = click.option(
                flag, name, type=kind, default=field.default, show_default=field.default != "",
                help=sentence(str(field.description)),
            )(command)  # fmt: skip
        return command

    return decorate


# Events with a count, and what is being done then.
_BUSY = {"import": "Packing", "scout": "Looking at"}


def lines_instead(console: Any, seconds: float = LINE_SECONDS) -> Callable[[str], None]:
    """Return what prints a line at most every `seconds`, unless `console` is a terminal, on which a bar moves."""
    last = time.monotonic()

    def tell(line: str) -> None:
        nonlocal last
        if not console.is_terminal and time.monotonic() - last >= seconds:
            last = time.monotonic()
            console.print(line)

    return tell


class _Events(io.TextIOBase):
    """Stands in for standard output while a component works: its progress events move the bar, the rest passes."""

    def __init__(self, progress: Progress, passed_on: typing.TextIO) -> None:
        self._progress, self._passed_on = progress, passed_on
        self._task = progress.add_task("Reading", total=None)
        self._lines = lines_instead(progress.console)

    def write(self, text: str) -> int:
        event = parse(text.rstrip("\n"))
        if event is None:
            return self._passed_on.write(text)
        if event["event"] in _BUSY:
            done, total = int(event["done"]), int(event["total"])
            description = f"{_BUSY[event['event']]} {event['what']}"
            self._progress.update(self._task, completed=done, total=total, description=description)
            self._lines(f"{description}: {done:,} of {total:,}")
        return len(text)


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """While it lasts, progress events draw a bar on standard error instead of being printed."""
    console = Console(stderr=True)
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}"))
    progress = Progress(
        *columns, TimeRemainingColumn(), console=console, transient=True, disable=not console.is_terminal
    )
    events = typing.cast(typing.TextIO, _Events(progress, sys.stdout))
    with progress, contextlib.redirect_stdout(events):
        yield


@click.group()
def command() -> None:
    """Fetch, import, look at and select data sets.

    A data set is read once, checked, resized and packed; everything that trains reads the packed form.
    """


def _import(uri: str, output: Path, layout: str, settings: dict[str, Any]) -> None:
    as_json = settings.pop("as_json")
    with watched():
        description = import_dataset(uri, output, layout=layout, **settings)
    print_json(description) if as_json else print_description(description, output)


_OUTPUT = click.option("--output", "-o", required=True, type=click.Path(path_type=Path), help="Folder to write.")


@command.command()
@click.argument("uri", type=ADDRESS)
@_OUTPUT
@setting_options(ImportSettings)
@json_option
def cifar100(uri: str, output: Path, **settings: Any) -> None:
    """Import CIFAR-100. It may be the python or binary version, a folder or archive, or class folders of images."""
    _import(uri, output, "cifar100", settings)


@command.command()
@click.argument("uri", type=ADDRESS)
@_OUTPUT
@setting_options(ImportSettings)
@json_option
def fruits360(uri: str, output: Path, **settings: Any) -> None:
    """Import any release of Fruits-360. It is a folder or an archive with Training and Test in it."""
    _import(uri, output, "fruits360", settings)


@command.command()
@click.argument("uri", type=ADDRESS)
@_OUTPUT
@click.option(
    "--layout",
    type=click.Choice(["auto", "image_folder", "class_folders", "csv"]),
    default="auto",
    show_default=True,
    help="How that set is laid out.",
)
@setting_options(ImportSettings)
@json_option
def folder(uri: str, output: Path, layout: str, **settings: Any) -> None:
    """Import your own images.

    They lie in <split>/<class>/* or <class>/*, or a table lists paths and labels; demo:fruits works too.
    """
    _import(uri, output, layout, settings)


@command.command()
@click.argument("packed", type=click.Path(exists=True, file_okay=False, path_type=Path))
@_OUTPUT
@click.option(
    "--classes",
    "-c",
    "rules",
    multiple=True,
    metavar="NAME=WORDS",
    help="Classes to make, each with the words that its source classes carry, several after commas; * takes the rest.  "
    "[default: apple=apple pears=pear noise=*]",
)
@setting_options(SelectionSettings)
@json_option
def select(packed: Path, output: Path, rules: tuple[str, ...], **settings: Any) -> None:
    """Derive a data set of a few merged classes from a packed one. By default they are apple, pears and noise."""
    as_json = settings.pop("as_json")
    settings["classes"] = parse_classes(rules)
    with watched():
        description = select_classes(packed, output, **settings)
    print_json(description) if as_json else print_description(description, output)


@command.command()
@click.argument("packed", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--verify", is_flag=True, help="Read everything and compare the digest.")
@json_option
def show(packed: Path, verify: bool, as_json: bool) -> None:
    """Print what a packed data set holds."""
    dataset = PackedDataset(packed, checked=False)
    if not as_json:
        print_description(dataset.description, packed)
    if verify:
        dataset.verify(images=True)
    if as_json:
        print_json(dataset.description)
    elif verify:
        echo("The digest is right: the images and labels are those that were imported.")


@command.command()
@click.argument("name", type=click.Choice(["cifar100", "cifar100-binary", "fruits360"]))
@click.option(
    "--output",
    "-o",
    default=Path("downloads"),
    show_default=True,
    type=click.Path(path_type=Path),
    help="Folder to write.",
)
@json_option
def fetch(name: str, output: Path, as_json: bool) -> None:
    """Download a published data set. A download that broke is taken up again."""
    file = downloads.FILES[name]
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        name_there = file.url.rpartition("/")[2]
        task, tell = progress.add_task(name_there, total=None), lines_instead(progress.console)

        def show(done: int, total: int | None) -> None:
            progress.update(task, completed=done, total=total)
            tell(f"{name_there}: {done:,}{f' of {total:,}' if total else ''} bytes")

        path = downloads.fetch(file.url, output, show)
    checked = f"its published {file.checksum.partition('=')[0].upper()} is right" if file.checksum else "unchecked"
    if as_json:
        print_json(Fetched(files=[str(path)]))
        return
    echo(f"{path} ({checked}; published at {file.source})")
    kind = "cifar100" if name.startswith("cifar100") else name
    echo(f"Import it with: headstart data {kind} {shlex.quote(str(path))} --output packed-{kind}")


_ROWS = 40


def print_description(description: Description, folder: Path) -> None:
    """Print a table of classes and counts, then what was converted, skipped and is worth knowing."""
    console = Console()
    table = Table(title=f"{description.name}: {len(description.classes)} classes", title_justify="left")
    table.add_column("class")
    for split in SPLITS:
        table.add_column(split, justify="right")
    for index, name in enumerate(description.classes[:_ROWS]):
        table.add_row(name, *(f"{description.class_counts[split][index]:,}" for split in SPLITS))
    if len(description.classes) > _ROWS:
        table.add_row(f"… and {len(description.classes) - _ROWS} more", *("" for _ in SPLITS))
    table.add_section()
    table.add_row("all", *(f"{description.counts.get(split, 0):,}" for split in SPLITS), style="bold")
    console.print(table)
    facts = [
        ("source", description.source),
        ("image size", f"{description.image_size} × {description.image_size}"),
        ("digest", description.digest),
        ("packed in", str(folder)),
        ("look at", str(folder / PREVIEW_FILE)),
    ]
    if description.converted:
        facts.append(("converted", ", ".join(f"{n:,} {mode}" for mode, n in description.converted.items())))
    if description.skipped:
        facts.append(("skipped", f"{description.skipped:,} (images that cannot be read)"))
    facts.append(("duplicates", f"{description.duplicates_across_splits:,} (test images that are also in training)"))
    if description.near_duplicates_across_splits is not None:
        near = description.near_duplicates_across_splits
        facts.append(("near-duplicates", f"{near:,} (test images with a near-twin in training)"))
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        console.print(f"{name:<{width}}  {value}", soft_wrap=True)
    for note in description.notes:
        console.print(f"Note: {note}", style="yellow", soft_wrap=True)
