"""The short version of `python -m tests.reliability.kills`: whatever is killed, the result is the undisturbed one."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.reliability.kills import Experiment, result


@pytest.mark.slow
def test_a_run_whose_processes_are_killed_ends_with_the_undisturbed_result(tmp_path: Path) -> None:
    experiment = Experiment(tmp_path, runs=1)
    status, expected, seconds = experiment.undisturbed()
    assert status in (0, 3)  # one run of each arm is too few for a sound measurement
    assert len(expected) == 5
    assert all(record["status"] == "succeeded" for record in expected.values())
    ended = experiment.disturbed(tmp_path / "disturbed", 3, seconds, random.Random(4))
    assert experiment.kills.total()
    assert ended == status
    assert result(tmp_path / "disturbed") == expected
