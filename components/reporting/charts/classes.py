"""Which classes are found: the confusion matrix of the final model, and what a treatment gains in each class."""

from __future__ import annotations

from headstart.components.records import RunRecord
from headstart.components.reporting import units
from headstart.components.reporting.charts.axes import Scale, bottom_axis, span
from headstart.components.reporting.charts.svg import WIDTH, Drawing, Figure, look
from headstart.components.reporting.statistics_tables import by_chance
from headstart.components.reporting.summary import Summary
from headstart.components.reporting.tables import with_interval

# With more classes cells are too small to tell apart, and the list of the most frequent mistakes says more.
MOST_CLASSES = 40
MOST_NUMBERED = 10


def draw(record: RunRecord, identity: str) -> Figure | None:
    """None without a usable matrix, or with too many classes to draw."""
    matrix = record.result.confusion
    names = record.data.classes if record.data else []
    if not matrix or len(matrix) > MOST_CLASSES or any(len(row) != len(matrix) for row in matrix):
        return None
    count = len(matrix)
    if len(names) != count:
        names = [f"class {index}" for index in range(count)]
    numbered = count <= MOST_NUMBERED
    left, top = (104.0, 62.0) if numbered else (104.0, 30.0)
    side = min((WIDTH - left - 14) / count, 82.0 if numbered else 40.0)
    cell_height = min(side, 52.0) if numbered else side
    drawing = Drawing(top + cell_height * count + 14)
    drawing.text((left, 14), "predicted", "axis-title")
    drawing.text((4, 14), "true class", "axis-title")
    for index, name in enumerate(names):
        y = top + cell_height * index + cell_height / 2 + 4
        drawing.text((left - 8, y), shorten(name, 14), "label" if numbered else "small", "end")
        if numbered:
            drawing.text((left + side * (index + 0.5), top - 10), shorten(name, int((side - 6) / 7)), "label", "middle")
    for i, row in enumerate(matrix):
        total = sum(row)
        for j, cell in enumerate(row):
            share = cell / total if total else 0.0
            corner = (left + side * j, top + cell_height * i)
            hint = f"{names[i]} called {names[j]}: {cell} of {total}"
            if cell or i == j or numbered:
                level = min(10, int(share * 10 + 0.5)) if cell else 0
                kind = f"cell level-{max(level, 1) if cell else 0}"
                drawing.rect(corner, side - 2, cell_height - 2, kind, hint=hint)
            if numbered:
                at = (corner[0] + side / 2 - 1, corner[1] + cell_height / 2 + 4)
                drawing.text(at, f"{cell:,}", "cell-number" + (" over" if share >= 0.5 else ""), "middle")
    return Figure(
        "Confusion matrix of the final model",
        drawing.render(identity, "Confusion matrix of the final model", alternative(matrix, names)),
        "Test images; rows are what they show, columns what the model says. Darker: a larger share of the row.",
    )


def mistakes(matrix: list[list[int]], names: list[str], most: int = 10) -> list[tuple[str, str, int, int]]:
    """The most frequent mistakes: true class, predicted class, how often, images of the true class."""
    if any(len(row) != len(matrix) for row in matrix) or len(names) != len(matrix):
        return []
    wrong = [
        (names[i], names[j], cell, sum(row))
        for i, row in enumerate(matrix)
        for j, cell in enumerate(row)
        if i != j and cell > 0
    ]
    return sorted(wrong, key=lambda found: -found[2])[:most]


def alternative(matrix: list[list[int]], names: list[str]) -> str:
    """The matrix in words: share recognised of each class, then the most frequent mistake."""
    said = [
        f"{shorten(name, 40)} {units.percent(row[index] / sum(row) if sum(row) else None)}"
        for index, (name, row) in enumerate(zip(names, matrix, strict=True))
    ]
    text = f"Recognised of each class: {', '.join(said)}."
    worst = mistakes(matrix, names, 1)
    if worst:
        text += f" Most frequent mistake: {worst[0][2]} images of {worst[0][0]} called {worst[0][1]}."
    return text


def shorten(text: str, most: int) -> str:
    """Text of at most `most` characters; names that differ only at their end, like varieties, stay apart."""
    if len(text) <= most:
        return text
    tail = min(5, (most - 1) // 2)
    return f"{text[: max(1, most - 1 - tail)]}…{text[len(text) - tail :]}"


def gain_by_class(summary: Summary, identity: str) -> Figure | None:
    """Gain in the share of each class's test images that is found; None without two classes, or with too many."""
    gains = {name: gain for name, gain in summary.first.gain_by_class.items() if gain.estimate is not None}
    if not 2 <= len(gains) <= MOST_CLASSES:
        return None
    ends = [
        value for gain in gains.values() for value in (gain.estimate, gain.low, gain.high, 0.0) if value is not None
    ]
    left, row, top = 118.0, 24.0 if len(gains) <= MOST_NUMBERED else 15.0, 12.0
    bottom = top + row * len(gains)
    drawing = Drawing(bottom + 40)
    x = Scale(*span([100 * value for value in ends], 0.06), left, WIDTH - 40)
    bottom_axis(drawing, x, bottom, "points gained, these test images", top=top)
    drawing.line((x(0), top - 6), (x(0), bottom), "target")
    treatment = summary.first.treatment
    for index, (name, gain) in enumerate(gains.items()):
        y = top + row * (index + 0.5)
        drawing.text((left - 8, y + 4), shorten(name, 16), "label" if row > 20 else "small", "end")
        if gain.low is not None and gain.high is not None:
            drawing.line((x(100 * gain.low), y), (x(100 * gain.high), y), f"stem {look(treatment)}")
        estimate = 100 * (gain.estimate or 0.0)
        drawing.mark((x(estimate), y), treatment, 4.5, "mark" if gain.decided() else "mark hollow")
        drawing.text((WIDTH - 2, y + 4), units.signed_points(gain.estimate), "tick", "end")
    lines = [f"{shorten(name, 40)} {with_interval(gain, units.signed_points)}" for name, gain in gains.items()]
    first = summary.first
    return Figure(
        "Gain by class",
        drawing.render(identity, f"Points gained by {first.treatment} in each class", f"{'; '.join(lines)}."),
        f"Share of a class's test images that {first.treatment} finds, less that of {first.control}, each class by "
        f"itself; hollow where zero lies within the interval. {by_chance(summary.confidence)}",
    )
