"""Validation error against training time, every run and the median of each arm, with and without preparation."""

from __future__ import annotations

import numpy as np
from markupsafe import Markup

from headstart.components.records import RunRecord
from headstart.components.reporting import units
from headstart.components.reporting.charts.axes import (
    Scale,
    bottom_axis,
    evenly,
    left_axis,
    log_span,
    per_cent,
    plain,
    time_unit,
)
from headstart.components.reporting.charts.svg import WIDTH, Drawing, Figure, Point, look
from headstart.components.reporting.experiment import Experiment
from headstart.components.reporting.summary import Summary
from headstart.components.stages import chain

# More lines than this hide each other and make the file heavy; the caption says when some are left out.
MOST_LINES = 40
HEIGHT, LEFT, RIGHT = 300.0, 50.0, WIDTH - 10


def draw(experiment: Experiment, summary: Summary, identity: str) -> Figure | None:
    """None when no run has a validation accuracy."""
    floor = _floor(experiment)
    curves = {
        arm: [curve for record in records if (curve := _curve(record, floor))]
        for arm, records in experiment.arms.items()
    }
    curves = {arm: found for arm, found in curves.items() if found}
    if not curves:
        return None
    panels = [_panel(curves, summary, floor, f"{identity}-0", "training time")]
    prepared = summary.preparation_seconds
    shifted = [arm for arm in curves if chain(arm)]
    if prepared and shifted:
        late = {
            arm: [[(time + prepared, error) for time, error in curve] for curve in found] if arm in shifted else found
            for arm, found in curves.items()
        }
        panels.append(_panel(late, summary, floor, f"{identity}-1", "training time with preparation"))
    left_out = sum(max(0, len(found) - MOST_LINES) for found in curves.values())
    return Figure(
        "Error against training time",
        Markup("").join(panels),
        "Lower is better; the error, 100 % less the validation accuracy, has a logarithmic axis. Thin: every run. "
        "Thick: the median over the runs of an arm, from when half of them have an epoch until half have ended."
        + (f" Second: {', '.join(shifted)} after preparation." if len(panels) > 1 else "")
        + (f" {left_out} of the thin lines are left out, evenly, to keep it readable." if left_out else ""),
        wide=True,
    )


def _floor(experiment: Experiment) -> float:
    """Half an image: where a run without any error is drawn."""
    counts = [
        record.data.counts.get("validation", 0)
        for records in experiment.arms.values()
        for record in records
        if record.data
    ]
    return 0.5 / max(counts) if counts and max(counts) > 0 else 1e-4


def _panel(
    curves: dict[str, list[list[Point]]], summary: Summary, floor: float, identity: str, quantity: str
) -> Markup:
    everything = [point for found in curves.values() for curve in found for point in curve]
    times = [time for time, _ in everything if time > 0] or [1.0]
    ends = [float(np.median([curve[-1][0] for curve in found])) for found in curves.values()]
    # On a linear axis a much faster arm is squeezed against the left border.
    logarithmic = len(ends) > 1 and min(ends) > 0 and max(ends) / min(ends) > 4
    unit, unit_name = time_unit(max(times))
    x_low, x_high = log_span(times) if logarithmic else (0.0, max(times) * 1.03)
    drawing = Drawing(HEIGHT)
    top, bottom = drawing.legend(list(curves)) + 22, HEIGHT - 40
    x = Scale(x_low, x_high, LEFT, RIGHT, logarithmic)
    errors = [error for _, error in everything]
    y = Scale(min(errors) / 1.25, max(errors) * 1.15, bottom, top, logarithmic=True)
    left_axis(drawing, y, LEFT, "validation error (logarithmic)", per_cent, right=RIGHT)
    title = f"{quantity}, {unit_name}" + (" (logarithmic)" if logarithmic else "")
    bottom_axis(drawing, x, bottom, title, plain, divide=unit)
    for arm, found in curves.items():
        for curve in evenly(found, MOST_LINES):
            drawing.path([(x(max(time, x_low)), y(error)) for time, error in curve], f"thin {look(arm)}")
    if summary.target_accuracy is not None:
        level = y(max(floor, 1 - summary.target_accuracy))
        drawing.line((LEFT, level), (RIGHT, level), "target")
        text = f"target {units.percent(summary.target_accuracy)}"
        places = [(x(max(time, x_low)), y(error)) for time, error in everything]
        drawing.text(_freest([(LEFT + 6, level), (RIGHT - 90, level)], places), text, "note")
    for arm, found in curves.items():
        middle = median_curve(found)
        drawing.path([(x(max(time, x_low)), y(error)) for time, error in middle], f"thick {look(arm)}")
        drawing.mark((x(max(middle[-1][0], x_low)), y(middle[-1][1])), arm, 5)
    return drawing.render(identity, f"Validation error against {quantity}", _alternative(summary))


def _freest(starts: list[Point], taken: list[Point]) -> Point:
    """Where a label of 86 units, above or below one of `starts`, covers the fewest points."""
    candidates = [(x, y + below) for x, y in starts for below in (-5.0, 15.0)]

    def covered(at: Point) -> int:
        return sum(at[0] - 4 <= x <= at[0] + 90 and at[1] - 13 <= y <= at[1] + 4 for x, y in taken)

    return min(candidates, key=covered)


def _curve(record: RunRecord, floor: float) -> list[Point]:
    return [
        (row.elapsed, max(floor, 1 - row.validation_accuracy))
        for row in record.epochs
        if row.validation_accuracy is not None
    ]


def median_curve(curves: list[list[Point]]) -> list[Point]:
    """Median over runs of the error at a time, each run straight between its epochs and level after its end.

    It begins when half of the runs have finished an epoch and ends when half of them have ended. At most 200 points.
    """
    begin = float(np.median([curve[0][0] for curve in curves]))
    end = float(np.median([curve[-1][0] for curve in curves]))
    if end <= begin:
        return [(end, float(np.median([curve[-1][1] for curve in curves])))]
    step = max(1, len(curves) // 500)
    moments = np.geomspace(max(begin, 1e-6), end, 200)
    levels = []
    for curve in curves[::step]:
        times, errors = np.array(curve).T
        levels.append(np.interp(moments, times, errors, left=np.nan))
    known = np.array(levels)
    # At the very first moments thinning may leave only runs without an epoch.
    moments, known = moments[(~np.isnan(known)).any(axis=0)], known[:, (~np.isnan(known)).any(axis=0)]
    middles = np.nanmedian(known, axis=0)
    return [(float(moment), float(level)) for moment, level in zip(moments, middles, strict=True)]


def _alternative(summary: Summary) -> str:
    lines = [
        f"{arm}: median end after {units.duration(found.train_seconds.median)} at a best validation accuracy of "
        f"{units.percent(found.best_validation_accuracy.median)}, {found.reached_target} runs reached the target"
        for arm, found in summary.arms.items()
    ]
    return f"Lines that fall with training time. {'; '.join(lines)}. Target {units.percent(summary.target_accuracy)}."
