"""Learning curves: test accuracy of every arm against the number of training images, with what labels are saved."""

from __future__ import annotations

import math

from headstart.components.reporting import units
from headstart.components.reporting.charts.axes import Scale, bottom_axis, left_axis, log_span, per_cent, plain, span
from headstart.components.reporting.charts.svg import WIDTH, Drawing, Figure, look
from headstart.components.reporting.experiment import by_key
from headstart.components.reporting.labels_text import control_in_words, count
from headstart.components.reporting.summary import CurvePoint, Summary
from headstart.components.stages import STAGES

LEFT, RIGHT, HEIGHT = 50.0, WIDTH - 14, 300.0


def draw(summary: Summary, identity: str) -> Figure | None:
    """None where there is no learning curve."""
    points = [point for point in summary.curve if point.accuracy.estimate is not None]
    arms = by_key(sorted(points, key=lambda point: point.size), lambda point: point.arm)
    if not points:
        return None
    drawing = Drawing(HEIGHT)
    top, bottom = drawing.legend(list(arms)) + 22, HEIGHT - 40
    x = Scale(*log_span([float(point.size) for point in points]), LEFT, RIGHT, logarithmic=True)
    lowest, highest = span([end for point in points for end in _ends(point)], floor=0.0)
    y = Scale(lowest, min(1.0, highest), bottom, top)
    left_axis(drawing, y, LEFT, "test accuracy", per_cent, right=RIGHT)
    bottom_axis(drawing, x, bottom, "training images (logarithmic)", plain, top=top)
    for arm, found in arms.items():
        low, high = ([(x(point.size), y(_ends(point)[end])) for point in found] for end in (0, 1))
        if any(point.accuracy.method != "none" for point in found):
            drawing.path([*low, *reversed(high)], f"band {look(arm)}")
    for arm, found in arms.items():
        places = [(x(point.size), y(point.accuracy.estimate or 0.0)) for point in found]
        drawing.path(places, f"thick {look(arm)}")
        for place in places:
            drawing.mark(place, arm)
    saved = _saved(summary, arms, drawing, x, y)
    return Figure(
        "Accuracy against the number of labelled images",
        drawing.render(identity, "Learning curves of the arms", _alternative(summary, arms)),
        f"Marks: means over the runs at a size. Bands: {units.confidence(summary.confidence)} intervals of these "
        "means, each by itself, over draws of images, runs"
        + (" and test images" if any("crossed" in point.accuracy.method for point in points) else "")
        + f".{saved}",
        wide=True,
    )


def _ends(point: CurvePoint) -> tuple[float, float]:
    """The interval within 0 to 1; without one, the mean twice."""
    found, mean = point.accuracy, point.accuracy.estimate or 0.0
    if found.low is None or found.high is None or not all(map(math.isfinite, (found.low, found.high))):
        return mean, mean
    return max(0.0, found.low), min(1.0, found.high)


def _saved(summary: Summary, arms: dict[str, list[CurvePoint]], drawing: Drawing, x: Scale, y: Scale) -> str:
    """Draw what the labels saved are read off, and return its part of the caption; empty where there is nothing."""
    curve = summary.learning_curve
    found = curve.labels_saved_measured if curve is not None else None
    if curve is None or found is None or found.equal_size is None:
        return ""
    point = next((point for point in arms.get(curve.treatment, []) if point.size == found.size), None)
    if point is None or point.accuracy.estimate is None:
        return ""
    level = y(point.accuracy.estimate)
    drawing.line((x(found.size), level), (x(found.equal_size), level), "target")
    return (
        f" Dotted: {STAGES[curve.treatment].title.lower()} on {found.size:,} images is as accurate as "
        f"{control_in_words(curve.control)} on {count(found.equal_size)}."
    )


def _alternative(summary: Summary, arms: dict[str, list[CurvePoint]]) -> str:
    texts = [
        f"{arm}: " + ", ".join(f"{units.percent(point.accuracy.estimate)} on {point.size:,} images" for point in found)
        for arm, found in arms.items()
    ]
    return f"Lines against a logarithmic axis of training images. {'; '.join(texts)}."
