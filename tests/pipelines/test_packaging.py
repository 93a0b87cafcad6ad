"""What `pip install headstart[cpu]` brings, and what is said where it was not installed so."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("extra", ["cpu", "gpu"])
def test_an_extra_is_what_its_requirements_name(extra: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = (ROOT / "requirements" / f"{extra}.in").read_text().splitlines()
    named = [line for line in lines if line and not line.startswith(("#", "-r "))]
    assert project["optional-dependencies"][extra] == named
    assert "-r runtime.in" in lines


HIDDEN = """
import sys
sys.modules["tensorflow"] = None
from headstart.components.training import environment
from headstart.pipelines import cli
cli.headstart.main = lambda **_: environment.prepare_tensorflow(1, 0)
cli.main([])
"""


def test_without_tensorflow_the_message_has_the_command() -> None:
    done = subprocess.run([sys.executable, "-P", "-c", HIDDEN], check=False, capture_output=True, text=True)
    assert done.returncode == 1
    assert "TensorFlow is not installed." in done.stderr
    assert "pip install 'headstart[cpu]'" in done.stderr
