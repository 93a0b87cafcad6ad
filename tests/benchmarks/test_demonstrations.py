"""How experiments are judged by the mean of the others, against values worked out by hand."""

import json
import math
import subprocess
import sys
import time

import pytest
from processes import alive
from scipy import stats

from benchmarks import demonstrations
from benchmarks.demonstrations import judge
from headstart.components.reporting.summary import Interval


def test_intervals_are_judged_by_the_mean_of_the_others() -> None:
    # The others' means are 3, 2.67, 2.33 and 1.33; the last interval ends above it.
    found = judge([(1.0, 0.0, 3.1), (2.0, 0.0, 4.0), (3.0, 2.0, 4.0), (6.0, 1.5, 9.0)])
    assert (found["experiments"], found["held"], found["mean"]) == (4, 3, 3.0)
    assert found["spread"] == pytest.approx(math.sqrt(14 / 3))
    assert found["standard_error"] == pytest.approx(math.sqrt(14 / 3) / 2)
    exact = stats.binomtest(3, 4).proportion_ci()
    assert (found["low"], found["high"]) == pytest.approx((exact.low, exact.high))
    assert found["chance"] == pytest.approx(1 - 0.95**4)
    # Means of three that spread this far decide nothing, but for an interval that holds all of it.
    assert found["undecided"] == 4
    assert judge([(1.0, -99, 99), (2.0, -99, 99), (9.0, -99, 99)])["undecided"] == 0


def test_all_intervals_hold_or_none() -> None:
    assert judge([(1.0, 0.9, 1.1)] * 20)["low"] == pytest.approx(0.025 ** (1 / 20))
    none = judge([(float(n), n - 0.001, n + 0.001) for n in (0, 1, 5, 20)])
    assert (none["held"], none["low"], none["high"]) == (0, 0.0, pytest.approx(1 - 0.025**0.25))


def test_what_was_not_estimated_is_left_out() -> None:
    assert judge([(math.nan,) * 3, (1.0, 0.0, 2.0)]) == {"experiments": 1}


def test_ratios_are_judged_as_logarithms_and_open_ends_hold_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    ratio = demonstrations.Quantity("r", lambda _: Interval(estimate=8, low=None, high=16, method="t"), ratio=True)
    assert ratio.numbers(None) == (math.log(8), -math.inf, math.log(16))
    assert ratio.text(math.log(8)) == "8.00 ×"
    open_end = demonstrations.Quantity("g", lambda _: Interval(estimate=0.1, low=0.05, high=None, method="t"))
    assert open_end.numbers(None) == (0.1, 0.05, math.inf)
    assert json.loads(json.dumps(demonstrations.finite({"a": (1.0, math.inf)}), allow_nan=False)) == {"a": [1.0, None]}


def test_the_table_has_a_row_for_each_quantity() -> None:
    judged = {q.name: judge([(0.1, 0.0, 0.3)] * 3) for q in demonstrations.QUANTITIES}
    judged[demonstrations.QUANTITIES[3].name] = {"experiments": 0}
    lines = demonstrations.table(judged).splitlines()
    assert "| 3 | +10.00 points ± 0.00 | 3 of 3 | 0 | 29 to 100 % | 100 % |" in lines[2]
    assert "| 3 | 1.11 × ± 0.00 % | 3 of 3 |" in lines[4]
    assert lines[5].endswith("| 0 | – | – | – | – | – |")
    assert len({line.count("|") for line in lines}) == 1


def test_busy_processes_end_with_what_they_disturb() -> None:
    # Also where nothing is left to end them: what started them is killed.
    code = (
        "import os, signal\n"
        "from benchmarks.demonstrations import busy\n"
        "with busy(1) as (process,):\n"
        "    print(process, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    found = subprocess.run([sys.executable, "-c", code], check=False, stdout=subprocess.PIPE, text=True, timeout=60)
    child, deadline = int(found.stdout), time.monotonic() + 30
    while alive([child]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert alive([child]) == []
