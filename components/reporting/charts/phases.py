"""Where the time went: the phases of each stage and run, stacked."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from headstart.components.records import RunRecord
from headstart.components.reporting import units
from headstart.components.reporting.charts.axes import Scale, bottom_axis, plain, time_unit
from headstart.components.reporting.charts.svg import WIDTH, Drawing, Figure
from headstart.components.reporting.experiment import PHASES, Experiment, total_seconds

NAMES = {
    "startup": "start-up",
    "data": "data",
    "compile": "compile",
    "train": "training",
    "evaluate": "evaluation",
    "checkpoint": "checkpoints",
    "repeated": "repeated",
}
# Seven fills are more than shades of gray keep apart.
HATCHED = ("evaluate", "repeated")
# With more runs than this an arm is drawn as its median run.
MOST_BARS = 12


def draw(experiment: Experiment, identity: str) -> Figure | None:
    """None when no run has any time."""
    once = [(record.arm, record) for record in experiment.once]
    runs: list[tuple[str, RunRecord]] = []
    thinned = False
    for arm in experiment.arms:
        timed = [record for record in experiment.arms[arm] if total_seconds(record) > 0]
        if len(timed) > MOST_BARS:
            thinned = True
            timed = _evenly(sorted(timed, key=total_seconds), MOST_BARS)
        runs += [(f"{arm} {record.seed}", record) for record in timed]
    once = [(label, record) for label, record in once if total_seconds(record) > 0]
    if not once and not runs:
        return None
    bars = (19.0, 13.0)
    height = 52 + sum(len(rows) * bar + 50 for rows, bar in ((once, bars[0]), (runs, bars[1])) if rows)
    drawing = Drawing(height)
    for phase in HATCHED:
        drawing.hatch(f"{identity}-{phase}", phase, crossed=phase == "repeated")
    _legend(drawing, identity, [record for _, record in [*once, *runs]])
    top = 46.0
    for rows, bar in ((once, bars[0]), (runs, bars[1])):
        if rows:
            top = _stack(drawing, identity, top, rows, bar) + 46
    return Figure(
        "Where the time went",
        drawing.render(identity, "Seconds in each phase of every stage and run", _alternative(once, experiment)),
        "Above: the stages that run once. Below, on its own axis: the runs of both arms. Only training counts for the "
        "speed-up." + (f" Of each arm {MOST_BARS} runs are drawn, evenly from fastest to slowest." if thinned else ""),
        tall=True,
    )


def _evenly(records: Sequence[RunRecord], count: int) -> list[RunRecord]:
    return [records[index] for index in np.linspace(0, len(records) - 1, count).round().astype(int)]


def _stack(drawing: Drawing, identity: str, top: float, rows: list[tuple[str, RunRecord]], bar: float) -> float:
    longest = max(total_seconds(record) for _, record in rows)
    unit, name = time_unit(longest)
    x = Scale(0.0, longest * 1.02, 84.0, WIDTH - 14)
    bottom = top + len(rows) * bar
    bottom_axis(drawing, x, bottom, f"time, {name}", plain, top=top - 3, divide=unit)
    for index, (label, record) in enumerate(rows):
        y = top + index * bar
        drawing.text((78, y + bar * 0.5 + 2.5), label, "small", "end")
        begin = 0.0
        for phase in PHASES:
            took = getattr(record.phases, phase)
            if took > 0:
                width = x(begin + took) - x(begin)
                hint = f"{record.name} {NAMES[phase]}: {units.duration(took)}"
                kind, fill = _look(identity, phase)
                drawing.rect((x(begin), y), width, bar - 3, kind, hint=hint, fill=fill)
                begin += took
    return bottom


def _legend(drawing: Drawing, identity: str, records: Sequence[RunRecord]) -> None:
    x, y = 4.0, 12.0
    for phase in PHASES:
        if not any(getattr(record.phases, phase) > 0 for record in records):
            continue
        width = 20 + 6.6 * len(NAMES[phase]) + 12
        if x + width > WIDTH:
            x, y = 4.0, y + 17
        kind, fill = _look(identity, phase)
        drawing.rect((x, y - 9), 14, 10, kind, fill=fill)
        drawing.text((x + 19, y), NAMES[phase], "label")
        x += width


def _look(identity: str, phase: str) -> tuple[str, str]:
    """Classes and hatch of a phase."""
    return ("phase", f"{identity}-{phase}") if phase in HATCHED else (f"phase {phase}", "")


def _alternative(once: list[tuple[str, RunRecord]], experiment: Experiment) -> str:
    said = [
        f"{label}: {units.duration(record.phases.train)} training of {units.duration(total_seconds(record))}"
        for label, record in once
    ]
    for arm in experiment.arms:
        records = [record for record in experiment.arms[arm] if total_seconds(record) > 0]
        if records:
            share = sum(record.phases.train for record in records) / sum(map(total_seconds, records))
            said.append(f"{arm} runs: {units.percent(share, 0)} of their time is training")
    return f"Stacked bars. {'; '.join(said)}."
