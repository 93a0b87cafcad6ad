"""docs/architecture.md has a line for every file of the product: the first line of its docstring."""

import ast
import os
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/architecture.md"
HEADING = "## Every file\n"
FOLDERS = ("headstart", "components", "pipelines")


def lines() -> list[str]:
    """A heading for each folder and a line for each file in it; a package's own line is that of its `__init__.py`."""
    found: list[str] = []
    files = [file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py") if "__pycache__" not in file.parts]
    for folder in sorted({file.parent for file in files}):
        inside = sorted(file for file in files if file.parent == folder)
        found.append(f"\n**`{folder.relative_to(ROOT)}`**\n")
        for file in inside:
            text = (ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or "").partition("\n\n")[0]
            assert text, f"{file}: has no docstring"
            name = "the package" if file.name == "__init__.py" else f"`{file.name}`"
            found.append(f"- {name}: {' '.join(text.split())}")
    return found


def test_every_file_has_its_line() -> None:
    before, heading, listed = PAGE.read_text(encoding="utf-8").partition(HEADING)
    assert heading, f"docs/architecture.md has no section {HEADING.strip()}"
    expected = "\n".join(lines()) + "\n"
    if os.environ.get("HEADSTART_RENEW_GOLDEN"):
        PAGE.write_text(before + heading + expected, encoding="utf-8")
        listed = expected
    assert listed == expected, "HEADSTART_RENEW_GOLDEN=1 writes the list from the first line of each docstring"


def test_no_line_is_empty_talk() -> None:
    """A docstring's first line says what is in the file, in a sentence of its own, and no two files say the same."""
    texts = [re.sub(r"^- [^:]*: ", "", line) for line in lines() if line.startswith("- ")]
    assert len(set(texts)) == len(texts), sorted(text for text in texts if texts.count(text) > 1)
    assert [text for text in texts if len(text) < 15 or text[-1] not in ".?)`"] == []
