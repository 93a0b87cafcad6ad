"""What the documents name exists: files, links, tests, commands and options."""

import ast
import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from headstart.pipelines.cli import headstart

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), ROOT / "benchmarks/README.md"])
FOLDERS = r"(?:\.ci|benchmarks|components|docker|docs|headstart|manifests|pipelines|requirements|tests)"
named = pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)


@named
def test_links_lead_somewhere(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for target, anchor in re.findall(r"\]\((?!https?:|mailto:)([^)#\s]*)(#[^)\s]+)?\)", text):
        path = (document.parent / target) if target else document
        assert path.exists(), f"{document.name} → {target}"
        if anchor and path.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.M)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}
            assert anchor[1:] in slugs, f"{document.name} → {target}{anchor}"


@named
def test_named_files_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for path in re.findall(rf"`({FOLDERS}/[\w./-]+)(?:::\w+)?`", text):
        assert (ROOT / path).exists(), f"{document.name}: {path}"


@named
def test_named_tests_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    files = {path.name: path for path in (ROOT / "tests").rglob("test_*.py")}
    for name, function in re.findall(r"`(?:[\w/]*/)?(test_\w+?)(?:\.py)?(?:::(test_\w+))?(?:\[[^\]`]*\])?`", text):
        if not function and f"{name}.py" not in files:
            continue  # a function of a module named before it
        assert f"{name}.py" in files, f"{document.name}: {name}"
        if function:
            assert f"def {function}(" in files[f"{name}.py"].read_text(encoding="utf-8"), f"{name}::{function}"


@named
def test_named_functions_exist(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    for path, name in re.findall(r"`((?:components|pipelines|headstart)/[\w./]+\.py)::(\w+)", text):
        known = {node.name for node in ast.walk(ast.parse((ROOT / path).read_text(encoding="utf-8")))
                 if isinstance(node, ast.FunctionDef | ast.ClassDef)}  # fmt: skip
        assert name in known, f"{document.name}: {path}::{name}"


def _commands(text: str) -> Iterator[list[str]]:
    """The `headstart` commands in the code blocks of a document, as words."""
    for block in re.findall(r"^```\w*\n(.*?)^```", text, re.M | re.S):
        for line in block.replace("\\\n", " ").splitlines():
            found = re.match(r"\s*(?:[A-Z_]+=\S+\s+)*(?:\$ )?(?:\.venv/bin/)?headstart\s+(.*)", line)
            if found:
                yield shlex.split(re.split(r"\s+(?:#|&&|\|\||\||>|;)", found[1])[0], comments=True)


def _options(command: click.Command) -> set[str]:
    return {
        option
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for option in parameter.opts + parameter.secondary_opts
    } | {"--help", "-h"}


@named
def test_every_command_and_option_in_a_code_block_exists(document: Path) -> None:
    for words in _commands(document.read_text(encoding="utf-8")):
        command: click.Command = headstart
        context = click.Context(headstart)
        for word in words:
            if isinstance(command, click.Group) and not word.startswith("-"):
                inner = command.get_command(context, word)
                if inner is None and "$" in word:
                    break
                assert inner is not None, f"{document.name}: headstart {' '.join(words)}: there is no {word}"
                command = inner
            elif re.match(r"--?[a-z]", word):
                option = word.partition("=")[0]
                allowed = _options(command)
                shorts = len(option) > 2 and option[1] != "-" and option[:2] in allowed
                assert option in allowed or shorts, f"{document.name}: headstart {' '.join(words)}: no {option}"
