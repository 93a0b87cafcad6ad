"""The benchmark of start-up runs the components as Kubeflow Pipelines does, with every artifact that they ask for."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("tensorflow")
pytestmark = pytest.mark.slow

from benchmarks import training_start  # noqa: E402


def test_the_start_of_a_training_process_is_measured_beside_its_imports(tmp_path: Path) -> None:
    for row in training_start.measure(tmp_path, 1):
        assert len(row.ours) == len(row.peer) == 1
        assert 0 < row.ours[0] < 600
        assert 0 < row.peer[0] < 600
