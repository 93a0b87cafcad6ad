"""Prints what a packed data set holds, as a person reads it."""

from __future__ import annotations

from pathlib import Path

from rich.table import Table

from headstart.components.console import Console
from headstart.components.datasets.packed import PREVIEW_FILE, SPLITS, Description

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
        facts.append(("skipped", f"{description.skipped:,} images that cannot be read"))
    facts.append(("duplicates", f"{description.duplicates_across_splits:,} test images are also in training"))
    if description.near_duplicates_across_splits is not None:
        near = f"{description.near_duplicates_across_splits:,} test images have a near-twin in training"
        facts.append(("near-duplicates", near))
    width = max(len(name) for name, _ in facts)
    for name, value in facts:
        console.print(f"{name:<{width}}  {value}", soft_wrap=True)
    for note in description.notes:
        console.print(f"Note: {note}", style="yellow", soft_wrap=True)
