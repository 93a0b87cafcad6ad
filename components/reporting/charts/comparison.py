"""Several experiments side by side: their numbers in one table, their speed-ups as points with intervals."""

from __future__ import annotations

from collections.abc import Sequence

from headstart.components.reporting import units
from headstart.components.reporting.answer import verdict
from headstart.components.reporting.charts.axes import Scale, bottom_axis, log_span
from headstart.components.reporting.charts.classes import shorten
from headstart.components.reporting.charts.svg import WIDTH, Drawing, Figure
from headstart.components.reporting.summary import Summary
from headstart.components.reporting.tables import Table, with_interval

Named = Sequence[tuple[str, Summary]]
MOST_EXPERIMENTS = 40


def overview_table(named: Named) -> Table:
    """One row per experiment."""
    rows = [
        {
            "run": name,
            "verdict": verdict(summary),
            "runs": f"{summary.control.succeeded} + {summary.treatment.succeeded}",
            "speed-up": with_interval(summary.speedup.train, units.factor),
            "to target": with_interval(summary.speedup.time_to_accuracy, units.factor),
            "accuracy, points": with_interval(summary.accuracy_gain, units.signed_points),
            "control": units.duration(summary.control.train_seconds.median),
            "treatment": units.duration(summary.treatment.train_seconds.median),
            "preparation": units.duration(summary.preparation_seconds),
            "breaks even": "less accurate" if summary.first.gain.decided() < 0 else summary.break_even.text,
            "preset": summary.preset or units.MISSING,
            "hardware": summary.hardware or units.MISSING,
        }
        for name, summary in named
    ]
    return Table(
        caption="Side by side",
        columns=list(rows[0]),
        rows=[list(row.values()) for row in rows],
        numeric=frozenset({2, 6, 7, 8}),
        note="Each against its own control, on its own machine; the target accuracy is each run's own.",
    )


def draw(named: Named) -> Figure | None:
    """Speed-up of each experiment with its interval; None when none has one."""
    shown = [
        (name, summary.first.treatment, summary.speedup.train)
        for name, summary in named
        if summary.speedup.train.estimate
    ][:MOST_EXPERIMENTS]
    if not shown:
        return None
    ends = [value for _, _, found in shown for value in (found.estimate, found.low, found.high, 1.0) if value]
    x = Scale(*log_span(ends), 120.0, WIDTH - 14, logarithmic=True)
    bottom = 16 + 26.0 * len(shown)
    drawing = Drawing(bottom + 44)
    bottom_axis(drawing, x, bottom, "training speed-up (logarithmic)", units.short, top=8)
    drawing.line((x(1), 8), (x(1), bottom), "target")
    for index, (name, treatment, found) in enumerate(shown):
        y = 24 + 26.0 * index
        drawing.text((112, y + 4), shorten(name, 16), "label", "end")
        if found.low and found.high:
            drawing.line((x(found.low), y), (x(found.high), y), "thick treatment")
        drawing.mark((x(found.estimate or 1), y), treatment, 5)
    said = "; ".join(f"{name} {with_interval(found, units.factor)}" for name, _, found in shown)
    return Figure(
        "Speed-up of each run",
        drawing.render("overview", "Training speed-up of each run with its interval", f"{said}."),
        "Squares: ratio of the training times; lines: its interval. At 1 neither way is faster.",
    )
