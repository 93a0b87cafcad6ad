"""Total time against the number of models, both ways: where the lines cross, preparation is repaid."""

from __future__ import annotations

from headstart.components.reporting import units
from headstart.components.reporting.break_even import ordinal
from headstart.components.reporting.charts.accuracy import legend
from headstart.components.reporting.charts.axes import Scale, bottom_axis, left_axis, time_unit
from headstart.components.reporting.charts.svg import WIDTH, Drawing, Figure, look
from headstart.components.reporting.summary import Summary

# How far the picture goes where the lines never cross.
MODELS_WITHOUT_CROSSING = 50


def draw(summary: Summary, identity: str) -> Figure | None:
    """None when preparation or an arm's time is not known."""
    preparation = summary.preparation_seconds
    first = summary.first
    each_control, each_treatment = summary.control.train_seconds.mean, summary.treatment.train_seconds.mean
    if preparation is None or each_control is None or each_treatment is None:
        return None
    found = summary.break_even
    most = max(4.0, 2.2 * found.models) if found.models is not None else float(MODELS_WITHOUT_CROSSING)
    if found.models is not None and found.high is not None:
        most = max(most, min(found.high * 1.15, most * 2))
    lines = {first.control: (0.0, each_control), first.treatment: (preparation, each_treatment)}
    longest = max(start + most * each for start, each in lines.values())
    unit, name = time_unit(longest)
    left, right, top, bottom = 56.0, WIDTH - 14, 34.0, 252.0
    x = Scale(0.0, most, left, right)
    y = Scale(0.0, longest * 1.03 / unit, bottom, top)
    drawing = Drawing(288.0)
    left_axis(drawing, y, left, f"total training time, {name}", units.short, right=right)
    bottom_axis(drawing, x, bottom, "models trained", units.short)
    if found.models is not None and found.low is not None:
        start, end = x(found.low), x(found.high if found.high is not None else most)
        drawing.rect((start, top), end - start, bottom - top, "interval")
    for arm, (begin, each) in lines.items():
        drawing.path([(x(0), y(begin / unit)), (x(most), y((begin + most * each) / unit))], f"thick {look(arm)}")
    if found.models is not None and found.first_model is not None:
        at = (x(found.models), y(found.models * each_control / unit))
        drawing.line(at, (at[0], bottom), "target")
        drawing.mark(at, "crossing", 5)
        drawing.text((at[0] + 8, bottom - 8), f"breaks even at the {ordinal(found.first_model)}", "note strong")
    legend(drawing, list(lines))
    shaded = (
        f"Shaded: the {_interval_name(summary)} of the crossing"
        + (", which has no upper end" if found.high is None else "")
        + ". "
        if found.models is not None and found.low is not None
        else ""
    )
    money = ""
    if summary.cost is not None:
        cost = summary.cost
        money = (
            f" At {cost.price_per_hour:g} {cost.currency} an hour preparation costs {units.money(cost.preparation)}, a "
            f"{first.control} model {units.money(cost.per_model.get(first.control))}, a {first.treatment} model "
            f"{units.money(cost.per_model.get(first.treatment))} {cost.currency}, all phases counted."
        )
    return Figure(
        "When preparation has paid for itself",
        drawing.render(
            identity,
            "Total training time against number of models",
            f"Two lines. {first.control} begins at zero and adds {units.duration(each_control)} per model; "
            f"{first.treatment} begins at {units.duration(preparation)} and adds {units.duration(each_treatment)} "
            f"per model. Breaks even: {found.text}.",
        ),
        f"{shaded}Preparation counts as done once; it was measured once, so its spread is not in the interval.{money}",
    )


def _interval_name(summary: Summary) -> str:
    return f"{100 * summary.confidence:.0f} % interval"
