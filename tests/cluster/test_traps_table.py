"""The table of traps names tests and files; each must be there."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs/kfp-traps.md").read_text(encoding="utf-8")


def test_named_tests_exist() -> None:
    named = re.findall(r"`(test_\w+)::(test_\w+)", TEXT)
    assert len(named) > 10
    for module, function in named:
        source = (ROOT / "tests/cluster" / f"{module}.py").read_text(encoding="utf-8")
        assert f"def {function}(" in source, f"{module}::{function}"


def test_named_files_exist() -> None:
    for name in ("cluster.md", "kind.md", "gke.md", "image.md", "kfp-traps.md"):
        text = (ROOT / "docs" / name).read_text(encoding="utf-8")
        for target in re.findall(r"\]\(([a-z-]+\.md)\)", text):
            assert (ROOT / "docs" / target).is_file(), f"{name} → {target}"
        for path in re.findall(r"`((?:docker|manifests|components|pipelines|tests)/[\w./-]+)`", text):
            assert (ROOT / path).exists(), f"{name} → {path}"


def test_every_option_that_docs_show_exists() -> None:
    """An option in a code block of ours is one that a command has."""
    from headstart.pipelines.cli import COMMANDS, headstart

    for name in ("cluster.md", "gke.md", "kind.md"):
        text = (ROOT / "docs" / name).read_text(encoding="utf-8").replace("\\\n", " ")
        for command, rest in re.findall(r"^(?:[A-Z_]+=\S+ )?headstart (\w+)([^\n#&]*)", text, re.M):
            assert command in COMMANDS, f"{name}: headstart {command}"
            known = {o for p in headstart.get_command(None, command).params for o in p.opts + p.secondary_opts}  # type: ignore[arg-type, union-attr]
            for option in re.findall(r"(?<!\S)(--?[a-z][a-z-]*)", rest):
                assert option in known, f"{name}: headstart {command} {option}"
