"""A short, repeatable bout of fuzzing for every reader of foreign files; docs/reliability.md tells of long ones."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from targets import TARGETS, corpus, refusing

RUNS = int(os.environ.get("HEADSTART_FUZZ_RUNS", "2000"))


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_inputs_that_once_did_harm(name: str) -> None:
    for data in corpus(name):
        refusing(TARGETS[name])(data)


@pytest.mark.parametrize("name", sorted(TARGETS))
def test_fuzz(name: str) -> None:
    pytest.importorskip("atheris", reason="atheris has no wheel for this platform")
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("fuzz.py")), name, "0", str(RUNS)],
        check=False, capture_output=True, text=True, timeout=600,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    tried = re.search(r"number_of_executed_units: (\d+)", done.stderr)
    assert tried, done.stderr[-2000:]
    assert int(tried[1]) >= RUNS
