"""The confusion matrix of the final model."""

from __future__ import annotations

from headstart.components.records import RunRecord
from headstart.components.reporting import units
from headstart.components.reporting.charts.svg import WIDTH, Drawing, Figure

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
            drawing.text((left + side * (index + 0.5), top - 10), shorten(name, int(side / 6.8)), "label", "middle")
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
