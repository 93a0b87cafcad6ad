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


def test_without_tensorflow_the_message_has_the_command(tmp_path: Path) -> None:
    (tmp_path / "model.keras").write_bytes(b"PK")
    (tmp_path / "image.png").write_bytes(b"x")
    # The model is not looked at: what the command meets is the import.
    hidden = (
        "import sys; sys.modules['tensorflow'] = None; from headstart.components.training import environment, prediction;"
        "prediction.classify = lambda *_: environment.prepare_tensorflow(1, 0);"
        "from headstart.pipelines.cli import main;"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", f"{hidden} main(['predict', 'model.keras', 'image.png'])"],
        check=False, capture_output=True, text=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 1
    assert "TensorFlow is not installed." in done.stderr
    assert "pip install 'headstart[cpu]'" in done.stderr
