"""The two distributions, training time and test accuracy, a dot a run."""

from __future__ import annotations

import numpy as np

from headstart.components.reporting import units
from headstart.components.reporting.charts.axes import Scale, bottom_axis, per_cent, plain, span, time_unit
from headstart.components.reporting.charts.svg import WIDTH, Drawing, Figure, look
from headstart.components.reporting.experiment import Experiment
from headstart.components.reporting.measurement import test_accuracy, train_seconds, values
from headstart.components.reporting.summary import Description, Summary

MOST_DOTS = 250
ROW = 40.0


def draw(experiment: Experiment, summary: Summary, identity: str) -> Figure | None:
    """None when no run of either arm succeeded."""
    times = {arm: values(experiment.arms[arm], train_seconds) for arm in experiment.arms}
    accuracies = {arm: values(experiment.arms[arm], test_accuracy) for arm in experiment.arms}
    if not any(times.values()):
        return None
    drawing = Drawing(276.0)
    every_time = [value for arm in experiment.arms for value in times[arm]]
    unit, name = time_unit(max(every_time))
    left, right = 76.0, WIDTH - 14
    x = Scale(0.0, max(every_time) * 1.05, left, right)
    _panel(drawing, 12, x, times, {arm: summary.arms[arm].train_seconds for arm in summary.arms})
    bottom_axis(drawing, x, 12 + 2 * ROW, f"training time, {name}", plain, divide=unit)
    every_accuracy = [value for arm in experiment.arms for value in accuracies[arm]]
    if every_accuracy:
        low, high = span(every_accuracy, 0.08, floor=0.0)
        x = Scale(low, min(high, 1.0) if max(every_accuracy) < 1 else 1.0, left, right)
        _panel(drawing, 158, x, accuracies, {arm: summary.arms[arm].accuracy for arm in summary.arms})
        bottom_axis(drawing, x, 158 + 2 * ROW, "test accuracy", per_cent)
    thinned = max(len(times[arm]) for arm in experiment.arms) > MOST_DOTS
    return Figure(
        "Every run",
        drawing.render(identity, "Training time and test accuracy of every run", _alternative(summary)),
        "A dot is a run, the bar its arm's median, the band the middle half."
        + (f" Of each arm {MOST_DOTS} runs are drawn, evenly chosen." if thinned else "")
        + (" The accuracy axis does not begin at zero." if every_accuracy else ""),
    )


def _panel(
    drawing: Drawing,
    top: float,
    x: Scale,
    found: dict[str, list[float]],
    described: dict[str, Description],
) -> None:
    for row, arm in enumerate(found):
        middle = top + ROW * (row + 0.5)
        drawing.text((4, middle + 4), arm, "label")
        description = described[arm]
        if description.median is None or description.quartile_1 is None or description.quartile_3 is None:
            drawing.text((x.start + 4, middle + 4), "no run succeeded", "note")
            continue
        start, end = x(description.quartile_1), x(description.quartile_3)
        drawing.rect((start, middle - 13), end - start, 26, f"band {look(arm)}")
        chosen = found[arm]
        if len(chosen) > MOST_DOTS:
            places = np.linspace(0, len(chosen) - 1, MOST_DOTS).round().astype(int)
            ordered = sorted(chosen)
            chosen = [ordered[place] for place in places]
        for at, offset in _spread([x(value) for value in chosen]):
            drawing.mark((at, middle + offset), arm, 3.4)
        place = x(description.median)
        drawing.line((place, middle - 15), (place, middle + 15), "median")


def _spread(places: list[float]) -> list[tuple[float, float]]:
    """Move dots that would cover each other up and down in turn."""
    lanes: list[float] = []
    spread = []
    for place in sorted(places):
        lane = next((index for index, last in enumerate(lanes) if place - last >= 7.5), None)
        if lane is None and len(lanes) < 5:
            lanes.append(place)
            lane = len(lanes) - 1
        elif lane is None:
            lane = int(np.argmin(lanes))
        lanes[lane] = place
        spread.append((place, (lane + 1) // 2 * (6 if lane % 2 else -6) * 1.0))
    return spread


def _alternative(summary: Summary) -> str:
    said = []
    for arm, found in summary.arms.items():
        time, accuracy = found.train_seconds, found.accuracy
        said.append(
            f"{arm}: {time.n} runs, training time {units.duration(time.minimum)} to {units.duration(time.maximum)}, "
            f"median {units.duration(time.median)}; test accuracy {units.percent(accuracy.minimum)} to "
            f"{units.percent(accuracy.maximum)}, median {units.percent(accuracy.median)}"
        )
    return f"Two rows of dots for each quantity. {'. '.join(said)}."
