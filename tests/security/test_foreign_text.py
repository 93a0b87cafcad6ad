"""Whatever text comes from outside, a reader sees text: no escapes, no markup, no endless lines."""

import csv
import io
import random
import re
import unicodedata
from pathlib import Path

import pytest
from rich.table import Table
from rich.text import Text

from headstart.components.console import Console
from headstart.components.foreign_text import LONGEST, csv_cell, printable
from headstart.components.progress import emit, parse
from headstart.components.reporting import markdown

ROOT = Path(__file__).parents[2]
HOSTILE = [
    "\x1b[2J\x1b]8;;https://evil.example\x1b\\click\x1b]8;;\x1b\\",
    "\x9b31mred",
    "photo\u202egpj.exe",
    "one\u2028two\u2029three\x85four\x0bfive",
    "[/]",
    "[link=https://evil.example]here[/link]",
    "[bold",
    "back\\",
    ":smile:",
    "caf\udce9",
    "\x00\x07\x08",
    "\u2066a\u2069",
    "x" * 100_000,
    "=cmd|' /C calc'!A0",
]


def is_plain(text: str) -> bool:
    return all(c == "\n" or c in "\u200c\u200d" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Zl", "Zp")
               for c in text)  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
def test_every_sink(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert is_plain(printable(text)) and "\n" not in printable(text)
    assert len(printable(text)) < LONGEST + 60
    assert printable(printable(text)) == printable(text)

    out = io.StringIO()
    console = Console(file=out, width=200)
    table = Table(text, title=text)
    table.add_row(text)
    for shown in (text, table, Text(text), f"before {text} after"):
        console.print(shown)
    assert is_plain(out.getvalue())
    if len(text) < 100:
        assert printable(text) in out.getvalue()

    emit("run", reason=text)
    line = capsys.readouterr().out
    assert is_plain(line) and line.count("\n") == 1
    fields = parse(line)
    assert fields is not None and fields["reason"] == printable(text)

    assert is_plain(markdown.escape(text)) and is_plain(markdown.code_block(text))
    assert not csv_cell(text).startswith(("=", "+", "-", "@"))
    [row] = csv.reader(io.StringIO(f'"{csv_cell(text).replace(chr(34), chr(34) * 2)}"'))
    assert is_plain(row[0])


def test_a_terminal_gets_our_own_colours_and_no_others() -> None:
    out = io.StringIO()
    console = Console(file=out, width=80, force_terminal=True, color_system="standard", legacy_windows=False)
    console.print("\x1b[31mforeign", style="green")
    assert "\\u001b[31mforeign" in out.getvalue()
    assert re.findall(r"\x1b\[([0-9;]*)m", out.getvalue()) == ["32", "0"]


def test_ordinary_text_in_any_script_comes_back_as_it_is() -> None:
    for text in (
        "Granny Smith",
        "Grüße, crème brûlée",
        "青リンゴ",
        "क्\u200dष",
        "👩\u200d🌾",
        "سیب\u200cها",
        "a [b] c",
        "C:\\x",
    ):
        assert printable(text) == text


def test_random_text_never_gets_through() -> None:
    draw = random.Random(5)
    ranges = [(0, 0x20), (0x7F, 0xA0), (0x2000, 0x2070), (0xD800, 0xE000), (0xFE00, 0xFF00), (0xE0000, 0xE0080)]
    for _ in range(3000):
        text = "".join(chr(draw.randrange(*draw.choice([*ranges, (0x20, 0x7F)]))) for _ in range(draw.randrange(40)))
        assert is_plain(printable(text)) and is_plain(printable(text, lines=True))


def test_nothing_prints_past_it() -> None:
    """The product makes no console of its own and prints no text raw."""
    offenders = [
        f"{file.relative_to(ROOT)}: {line.strip()}"
        for folder in ("components", "pipelines")
        for file in (ROOT / folder).rglob("*.py")
        if file.name not in ("console.py", "foreign_text.py")
        for line in file.read_text(encoding="utf-8").splitlines()
        if re.search(r"\brich\.console import .*Console\b(?!Options)|from_markup|rich\.markup|rich\.print", line)
        or (re.search(r"click\.s?echo\(", line) and not re.search(r'json|safe_dump|"Interrupted|"Error: "', line))
    ]
    assert [line for line in offenders if "TYPE_CHECKING" not in line] == []
