"""What the time goes into: models against the preparation, epochs against their length, and the phases of every run."""

from __future__ import annotations

import math
from collections.abc import Sequence

from headstart.components.records import RunRecord
from headstart.components.reporting import units
from headstart.components.reporting.break_even import ordinal
from headstart.components.reporting.charts.axes import Scale, bottom_axis, evenly, left_axis, log_span, plain, time_unit
from headstart.components.reporting.charts.svg import WIDTH, Drawing, Figure, look
from headstart.components.reporting.experiment import PHASES, Experiment, seconds_per_epoch, succeeded, total_seconds
from headstart.components.reporting.summary import Interval, Summary
from headstart.components.reporting.tables import with_interval

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
# With more runs than this an arm is drawn by runs chosen evenly.
MOST_BARS = 8
MOST_DOTS = 400
# How far the picture goes where the lines never cross.
MODELS_WITHOUT_CROSSING = 50
# Up to this many models each has a mark of its own.
MOST_MARKED = 30
HEIGHT, LEFT, RIGHT, BOTTOM = 300.0, 56.0, WIDTH - 14, 260.0


def break_even(summary: Summary, identity: str) -> Figure | None:
    """Total time of both ways after each model; None when a time is not known, or the treatment is decidedly worse."""
    preparation, first, pays = summary.preparation_seconds, summary.first, summary.break_even
    each_control, each_treatment = summary.control.train_seconds.mean, summary.treatment.train_seconds.mean
    if not preparation or each_control is None or each_treatment is None or first.gain.decided() < 0:
        return None
    most = max(4, math.ceil(2.2 * pays.models)) if pays.models is not None else MODELS_WITHOUT_CROSSING
    if pays.first_model is not None and pays.first_model_high is not None:
        most = max(most, min(pays.first_model_high + 1, 2 * most))
    lines = {first.control: (0.0, each_control), first.treatment: (preparation, each_treatment)}
    longest = max(start + most * each for start, each in lines.values())
    unit, name = time_unit(longest)
    drawing = Drawing(HEIGHT)
    top = drawing.legend(list(lines)) + 22
    x, y = Scale(0.0, most, LEFT, RIGHT), Scale(0.0, longest * 1.03 / unit, BOTTOM, top)
    left_axis(drawing, y, LEFT, f"total training time, {name}", units.short, right=RIGHT)
    bottom_axis(drawing, x, BOTTOM, "models trained", lambda value: units.short(value) if value % 1 == 0 else "")
    if pays.first_model_low is not None:
        start = x(pays.first_model_low)
        end = x(pays.first_model_high if pays.first_model_high is not None else most)
        drawing.rect((start - 3, top), max(end - start, 0) + 6, BOTTOM - top, "interval")
    for arm, (begin, each) in lines.items():
        drawing.path([(x(0), y(begin / unit)), (x(most), y((begin + most * each) / unit))], f"thick {look(arm)}")
        for models in range(1, most + 1) if most <= MOST_MARKED else ():
            drawing.mark((x(models), y((begin + models * each) / unit)), arm, 3)
    if pays.first_model is not None:
        at = x(pays.first_model)
        drawing.line((at, top), (at, BOTTOM), "target")
        text = f"from the {ordinal(pays.first_model)} model"
        near = at > (LEFT + RIGHT) / 2
        drawing.text((at - 7 if near else at + 7, BOTTOM - 8), text, "note strong", "end" if near else "start")
    else:
        text = "never breaks even" if pays.never else "not shown to break even"
        drawing.text((RIGHT, BOTTOM - 8), text, "note strong", "end")
    return Figure(
        "When preparation has paid for itself",
        drawing.render(
            identity,
            "Total training time against number of models",
            f"Two lines. {first.control} begins at zero and adds {units.duration(each_control)} per model; "
            f"{first.treatment} begins at {units.duration(preparation)} and adds {units.duration(each_treatment)} "
            f"per model. Breaks even: {pays.text}.",
        ),
        _break_even_caption(summary),
    )


def _break_even_caption(summary: Summary) -> str:
    pays, first = summary.break_even, summary.first
    parts = [f"Training time alone; breaks even: {pays.text}."]
    if pays.first_model_low is not None:
        parts.append(
            f"Shaded: the {units.confidence(summary.confidence)} interval"
            + (", which has no upper end." if pays.first_model_high is None else ".")
        )
    if pays.all_phases_models is not None:
        every = ordinal(max(1, math.ceil(pays.all_phases_models)))
        parts.append(f"With every phase counted: from the {every} model.")
    if summary.holds_over.preparations < 2:
        parts.append("Preparation was measured once, so its spread is not in the interval.")
    if summary.cost is not None:
        cost = summary.cost
        per_model = ", ".join(
            f"a {arm} model {units.money(cost.per_model.get(arm))}" for arm in (first.control, first.treatment)
        )
        parts.append(
            f"At {cost.price_per_hour:g} {cost.currency} per hour preparation costs {units.money(cost.preparation)}, "
            f"{per_model} {cost.currency}, all phases counted."
        )
    return " ".join(parts)


def epochs(experiment: Experiment, summary: Summary, identity: str) -> Figure | None:
    """Epochs against seconds per epoch, both logarithmic: equal times lie on diagonals; None without any epoch."""
    found = {
        arm: [
            (float(len(record.epochs)), pace)
            for record in succeeded(records)[:MOST_DOTS]
            if (pace := seconds_per_epoch(record)) is not None
        ]
        for arm, records in experiment.arms.items()
    }
    found = {arm: points for arm, points in found.items() if points}
    if not found:
        return None
    paces = [pace for points in found.values() for _, pace in points]
    drawing = Drawing(HEIGHT)
    top = drawing.legend(list(found)) + 22
    counts = [count for points in found.values() for count, _ in points]
    x = Scale(*log_span(counts), LEFT, RIGHT, logarithmic=True)
    y = Scale(min(paces) / 1.6, max(paces) * 1.6, BOTTOM, top, logarithmic=True)
    left_axis(drawing, y, LEFT, "seconds per epoch (logarithmic)", units.short, right=RIGHT)
    bottom_axis(drawing, x, BOTTOM, "epochs trained (logarithmic)", units.short, top=top)
    for arm, points in found.items():
        median = summary.arms[arm].train_seconds.median
        if median is not None:
            _equal_time(drawing, x, y, median, arm)
        for count, pace in points:
            drawing.mark((x(count), y(pace)), arm, 4)
    first = summary.first
    both = f"{_ratio(first.speedup.epochs)} the epochs, {_ratio(first.speedup.seconds_per_epoch)} the time per epoch"
    capped = [
        f"{ended} of {len(runs)} {arm}"
        for arm, records in experiment.arms.items()
        if (runs := succeeded(records)) and (ended := sum(run.stop_reason == "max_epochs" for run in runs))
    ]
    return Figure(
        "Fewer epochs, or faster ones?",
        drawing.render(
            identity,
            "Epochs against seconds per epoch",
            f"Dots. {first.control} / {first.treatment}: {both}.",
        ),
        f"{first.control} / {first.treatment}: {both}. On a diagonal the training time is the same; "
        "those drawn are the medians."
        + (f" Ended by the maximum of epochs, not by the stop rule: {', '.join(capped)} runs." if capped else ""),
    )


def _equal_time(drawing: Drawing, x: Scale, y: Scale, seconds: float, arm: str) -> None:
    start, end = max(x.low, seconds / y.high), min(x.high, seconds / y.low)
    if start < end:
        drawing.line((x(start), y(seconds / start)), (x(end), y(seconds / end)), f"thin diagonal {look(arm)}")
        at = start * (end / start) ** 0.08
        drawing.text((x(at) + 7, y(seconds / at) + 2), f"{units.duration(seconds)} in all", "note")


def phases(experiment: Experiment, summary: Summary, identity: str) -> Figure | None:
    """The phases of each stage and run, stacked on one scale; None when no run has any time."""
    rows = [(record.name, record) for record in evenly(experiment.once, 2 * MOST_BARS) if total_seconds(record) > 0]
    thinned = False
    for records in experiment.arms.values():
        timed = [record for record in records if total_seconds(record) > 0]
        if len(timed) > MOST_BARS:
            thinned = True
            timed = evenly(sorted(timed, key=total_seconds), MOST_BARS)
        rows += [(record.name, record) for record in timed]
    if not rows:
        return None
    bar = 14.0
    drawing = Drawing(62 + len(rows) * bar + 40)
    for phase in HATCHED:
        drawing.hatch(f"{identity}-{phase}", phase, crossed=phase == "repeated")
    _phase_legend(drawing, identity, [record for _, record in rows])
    top = 50.0
    longest = max(total_seconds(record) for _, record in rows)
    unit, name = time_unit(longest)
    x = Scale(0.0, longest * 1.02, 108.0, WIDTH - 14)
    bottom_axis(drawing, x, top + len(rows) * bar, f"time, {name}", plain, top=top - 3, divide=unit)
    for index, (label, record) in enumerate(rows):
        y = top + index * bar
        drawing.text((102, y + bar * 0.5 + 2.5), label, "small", "end")
        begin = 0.0
        for phase in PHASES:
            took = getattr(record.phases, phase)
            if took > 0:
                kind, fill = _phase_look(identity, phase)
                hint = f"{record.name} {NAMES[phase]}: {units.duration(took)}"
                drawing.rect((x(begin), y), x(begin + took) - x(begin), bar - 3, kind, hint=hint, fill=fill)
                begin += took
    first = summary.first
    return Figure(
        "Where the time went",
        drawing.render(identity, "Seconds in each phase of every stage and run", _phases_in_words(experiment)),
        f"{first.control} / {first.treatment}: {_ratio(first.speedup.train)} counting training alone, "
        f"{_ratio(first.speedup.all_phases)} counting every phase. One scale for all."
        + (
            " TensorFlow's import, once for all runs, is counted in none."
            if all(record.process == "forked" for record in experiment.records)
            else ""
        )
        + (
            " Runs with the same frozen layers and test images evaluate them once, in the first of these runs."
            if any(record.kept_features for record in experiment.records)
            else ""
        )
        + (f" Of each arm {MOST_BARS} runs are drawn, evenly from fastest to slowest." if thinned else ""),
        tall=len(rows) > 8,
    )


def _ratio(found: Interval) -> str:
    return "not known" if found.estimate is None else f"{with_interval(found, units.factor)} times"


def _phase_legend(drawing: Drawing, identity: str, records: Sequence[RunRecord]) -> None:
    x, y = 4.0, 12.0
    for phase in PHASES:
        if not any(getattr(record.phases, phase) > 0 for record in records):
            continue
        width = 20 + 6.6 * len(NAMES[phase]) + 12
        if x + width > WIDTH:
            x, y = 4.0, y + 17
        kind, fill = _phase_look(identity, phase)
        drawing.rect((x, y - 9), 14, 10, kind, fill=fill)
        drawing.text((x + 19, y), NAMES[phase], "label")
        x += width


def _phase_look(identity: str, phase: str) -> tuple[str, str]:
    """Classes and hatch of a phase."""
    return ("phase", f"{identity}-{phase}") if phase in HATCHED else (f"phase {phase}", "")


def _phases_in_words(experiment: Experiment) -> str:
    lines = [
        f"{record.name}: {units.duration(record.phases.train)} training of {units.duration(total_seconds(record))}"
        for record in experiment.once[: 2 * MOST_BARS]
        if total_seconds(record) > 0
    ]
    for arm, records in experiment.arms.items():
        timed = [record for record in records if total_seconds(record) > 0]
        if timed:
            share = sum(record.phases.train for record in timed) / sum(map(total_seconds, timed))
            lines.append(f"{arm} runs: {units.percent(share, 0)} of their time is training")
    return f"Stacked bars. {'; '.join(lines)}."
