"""The console that everything of ours prints through: a text is a text, never markup, and always printable."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

import rich.console
from rich.segment import Segment
from rich.table import Table
from rich.text import Text

from headstart.components.foreign_text import printable


class Console(rich.console.Console):
    """A `rich` console for text from anywhere.

    `[/]`, `[link=…]` and `:smile:` in a text are those characters; style comes from `style=` and `Text`. What passes
    is printable; texts before they are laid out, everything else when it is drawn.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"highlight": False, "markup": False, "emoji": False, **options})

    def render_str(self, text: str, **options: Any) -> Text:
        """Make the `Text` of a string."""
        options |= {"markup": False, "emoji": False}
        return super().render_str(printable(text, lines=True), **options)

    def render(self, *arguments: Any, **options: Any) -> Iterable[Segment]:
        """Draw anything."""
        for segment in super().render(*arguments, **options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                yield Segment(printable(segment.text, lines=True), segment.style)


def columns(*titles: str, left: Container[str] | None = None, **options: Any) -> Table:
    """Return a table without lines, whose texts wrap, aligned to the left; with `left` only those of these columns."""
    table = Table(box=None, pad_edge=False, **options)
    for title in titles:
        table.add_column(title, justify="left" if left is None or title in left else "right", overflow="fold")
    return table
