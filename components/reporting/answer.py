"""The answer in words, for the first line of the report."""

from __future__ import annotations

from headstart.components.reporting.break_even import ordinal
from headstart.components.reporting.summary import Interval, Summary
from headstart.components.reporting.units import duration, factor, number, points, signed_points

# An interval around zero that stays within so much (a fraction) says that the arms are alike, not only undecided.
ABOUT_AS_ACCURATE = 0.01


def answer(summary: Summary) -> str:
    """One or two sentences: how much faster, how much more accurate, what preparation cost and when it is repaid.

    No adjective stands here that the intervals do not carry: a difference whose interval holds zero is called
    undecided.
    """
    if summary.speedup.train.estimate is None:
        missing = [arm for arm, found in summary.arms.items() if not found.train_seconds.n]
        which = "either arm" if len(missing) == 2 else f"the {missing[0]} arm" if missing else "both arms"
        preparation = _preparation(summary)
        return f"No answer: no run of {which} succeeded. {preparation[0].upper()}{preparation[1:]}"
    faster, accurate = _faster(summary), _accurate(summary)
    if faster.startswith("Whether"):
        joined = f"{faster}; {'' if accurate.startswith(('whether', 'its')) else 'it '}{accurate}"
    else:
        joined = f"{faster}{',' if accurate.startswith(('whether', 'its')) else ''} and {accurate}"
    return f"{joined}; {_preparation(summary)}"


def _percent_interval(summary: Summary) -> str:
    return f"{100 * summary.confidence:.0f} % interval"


def _range(interval: Interval, form: str, summary: Summary) -> str:
    if interval.low is None or interval.high is None:
        return ""
    render = factor if form == "factor" else lambda value: number(100 * value)
    name = "range of the runs" if interval.method == "range" else _percent_interval(summary)
    joiner = " to " if interval.low < 0 and form == "points" else "–"
    return f" ({name} {render(interval.low)}{joiner}{render(interval.high)})"


def _faster(summary: Summary) -> str:
    found = summary.speedup.train
    assert found.estimate is not None
    span = _range(found, "factor", summary)
    if found.low is not None and found.high is not None and found.low <= 1 <= found.high:
        return f"Whether transfer trains faster is undecided: {factor(found.estimate)} times as fast{span}"
    if found.estimate >= 1:
        return f"Transfer trains {factor(found.estimate)} times faster{span}"
    inverse = Interval(
        low=1 / found.high if found.high else None, high=1 / found.low if found.low else None, method=found.method
    )
    return f"Transfer trains {factor(1 / found.estimate)} times slower{_range(inverse, 'factor', summary)}"


def _accurate(summary: Summary) -> str:
    gain = summary.accuracy_gain
    if gain.estimate is None:
        return "its accuracy is not known"
    span = _range(gain, "points", summary).replace(f"{_percent_interval(summary)} ", "")
    if gain.low is not None and gain.high is not None and gain.low <= 0 <= gain.high:
        close = max(-gain.low, gain.high) <= ABOUT_AS_ACCURATE
        said = "is about as accurate" if close else "whether it is more accurate is undecided"
        return f"{said}: {signed_points(gain.estimate)} points{span}"
    if abs(gain.estimate) < 0.0005:
        return "is as accurate"
    if gain.estimate > 0:
        return f"is {points(gain.estimate)} points more accurate{span}"
    negated = Interval(
        low=-gain.high if gain.high is not None else None,
        high=-gain.low if gain.low is not None else None,
        method=gain.method,
    )
    span = _range(negated, "points", summary).replace(f"{_percent_interval(summary)} ", "")
    return f"is {points(gain.estimate)} points less accurate{span}"


def _preparation(summary: Summary) -> str:
    if summary.preparation_seconds is None:
        return f"what preparing it costs is not known, because {summary.preparation.reason}."
    took = f"preparing it took {duration(summary.preparation_seconds)}"
    if summary.break_even.never:
        return f"{took} and is never repaid."
    if summary.break_even.first_model is None:
        return f"{took}; when it is repaid is {summary.break_even.text}."
    return f"{took} and repays itself from the {ordinal(summary.break_even.first_model)} model."


def verdict(summary: Summary) -> str:
    """`sound`, `sound, with 2 warnings`, `not sound: 1 error`."""
    errors = sum(finding.severity == "error" for finding in summary.findings)
    warnings = len(summary.findings) - errors
    said = [
        f"{count} {noun}{'s' * (count != 1)}" for count, noun in ((errors, "error"), (warnings, "warning")) if count
    ]
    if not said:
        return "sound"
    return f"not sound: {', '.join(said)}" if errors else f"sound, with {said[0]}"
