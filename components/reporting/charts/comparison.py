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


def overview_table(named: Named) -> Table:
    """One row per experiment."""
    rows = []
    for name, summary in named:
        rows.append(
            [
                name,
                verdict(summary),
                f"{summary.control.succeeded} + {summary.treatment.succeeded}",
                with_interval(summary.speedup.train, units.factor),
                with_interval(summary.speedup.time_to_accuracy, units.factor),
                with_interval(summary.accuracy_gain, units.signed_points),
                units.duration(summary.control.train_seconds.median),
                units.duration(summary.treatment.train_seconds.median),
                units.duration(summary.preparation_seconds),
                "less accurate" if summary.first.gain.decided() < 0 else summary.break_even.text,
                summary.preset or units.MISSING,
                summary.hardware or units.MISSING,
            ]
        )
    return Table(
        caption="Side by side",
        columns=[
            "run",
            "verdict",
            "runs",
            "speed-up",
            "to target",
            "accuracy, points",
            "control",
            "treatment",
            "preparation",
            "breaks even",
            "preset",
            "hardware",
        ],
        rows=rows,
        numeric=frozenset({2, 6, 7, 8}),
        note="Each against its own control, on its own machine; the target accuracy is each run's own.",
    )


def draw(named: Named) -> Figure | None:
    """Speed-up of each experiment with its interval; None when none has one."""
    summaries = [summary for _, summary in named if summary.speedup.train.estimate][:40]
    shown = [(name, s.speedup.train) for name, s in named if s.speedup.train.estimate][:40]
    if not shown:
        return None
    ends = [
        value
        for _, found in shown
        for value in (found.estimate, found.low, found.high, 1.0)
        if value is not None and value > 0
    ]
    x = Scale(*log_span(ends), 120.0, WIDTH - 14, logarithmic=True)
    bottom = 16 + 26.0 * len(shown)
    drawing = Drawing(bottom + 44)
    bottom_axis(drawing, x, bottom, "training speed-up (logarithmic)", units.short, top=8)
    drawing.line((x(1), 8), (x(1), bottom), "target")
    for index, (name, found) in enumerate(shown):
        y = 24 + 26.0 * index
        drawing.text((112, y + 4), shorten(name, 16), "label", "end")
        if found.low and found.high:
            drawing.line((x(found.low), y), (x(found.high), y), "thick treatment")
        drawing.mark((x(found.estimate or 1), y), summaries[index].first.treatment, 5)
    said = "; ".join(f"{name} {with_interval(found, units.factor)}" for name, found in shown)
    return Figure(
        "Speed-up of each run",
        drawing.render("overview", "Training speed-up of each run with its interval", f"{said}."),
        "Squares: ratio of the training times; lines: its interval. At 1 neither way is faster.",
    )
