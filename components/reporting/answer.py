"""The answer in words, for the first line of the report."""

from __future__ import annotations

from collections.abc import Sequence

from headstart.components.reporting import units
from headstart.components.reporting.break_even import ordinal
from headstart.components.reporting.labels_text import labels_sentence
from headstart.components.reporting.summary import Compared, Interval, Summary
from headstart.components.stages import STAGES, chain

# An interval around zero that stays within this (a fraction) says that the arms are alike, not only undecided.
ABOUT_AS_ACCURATE = 0.01
# A gain that is printed as 0.0 points.
NO_POINTS = 0.0005
# Draws that share more than this of their training images differ by much less than other images would.
MUCH_SHARED = 0.5


def answer(summary: Summary) -> str:
    """Return how many times as fast, how much more accurate, when preparation has paid for itself, over what it holds.

    No claim is made that the intervals do not carry: a difference whose interval holds zero is called undecided, and
    then it says what this design could have seen. A learning curve comes first: how many labels are saved.
    """
    return f"{labels_sentence(summary)} {_time_and_accuracy(summary)}".strip()


def _time_and_accuracy(summary: Summary) -> str:
    first = summary.first
    if first.speedup.train.estimate is None:
        missing = [arm for arm in (first.control, first.treatment) if not summary.arms[arm].train_seconds.n]
        which = "either arm" if len(missing) == 2 else f"the {missing[0]} arm" if missing else "both arms"
        lead, there = ("No answer at the largest size", " there") if summary.curve else ("No answer", "")
        return f"{lead}: no run of {which} succeeded{there}. {units.sentence(_preparation(summary, first))}"
    name = STAGES[first.treatment].title
    fast, accurate = _fast(summary, first), _accurate(first)
    plain = accurate.startswith("is ")
    worse, faster = first.gain.sign() < 0, first.speedup.train.sign(1.0) > 0
    if worse and faster:
        both = f"{name} is faster, but worse: it {fast}, and {accurate}"
    elif first.speedup.train.sign(1.0) == 0:
        both = f"Whether {name.lower()} trains faster is undecided: it {fast}; {'it ' if plain else ''}{accurate}"
    else:
        both = f"{name} {fast}{'' if plain else ','} and {accurate}"
    return f"{both}; {_preparation(summary, first)} {_holds(summary, first)}".strip()


def _in_brackets(parts: Sequence[str]) -> str:
    text = "; ".join(part for part in parts if part)
    return f" ({text})" if text else ""


def _inverse(interval: Interval) -> Interval:
    turned = (None if not value else 1 / value for value in (interval.estimate, interval.high, interval.low))
    estimate, low, high = turned
    return interval.model_copy(update={"estimate": estimate, "low": low, "high": high})


def _fast(summary: Summary, first: Compared) -> str:
    """`trains 19 times as fast as the baseline (95 % interval 16–24; 4.6 counting every phase)`."""
    train, every = first.speedup.train, first.speedup.all_phases
    slower = train.sign(1.0) < 0
    if slower:
        train, every = _inverse(train), _inverse(every)
    between = units.ends(train.low, train.high, units.factor, "–")
    sure = f"{units.confidence(summary.confidence)} interval {between}"
    parts = [sure if between else "one run" if _one_run(summary) else ""]
    if every.estimate is not None:
        parts.append(f"{units.factor(every.estimate)} counting every phase")
    if train.sign(1.0) == 0 and train.could_have_seen is not None:
        parts.append(
            f"a true ratio of {units.factor(train.could_have_seen)} would have shown in four of five experiments"
        )
    verb = "takes {} times as long to train as" if slower else "trains {} times as fast as"
    return f"{verb.format(units.factor(train.estimate))} {_named(first.control)}{_in_brackets(parts)}"


def _one_run(summary: Summary) -> bool:
    return min(summary.control.train_seconds.n, summary.treatment.train_seconds.n) == 1


def _named(arm: str) -> str:
    title = STAGES[arm].title.lower()
    return f"the {title} arm" if " " in title else f"the {title}"


def _accurate(first: Compared) -> str:
    gain = first.gain
    if gain.estimate is None:
        return "its accuracy is not known"
    sign = gain.sign()
    if sign == 0 and gain.method == "none":
        return f"is as accurate{_in_brackets([gain.note])}"
    if sign == 0 and gain.low is not None and gain.high is not None:
        between = units.ends(gain.low, gain.high, units.signed_points)
        if max(-gain.low, gain.high) <= ABOUT_AS_ACCURATE:
            return f"is about as accurate: {units.signed_points(gain.estimate)} points ({between})"
        could_see = f"a true difference of {units.points(gain.could_have_seen)} points"
        seen = f"{could_see} would have shown in four of five experiments" if gain.could_have_seen is not None else ""
        brackets = _in_brackets([between, seen])
        return f"whether it is more accurate is undecided: {units.signed_points(gain.estimate)} points{brackets}"
    if gain.method == "none" and abs(gain.estimate) < NO_POINTS:
        return "is as accurate"
    nearest, farthest = (gain.high, gain.low) if sign < 0 else (gain.low, gain.high)
    between = units.ends(nearest, farthest, units.points, "–")
    return f"is {units.points(gain.estimate)} points {'less' if sign < 0 else 'more'} accurate{_in_brackets([between])}"


def _preparation(summary: Summary, first: Compared) -> str:
    if not chain(first.treatment):
        return "nothing was prepared."
    if summary.preparation_seconds is None:
        return f"what preparing it costs is not known, because {summary.preparation.reason}."
    took, pays = f"preparing it took {units.duration(summary.preparation_seconds)}", first.break_even
    if first.speedup.train.estimate is None:
        return f"{took}."
    if first.gain.sign() < 0:
        return f"{took}, for a worse model."
    if pays.never:
        return f"{took} and never breaks even."
    if pays.first_model is None:
        return f"{took}, and it is not shown to break even."
    until = "" if pays.first_model_high or pays.method == "none" else ", or perhaps never"
    return f"{took} and breaks even from the {ordinal(pays.first_model)} model{until}."


def _joined(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _holds(summary: Summary, first: Compared) -> str:
    """Over what was sampled the answer holds, and what there was only one of."""
    over, given = [], []
    held = summary.holds_over
    sampled = (
        (held.preparations, "preparation", "preparations"),
        (held.draws, "draw of training images", "draws of training images"),
    )
    for count, one, many in sampled:
        if count > 1:
            shared = one.startswith("draw") and held.draws_shared >= MUCH_SHARED
            share = units.percent(held.draws_shared, 0)
            over.append(f"{count} {many}" + (f" that share about {share}" if shared else ""))
        elif count == 1:
            given.append(f"one {one}")
    if held.test_images:
        over.append("test images like these")
    else:
        given.append("these test images")
    if held.seeds > 1 and not over:
        over.append(units.counted(held.seeds, "seed"))
    if not over:
        return ""
    only = f", for {_joined(given)} only" if given else ""
    return f"Holds over {_joined(over)}{only}."


def verdict(summary: Summary) -> str:
    """`sound`, `sound, with 2 warnings`, `not sound: 1 error`."""
    errors = sum(finding.severity == "error" for finding in summary.findings)
    warnings = len(summary.findings) - errors
    counts = [units.counted(count, noun) for count, noun in ((errors, "error"), (warnings, "warning")) if count]
    if not counts:
        return "sound"
    return f"not sound: {', '.join(counts)}" if errors else f"sound, with {counts[0]}"
