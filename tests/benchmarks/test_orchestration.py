"""The benchmark of the local runner runs tasks as the runner does: forked, each noted from its start to its end."""

import itertools
from pathlib import Path

from benchmarks import orchestration


def test_every_task_of_a_run_that_does_nothing_is_noted(tmp_path: Path) -> None:
    measured, content = orchestration.run_no_op(tmp_path, 1)
    times = content["processes"]
    assert len(times) == 5  # two of the preparation, the final model, the runs of both arms, the report
    assert all(start < end for start, end in times)
    assert all(end <= start for (_, end), (start, _) in itertools.pairwise(times))
    assert times[-1][1] < content["wall"] < measured.wall
