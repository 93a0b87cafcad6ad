"""The estimation plot (Gardner–Altman): every run of every arm, and on the same axis what the treatments gain.

The control's centre is where the axis of the gains has its neutral value, so that an interval can be read against the
runs that it was made from.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from headstart.components.reporting import units
from headstart.components.reporting.answer import ABOUT_AS_ACCURATE
from headstart.components.reporting.charts.axes import Scale, evenly, linear_ticks, log_ticks, plain, time_unit
from headstart.components.reporting.charts.classes import shorten
from headstart.components.reporting.charts.svg import WIDTH, Drawing, Figure, look
from headstart.components.reporting.experiment import Experiment, test_accuracy, train_seconds, values
from headstart.components.reporting.summary import Interval, Summary
from headstart.components.reporting.tables import with_interval

MOST_DOTS = 250
# Columns narrower than this have their names in two rows.
NARROW = 82.0
LEFT, RIGHT, TOP, BOTTOM, HEIGHT = 50.0, WIDTH - 44, 32.0, 248.0, 306.0
# An interval may stretch the axis to this many times the span of the runs; beyond, it ends in an arrow.
MOST_STRETCH = 1.5


@dataclass(frozen=True)
class Panel:
    """One quantity; `place` says where on the axis of the runs an effect lies, given the control's centre."""

    title: str
    effect_title: str
    runs: dict[str, list[float]]
    centres: dict[str, float]
    effects: dict[str, Interval]
    place: Callable[[float, float], float]
    label: Callable[[float], str]
    effect_label: Callable[[float | None], str]
    neutral: float
    alike: tuple[float, float] | None
    logarithmic: bool
    divide: float = 1.0


def draw(experiment: Experiment, summary: Summary, identity: str) -> Figure | None:
    """None when no run of an arm succeeded."""
    times = {arm: values(records, train_seconds) for arm, records in experiment.arms.items()}
    accuracies = {arm: values(records, test_accuracy) for arm, records in experiment.arms.items()}
    control = summary.first.control
    compared = [each for each in summary.comparisons if each.control == control]
    panels = []
    if any(times.values()):
        unit, name = time_unit(max(value for each in times.values() for value in each))
        panels.append(
            Panel(
                f"training time, {name} (logarithmic)",
                "times as fast",
                times,
                {arm: float(np.exp(np.mean(np.log(each)))) for arm, each in times.items() if each},
                {each.treatment: each.speedup.train for each in compared},
                lambda centre, ratio: centre / ratio,
                plain,
                units.factor,
                1.0,
                None,
                True,
                unit,
            )
        )
    if any(accuracies.values()):
        panels.append(
            Panel(
                "test accuracy",
                "points gained",
                accuracies,
                {arm: float(np.mean(each)) for arm, each in accuracies.items() if each},
                {each.treatment: each.gain for each in compared},
                lambda centre, gain: centre + gain,
                lambda value: f"{100 * value:.4g} %",
                units.signed_points,
                0.0,
                (-ABOUT_AS_ACCURATE, ABOUT_AS_ACCURATE),
                False,
            )
        )
    if not panels:
        return None
    thinned = any(len(each) > MOST_DOTS for each in times.values())
    gains = ""
    if any(effect.estimate is not None for panel in panels for effect in panel.effects.values()):
        gains = (
            f" Right: what is gained over {control} with its {units.confidence(summary.confidence)} interval, on the "
            "same axis; hollow where no gain at all lies within the interval: undecided. Gray band: less than "
            f"{100 * ABOUT_AS_ACCURATE:g} point either way, called about as accurate."
        )
    svgs = [_panel(panel, control, summary, f"{identity}-{index}") for index, panel in enumerate(panels)]
    return Figure(
        "Every run, and what it comes to",
        Markup("").join(svgs),
        f"{'Left: a' if gains else 'A'} mark is a run, the bar its arm's mean (of times: the geometric)."
        f"{gains} The axes do not begin at zero."
        + (f" Of each arm {MOST_DOTS} runs are drawn, evenly chosen." if thinned else ""),
        wide=True,
    )


def _panel(panel: Panel, control: str, summary: Summary, identity: str) -> Markup:
    arms, centre = list(panel.runs), panel.centres.get(control)
    effects = {arm: each for arm, each in panel.effects.items() if each.estimate is not None and centre is not None}
    y = _scale(panel, centre, effects)
    columns = len(arms) + len(effects)
    width = (RIGHT - LEFT) / columns
    split = LEFT + width * len(arms)
    drawing = Drawing(HEIGHT - (0 if width < NARROW else 34))
    drawing.text((4, 14), panel.title, "axis-title")
    _left_ticks(drawing, panel, y, split)
    if centre is not None and effects:
        drawing.text((WIDTH - 2, 14), panel.effect_title, "axis-title", "end")
        if panel.alike is not None:
            high, low = (y(panel.place(centre, each)) for each in reversed(panel.alike))
            drawing.rect((split, high), RIGHT - split, low - high, "alike")
        _right_ticks(drawing, panel, y, centre)
        drawing.line((LEFT, y(centre)), (RIGHT, y(centre)), "target")
        drawing.line((split, TOP), (split, BOTTOM), "axis")
    for index, arm in enumerate(arms):
        middle = LEFT + width * (index + 0.5)
        _name(drawing, middle, arm, width, index)
        if not panel.runs[arm]:
            drawing.text((middle, (TOP + BOTTOM) / 2), "no run", "note", "middle")
            continue
        for place, offset in _swarm([y(value) for value in evenly(sorted(panel.runs[arm]), MOST_DOTS)], width * 0.42):
            drawing.mark((middle + offset, place), arm, 3.4)
        level = y(panel.centres[arm])
        drawing.line((middle - width * 0.3, level), (middle + width * 0.3, level), "median")
    for index, (arm, effect) in enumerate(effects.items()):
        middle = split + width * (index + 0.5)
        _name(drawing, middle, f"{arm} gains" if columns < 5 else arm, width, len(arms) + index)
        _effect(drawing, panel, y, centre or 0.0, (arm, effect), (middle, width))
    lines = [
        f"{arm}: {len(each)} runs, {panel.label(min(each) / panel.divide)} to {panel.label(max(each) / panel.divide)}"
        for arm, each in panel.runs.items()
        if each
    ]
    lines += [
        f"{arm} against {control}: {with_interval(effect, panel.effect_label)} {panel.effect_title}"
        for arm, effect in effects.items()
    ]
    return drawing.render(identity, f"{panel.title} of every run, and what is gained", f"{'. '.join(lines)}.")


def _scale(panel: Panel, centre: float | None, effects: dict[str, Interval]) -> Scale:
    """From the lowest to the highest run, stretched for intervals, but not without end."""
    turn = np.log if panel.logarithmic else np.asarray
    back = np.exp if panel.logarithmic else np.asarray
    runs = turn(np.array([value for each in panel.runs.values() for value in each]))
    low, high = float(runs.min()), float(runs.max())
    least = np.log(1.3) if panel.logarithmic else 2 * ABOUT_AS_ACCURATE
    span = max(high - low, float(least))
    if centre is not None:
        ends = [panel.place(centre, end) for each in effects.values() for end in (each.low, each.high) if end]
        if panel.alike is not None and effects:
            ends += [panel.place(centre, end) for end in panel.alike]
        places = turn(np.array([end for end in ends if end > 0 or not panel.logarithmic] or [centre]))
        low = min(low, max(float(places.min()), low - MOST_STRETCH * span))
        high = max(high, min(float(places.max()), high + MOST_STRETCH * span))
    margin = 0.06 * max(high - low, span)
    ends = back(np.array([low - margin, high + margin])).tolist()
    return Scale(ends[0], ends[1], BOTTOM, TOP, panel.logarithmic)


def _left_ticks(drawing: Drawing, panel: Panel, y: Scale, right: float) -> None:
    inner = Scale(y.low / panel.divide, y.high / panel.divide, y.start, y.end, y.logarithmic)
    for tick in inner.ticks():
        if not panel.logarithmic and not -1e-9 <= tick <= 1 + 1e-9:
            continue
        drawing.line((LEFT, inner(tick)), (right, inner(tick)), "grid")
        drawing.text((LEFT - 6, inner(tick) + 4), panel.label(tick), "tick", "end")


def _right_ticks(drawing: Drawing, panel: Panel, y: Scale, centre: float) -> None:
    if panel.logarithmic:
        ticks = log_ticks(centre / y.high, centre / y.low)
        ticks = [*[tick for tick in ticks if abs(y(centre / tick) - y(centre)) > 12], 1.0]
    else:
        ticks = linear_ticks(y.low - centre, y.high - centre)
    for tick in ticks:
        at = y(panel.place(centre, tick))
        drawing.line((RIGHT, at), (RIGHT + 4, at), "axis")
        text = f"{units.short(tick)} ×" if panel.logarithmic else units.signed_points(tick)
        drawing.text((RIGHT + 8, at + 4), text, "tick")


def _effect(
    drawing: Drawing, panel: Panel, y: Scale, centre: float, of: tuple[str, Interval], at: tuple[float, float]
) -> None:
    (arm, effect), (middle, width) = of, at
    kind = look(arm)
    if effect.method != "none":
        ends = []
        for end, open_end in ((effect.low, panel.neutral), (effect.high, None)):
            value = panel.place(centre, end) if end or (end is not None and not panel.logarithmic) else None
            downwards = (open_end is None) == panel.logarithmic
            place = y(value) if value is not None else (BOTTOM if downwards else TOP)
            outside = value is None or not y.low <= value <= y.high
            ends.append(place)
            if outside:
                tip = 5 if place >= BOTTOM - 1 else -5
                drawing.path([(middle - 5, place - tip), (middle, place), (middle + 5, place - tip)], f"stem {kind}")
        drawing.line((middle, ends[0]), (middle, ends[1]), f"stem {kind}")
    place = y(panel.place(centre, effect.estimate or panel.neutral))
    drawing.mark((middle, place), arm, 5.5, "mark" if effect.decided(panel.neutral) else "mark hollow")
    text = panel.effect_label(effect.estimate)
    if width >= NARROW:
        text += " ×" if panel.logarithmic else ""
        drawing.text((middle + 11, place + 4), text, "note strong")
    else:
        drawing.text((middle, TOP - 4), text, "note strong", "middle")


def _name(drawing: Drawing, middle: float, text: str, width: float, index: int) -> None:
    """The name of a column, in two rows where columns are narrow."""
    narrow = width < NARROW
    fits = int((2 * width if narrow else width) / 6.4)
    drawing.text((middle, BOTTOM + 18 + (16 * (index % 2) if narrow else 0)), shorten(text, fits), "label", "middle")


def _swarm(places: list[float], most: float) -> list[tuple[float, float]]:
    """Move marks that would cover each other to both sides in turn, at most `most` from the middle."""
    lanes: list[float] = []
    spread = []
    for place in sorted(places):
        lane = next((index for index, last in enumerate(lanes) if place - last >= 7.5), None)
        if lane is None and len(lanes) < 2 * int(most / 8) + 1:
            lanes.append(place)
            lane = len(lanes) - 1
        elif lane is None:
            lane = int(np.argmin(lanes))
        lanes[lane] = place
        spread.append((place, (lane + 1) // 2 * (8.0 if lane % 2 else -8.0)))
    return spread
