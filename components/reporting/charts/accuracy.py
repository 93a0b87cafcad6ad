"""Validation accuracy against training time: every run thin, the median of each arm thick."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headstart.components.records import RunRecord
from headstart.components.reporting import units
from headstart.components.reporting.charts.axes import (
    Scale,
    bottom_axis,
    left_axis,
    log_span,
    per_cent,
    plain,
    span,
    time_unit,
)
from headstart.components.reporting.charts.svg import WIDTH, Drawing, Figure, Point, look
from headstart.components.reporting.experiment import Experiment
from headstart.components.reporting.summary import Summary

# More lines than this hide each other and make the file heavy; the caption says when some are left out.
MOST_LINES = 40


def draw(experiment: Experiment, summary: Summary, identity: str) -> Figure | None:
    """None when no run has a validation accuracy."""
    curves = {
        arm: [curve for record in experiment.arms[arm] if len(curve := _curve(record))] for arm in experiment.arms
    }
    everything = [point for arm in experiment.arms for curve in curves[arm] for point in curve]
    if not everything:
        return None
    times = [time for time, _ in everything if time > 0] or [1.0]
    ends = {arm: float(np.median([curve[-1][0] for curve in curves[arm]])) for arm in experiment.arms if curves[arm]}
    # On a linear axis a much faster arm is squeezed against the left border.
    logarithmic = len(ends) > 1 and min(ends.values()) > 0 and max(ends.values()) / min(ends.values()) > 4
    unit, unit_name = time_unit(max(times))
    height, left, right, top, bottom = 288.0, 50.0, WIDTH - 10, 34.0, 252.0
    x_low, x_high = log_span(times) if logarithmic else (0.0, max(times) * 1.03)
    x = Scale(x_low, x_high, left, right, logarithmic)
    lowest, highest = span([accuracy for _, accuracy in everything], floor=0.0)
    y = Scale(lowest, min(1.0, highest), bottom, top)
    drawing = Drawing(height)
    left_axis(drawing, y, left, "validation accuracy", per_cent, right=right)
    title = f"training time, {unit_name}" + (" (logarithmic)" if logarithmic else "")
    bottom_axis(drawing, x, bottom, title, plain, divide=unit)
    left_out = 0
    for arm in experiment.arms:
        shown = _sample(curves[arm])
        left_out += len(curves[arm]) - len(shown)
        for curve in shown:
            drawing.path([(x(max(time, x_low)), y(value)) for time, value in curve], f"thin {look(arm)}")
    if summary.target_accuracy is not None and lowest <= summary.target_accuracy <= y.high:
        level = y(summary.target_accuracy)
        drawing.line((left, level), (right, level), "target")
        said = f"target {units.percent(summary.target_accuracy)}"
        places = [(x(max(time, x_low)), y(value)) for time, value in everything]
        drawing.text(_freest([(left + 6, level), (right - 90, level)], places), said, "note")
    for arm in experiment.arms:
        middle = median_curve(curves[arm])
        if middle:
            drawing.path([(x(max(time, x_low)), y(value)) for time, value in middle], f"thick {look(arm)}")
            drawing.mark((x(max(middle[-1][0], x_low)), y(middle[-1][1])), arm, 5)
    legend(drawing, list(experiment.arms))
    return Figure(
        "Accuracy against training time",
        drawing.render(identity, "Accuracy against training time", _alternative(summary)),
        "Thin: every run. Thick: the median over the runs of an arm, from when half of them have an epoch until half "
        "have ended."
        + (f" {left_out} of the thin lines are left out, evenly, to keep it readable." if left_out else ""),
    )


def _freest(starts: list[Point], taken: list[Point]) -> Point:
    """Where a label of 86 units, above or below one of `starts`, covers the fewest points."""
    candidates = [(x, y + below) for x, y in starts for below in (-5.0, 15.0)]

    def covered(at: Point) -> int:
        return sum(at[0] - 4 <= x <= at[0] + 90 and at[1] - 13 <= y <= at[1] + 4 for x, y in taken)

    return min(candidates, key=covered)


def legend(drawing: Drawing, arms: Sequence[str]) -> None:
    """Line and mark of the arms with their names, in the upper right corner."""
    widths = [52 + 7.5 * len(arm) for arm in arms]
    x, y = WIDTH + 10 - sum(widths), 14.0
    for arm, width in zip(arms, widths, strict=True):
        drawing.line((x, y - 4), (x + 28, y - 4), f"thick {look(arm)}")
        drawing.mark((x + 14, y - 4), arm, 4)
        drawing.text((x + 36, y), arm, "label")
        x += width


def _curve(record: RunRecord) -> list[Point]:
    return [(row.elapsed, row.validation_accuracy) for row in record.epochs if row.validation_accuracy is not None]


def _sample(curves: list[list[Point]]) -> list[list[Point]]:
    if len(curves) <= MOST_LINES:
        return curves
    return [curves[index] for index in np.linspace(0, len(curves) - 1, MOST_LINES).round().astype(int)]


def median_curve(curves: list[list[Point]]) -> list[Point]:
    """Median over runs of the accuracy at a time, each run straight between its epochs and level after its end.

    It begins when half of the runs have finished an epoch and ends when half of them have ended. At most 200 points.
    """
    if not curves:
        return []
    begin = float(np.median([curve[0][0] for curve in curves]))
    end = float(np.median([curve[-1][0] for curve in curves]))
    if end <= begin:
        return [(end, float(np.median([curve[-1][1] for curve in curves])))]
    step = max(1, len(curves) // 500)
    moments = np.geomspace(max(begin, 1e-6), end, 200)
    levels = []
    for curve in curves[::step]:
        times, values = np.array(curve).T
        levels.append(np.interp(moments, times, values, left=np.nan))
    known = np.array(levels)
    # At the very first moments thinning may leave only runs without an epoch.
    moments, known = moments[(~np.isnan(known)).any(axis=0)], known[:, (~np.isnan(known)).any(axis=0)]
    middles = np.nanmedian(known, axis=0)
    return [(float(moment), float(level)) for moment, level in zip(moments, middles, strict=True)]


def _alternative(summary: Summary) -> str:
    said = []
    for arm, found in summary.arms.items():
        said.append(
            f"{arm}: median end after {units.duration(found.train_seconds.median)} at a best validation accuracy of "
            f"{units.percent(found.best_validation_accuracy.median)}, {found.reached_target} runs reached the target"
        )
    return f"Lines that rise with training time. {'; '.join(said)}. Target {units.percent(summary.target_accuracy)}."
