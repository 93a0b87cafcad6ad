"""Epochs against seconds per epoch, since a speed-up can come from either."""

from __future__ import annotations

from headstart.components.reporting import units
from headstart.components.reporting.charts.axes import Scale, bottom_axis, left_axis, log_span
from headstart.components.reporting.charts.svg import WIDTH, Drawing, Figure, look
from headstart.components.reporting.experiment import Experiment, succeeded
from headstart.components.reporting.measurement import seconds_per_epoch
from headstart.components.reporting.summary import Summary

MOST_DOTS = 400


def draw(experiment: Experiment, summary: Summary, identity: str) -> Figure | None:
    """Both axes logarithmic, so that equal training times lie on straight diagonals; None without any epoch."""
    found = {
        arm: [
            (float(len(record.epochs)), pace)
            for record in succeeded(experiment.arms[arm])[:MOST_DOTS]
            if (pace := seconds_per_epoch(record)) is not None
        ]
        for arm in experiment.arms
    }
    everything = [point for arm in experiment.arms for point in found[arm]]
    if not everything:
        return None
    left, right, top, bottom = 56.0, WIDTH - 14, 34.0, 252.0
    x = Scale(*log_span([epochs for epochs, _ in everything]), left, right, logarithmic=True)
    slowest = max(pace for _, pace in everything)
    y = Scale(min(pace for _, pace in everything) / 1.6, slowest * 1.6, bottom, top, logarithmic=True)
    drawing = Drawing(288.0)
    left_axis(drawing, y, left, "seconds per epoch", units.short, right=right)
    bottom_axis(drawing, x, bottom, "epochs until the stop rule ended training", units.short, top=top)
    for arm in experiment.arms:
        median = summary.arms[arm].train_seconds.median
        if median is not None and found[arm]:
            _equal_time(drawing, x, y, median, arm)
        for epochs, pace in found[arm]:
            drawing.mark((x(epochs), y(pace)), arm, 4)
    share = summary.speedup
    return Figure(
        "Fewer epochs, or faster ones?",
        drawing.render(
            identity,
            "Epochs against seconds per epoch",
            f"Dots. {summary.first.treatment} needs {units.factor(_inverse(share.epochs.estimate))} times as many "
            f"epochs as {summary.first.control} and its epoch is {units.factor(share.seconds_per_epoch.estimate)} "
            "times as fast.",
        ),
        "Both axes are logarithmic; on a diagonal the training time is the same. The two diagonals are the medians: "
        "how far apart they lie is the speed-up.",
    )


def _inverse(value: float | None) -> float | None:
    return None if not value else 1 / value


def _equal_time(drawing: Drawing, x: Scale, y: Scale, seconds: float, arm: str) -> None:
    start = max(x.low, seconds / y.high)
    end = min(x.high, seconds / y.low)
    if start < end:
        drawing.line((x(start), y(seconds / start)), (x(end), y(seconds / end)), f"thin diagonal {look(arm)}")
        at = start * (end / start) ** 0.08
        drawing.text((x(at) + 7, y(seconds / at) + 2), f"{units.duration(seconds)} in all", "note")
