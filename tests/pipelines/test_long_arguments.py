"""Inputs of a task that are longer than an argument of a process may be."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from headstart.components.atomic_files import write_json
from headstart.pipelines.long_arguments import LIMIT, restored, through_files

PIPELINE = """
from kfp import dsl

@dsl.component(base_image="python", install_kfp_package=False)
def measure(text: str) -> int:
    print(f"{len(text)} characters arrived")
    return len(text)

def build(placement):
    @dsl.pipeline(name="long")
    def long(text: str) -> int:
        return measure(text=text).output
    return long
"""


def test_the_limit_is_the_systems() -> None:
    assert subprocess.run(["true", "x" * LIMIT], check=False).returncode == 0
    with pytest.raises(OSError, match="Argument list too long"):
        subprocess.run(["true", "x" * (LIMIT + 1)], check=False)


def test_what_goes_into_a_file_comes_back_as_it_was() -> None:
    given = ["sh", "ä" * LIMIT, "short"]
    seen: list[list[str]] = []
    assert through_files(lambda command: seen.append(command) or seen.append(restored(command)) or 7)(given) == 7
    assert max(len(argument) for argument in seen[0]) < 500
    assert seen[1] == given


def test_a_task_gets_a_long_input(tmp_path: Path) -> None:
    (tmp_path / "long_pipeline.py").write_text(PIPELINE)
    root = tmp_path / "root"
    root.mkdir()
    spec = {
        "builder": "long_pipeline:build",
        "arguments": {"text": "x" * 300_000},
        "build": {},
        "placement": {},
        "pipeline_root": str(root),
        "docker": None,
    }
    write_json(tmp_path / "spec.json", spec)
    environ = {
        **os.environ,
        "PYTHONPATH": f"{tmp_path}{os.pathsep}{Path.cwd()}",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    command = [sys.executable, "-m", "headstart.pipelines.local_worker", str(tmp_path / "spec.json")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert "300000 characters arrived" in done.stdout + done.stderr
