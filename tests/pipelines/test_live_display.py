import io
import re
import time

import pytest

from headstart.components.console import Console
from headstart.pipelines.live_display import LiveDisplay, Row, duration


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0.0 s"), (8.44, "8.4 s"), (59.4, "59 s"), (80, "1 min 20 s"), (3600, "1 h 00 min"), (7512, "2 h 05 min")],
)
def test_durations_read_as_people_say_them(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def display() -> tuple[LiveDisplay, io.StringIO]:
    out = io.StringIO()
    rows = [Row("pretrain", "Pretrain"), Row("train-baseline", "Baseline runs", 2)]
    return LiveDisplay(Console(file=out, width=100), rows), out


def test_away_from_a_terminal_each_run_prints_one_line() -> None:
    shown, out = display()
    with shown:
        for number in (1, 2):
            shown.task_started("train-baseline")
            shown.event("train-baseline", {"event": "epoch", "epoch": "1", "epochs": "9"})
            shown.event(
                "train-baseline",
                {"event": "run", "status": "succeeded", "epochs": "9", "train_seconds": "2.5", "accuracy": "0.91"},
            )
            shown.task_ended("train-baseline", succeeded=number == 1)
    lines = out.getvalue().splitlines()
    assert lines[0].startswith("Baseline runs 1 of 2: ")
    assert lines[0].endswith("9 epochs, trained 2.5 s, test accuracy 0.910")
    assert "FAILED" in lines[1]
    assert len(lines) == 2


def test_time_left_counts_the_runs_to_come() -> None:
    shown, _ = display()
    row = shown.rows[1]
    row.seconds = [10.0]
    assert shown._seconds_left(row) == 10.0
    row.begun, row.remaining = 0.0, 4.0
    row.repeats = 3
    assert shown._seconds_left(row) == 14.0


def test_a_plan_says_how_many_runs_there_will_be() -> None:
    runs = Row("train-runs/baseline", "Baseline runs", 18)
    shown = LiveDisplay(Console(file=io.StringIO(), width=100), [Row("select-classes", "Select target classes"), runs])
    shown.event("gather-prepared", {"event": "plan", "runs": "2"})
    for _ in range(2):
        shown.event("train-runs", {"event": "begin", "arm": "baseline"})
        shown.event("train-runs", {"event": "run", "arm": "baseline", "status": "succeeded"})
    assert shown.rows[0].repeats == 1 and runs.repeats == 2
    assert runs.ended and shown._seconds_left(runs) == 0


def test_a_stage_not_begun_has_no_known_time_left() -> None:
    shown, _ = display()
    assert shown._seconds_left(shown.rows[0]) is None


def test_tasks_without_a_row_do_no_harm() -> None:
    shown, out = display()
    shown.task_started("unknown")
    shown.event("unknown", {"event": "epoch"})
    shown.task_ended("unknown", succeeded=True)
    assert out.getvalue() == ""


def test_markup_in_what_a_task_says_is_text() -> None:
    out = io.StringIO()
    shown = LiveDisplay(Console(file=out, width=100), [Row("pretrain", "Pretrain")])
    shown.task_started("pretrain")
    shown.event("pretrain", {"event": "run", "status": "failed", "reason": "[red]no[/red] [/]"})
    shown.task_ended("pretrain", succeeded=True)
    assert "[red]no[/red] [/]" in out.getvalue()


def test_away_from_a_terminal_a_running_stage_says_how_far_it_is() -> None:
    out = io.StringIO()
    shown = LiveDisplay(Console(file=out, width=100), [Row("pretrain", "Pretrain")], line_seconds=0)
    shown.task_started("pretrain")
    shown.event("pretrain", {"event": "epoch", "epoch": "3", "epochs": "9", "remaining": "80"})
    assert out.getvalue() == "Pretrain: epoch 3/9, 1 min 20 s left\n"
    patient, quiet = display()
    patient.task_started("pretrain")
    patient.event("pretrain", {"event": "epoch", "epoch": "3", "epochs": "9", "remaining": "80"})
    assert quiet.getvalue() == ""


def test_away_from_a_terminal_a_stage_that_says_nothing_is_reported_on_too() -> None:
    out = io.StringIO()
    with LiveDisplay(Console(file=out, width=100), [Row("pretrain", "Pretrain")], line_seconds=0.01) as shown:
        shown.task_started("pretrain")
        deadline = time.monotonic() + 60
        while out.getvalue().count("\n") < 2 and time.monotonic() < deadline:
            time.sleep(0.01)
    lines = out.getvalue().splitlines()
    assert len(lines) >= 2
    assert all(re.fullmatch(r"Pretrain: \d+(\.\d)? s so far", line) for line in lines)


def test_a_task_that_is_tried_again_counts_once() -> None:
    shown, out = display()
    shown.task_started("pretrain")
    shown.task_ended("pretrain", succeeded=False)
    shown.task_retried("pretrain")
    shown.task_started("pretrain")
    shown.task_ended("pretrain", succeeded=True)
    row = shown.rows[0]
    assert (row.done, row.failed) == (1, 0)
    assert "Pretrain: is tried again" in out.getvalue().splitlines()
