"""Text that we did not write (class and file names, reasons in records, answers of servers) on its way to a reader.

`printable` is the one function that such text passes through before it is printed, logged or written into a report:
it takes secrets out, writes control characters as escapes and cuts what no reader gets through. The console of
`headstart.components.console`, `echo` and the report's writers call it, so that what prints through them need not.
"""

from __future__ import annotations

import unicodedata
from typing import Any

from headstart.components.credentials import masked

LONGEST = 4000
# Joiners are controls by their class, but words of Persian and Hindi and many emoji are spelled with them.
_JOINERS = "\u200c\u200d"
_UNSEEN = ("Cc", "Cf", "Cs", "Zl", "Zp")


def printable(text: object, *, lines: bool = False, longest: int = LONGEST) -> str:
    """Return `text` without secrets, controls and overlong lines; what is plain comes back as it is.

    Control and format characters (escapes of terminals, marks that turn the direction of text, separators of lines)
    and halves of characters become escapes such as \\u001b.

    Args:
        text: anything; it is turned into a text first.
        lines: keep line feeds; else they become blanks, as tabs always do.
        longest: characters of a line that are kept; the middle of a longer one is left out, and that is said.
    """
    shown = masked(str(text))
    if lines and "\n" in shown:
        return "\n".join(printable(line, longest=longest) for line in shown.split("\n"))
    if not shown.isascii() or not shown.isprintable():
        shown = "".join(_escaped(character) for character in shown)
    if len(shown) > longest:
        kept = longest // 2 - 20  # with what is said in between it is shorter than `longest`
        shown = f"{shown[:kept]} … {len(shown) - 2 * kept:,} characters left out … {shown[-kept:]}"
    return shown


def _escaped(character: str) -> str:
    if character in "\t\n\r":
        return " "
    if character in _JOINERS or unicodedata.category(character) not in _UNSEEN:
        return character
    return f"\\u{ord(character):04x}" if ord(character) < 0x10000 else f"\\U{ord(character):08x}"


def csv_cell(text: object) -> str:
    """Return `text` for a cell of a CSV file: printable, and never taken for a formula by a spreadsheet."""
    shown = printable(text)
    return f"'{shown}" if shown.startswith(("=", "+", "-", "@")) else shown


def echo(text: object = "", *, err: bool = False, **style: Any) -> None:
    """Print lines like `click.secho`, printable."""
    import click

    click.secho(printable(text, lines=True), err=err, **style)
