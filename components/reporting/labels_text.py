"""What a learning curve says of labels, in words and in tables."""

from __future__ import annotations

from headstart.components.reporting import units
from headstart.components.reporting.curve import HORIZON
from headstart.components.reporting.summary import Interval, LabelsSaved, LearningCurve, Summary
from headstart.components.reporting.tables import Table
from headstart.components.stages import STAGES


def count(value: float | None) -> str:
    """A number of images: whole, from 1,000 on to two or three digits that mean something."""
    if value is None:
        return units.MISSING
    if abs(value) < 1000:
        return f"{value:,.0f}".replace("-", "−")
    return f"{round(value, -2 if abs(value) < 100_000 else -3):,.0f}".replace("-", "−")


def control_in_words(arm: str) -> str:
    """`training from scratch`, or the arm by its name."""
    stage = STAGES[arm]
    return "training from scratch" if stage.starts_from is None and stage.frozen == "nothing" else stage.title.lower()


def labels_sentence(summary: Summary) -> str:
    """The first line of the report: how many labels are saved; empty without a learning curve.

    Nothing is claimed that the interval does not carry.
    """
    today, curve = summary.labels_saved, summary.learning_curve
    if today is None or curve is None:
        return ""
    treatment, control = STAGES[curve.treatment].title.lower(), control_in_words(curve.control)
    if today.measured:
        return _measured(today, curve, treatment, control)
    within = curve.labels_saved_measured
    also = f" {_measured(within, curve, treatment, control)}" if within is not None else ""
    if today.high is not None and today.high < 0:
        smallest, most = min(point.size for point in summary.curve), today.size + today.high
        on = f"less accurate than {control} on {smallest:,}, the smallest size"
        if most > smallest:
            on = f"no more accurate than {control} on {count(most)}"
        return f"For {today.size:,} images {treatment} is {on}: it saves no labels.{also}"
    if today.low is None or today.low < 0:
        lead = f"For {today.size:,} images whether {treatment} saves labels is undecided."
    else:
        lead = f"For {today.size:,} images {treatment} is more accurate than {control} on as many"
        lead += f": equal accuracy takes {_beyond(today)}."
    return f"{lead}{also}"


def _beyond(today: LabelsSaved) -> str:
    if today.extrapolated:
        return f"more than there are, about {count(today.equal_size)} if the curve goes on as it did (extrapolated)"
    if "beyond the horizon" in today.note:
        return f"more than there are, and by the curve more than {HORIZON:g} times as many (extrapolated)"
    return "more than there are"


def _measured(saved: LabelsSaved, curve: LearningCurve, treatment: str, control: str) -> str:
    """`For 300 images transfer is as accurate as … on 1,000 (800–1,200): it saves about 700 labels.`"""
    lead = f"For {saved.size:,} images {treatment} is as accurate as {control} on {count(saved.equal_size)}"
    estimate = saved.estimate or 0.0
    if saved.method == "none":
        return f"{lead} (no interval: too few runs, or all alike)."
    ends = _ends(saved)
    money = ""
    if saved.money is not None and round(abs(saved.money), 2) > 0:
        amount = abs(saved.money)
        money = f", {count(amount) if amount >= 100 else units.money(amount)} {curve.currency}"
    if saved.low is not None and saved.low > 0:
        return f"{lead} ({ends}): it saves about {count(estimate)} labels{money}."
    if saved.high is not None and saved.high < 0:
        return f"{lead} ({ends}): it costs about {count(-estimate)} labels{money}."
    return f"{lead} ({ends}): whether it saves labels is undecided."


def _ends(saved: LabelsSaved) -> str:
    low, high = (None if end is None else end + saved.size for end in (saved.low, saved.high))
    return units.ends(low, high, count, "–") or "any number that was measured"


def _interval(found: Interval) -> str:
    low, high = (None if end is None else count(end) for end in (found.low, found.high))
    if found.method == "none":
        return ""
    return f" ({low or 'below the smallest'} to {high or 'above the largest'})"


def curve_table(summary: Summary) -> Table | None:
    """A row per size and arm; None without a learning curve."""
    if not summary.curve:
        return None
    rows = []
    for point in sorted(summary.curve, key=lambda point: point.size):
        accuracy, equal = point.accuracy, point.equal_size
        ends = ""
        if accuracy.low is not None and accuracy.high is not None:
            ends = f"{100 * max(0.0, accuracy.low):.1f} to {100 * min(1.0, accuracy.high):.1f}"
        words = ""
        if equal is not None:
            words = (count(equal.estimate) if equal.estimate is not None else equal.note.partition(";")[0]) + _interval(
                equal
            )
        rows.append(
            [
                f"{point.size:,}",
                f"{point.size_per_class:,}",
                STAGES[point.arm].title,
                f"{point.runs:,}",
                units.percent(accuracy.estimate),
                ends or units.MISSING,
                units.seconds(point.train_seconds),
                words,
            ]
        )
    return Table(
        caption="Learning curves",
        columns=[
            "images", "per class", "arm", "runs", "test accuracy", f"{units.confidence(summary.confidence)} interval",
            "train s", "images with which the control is as accurate",
        ],
        rows=rows,
        numeric=frozenset({0, 1, 3, 4, 6}),
        note=" ".join(notes(summary)),
    )  # fmt: skip


def notes(summary: Summary) -> list[str]:
    """What a reader of the curves must know, a sentence each."""
    curve = summary.learning_curve
    if curve is None:
        return []
    made = [_paying(curve)]
    test = curve.back_test
    if test is not None:
        made.append(
            f"Back-test: the smaller sizes predict {units.percent(test.predicted)} for "
            f"{control_in_words(curve.control)} on {test.size:,} images; measured: "
            f"{units.percent(test.measured.estimate)}. "
            + (
                f"Extrapolations reach to {HORIZON:g} times the largest size."
                if test.holds
                else "So nothing is extrapolated."
            )
        )
    if any("isotonic" in (point.equal_size.note if point.equal_size else "") for point in summary.curve):
        made.append(
            f"The curve of {control_in_words(curve.control)} falls in places; its inverse is that of an isotonic "
            "regression, with a bootstrap."
        )
    if curve.left_out:
        made.append(f"Left out, having no partner at every size: {units.counted(curve.left_out, 'run')}.")
    return made


def _paying(curve: LearningCurve) -> str:
    stops, name = curve.stops_paying, STAGES[curve.treatment].title
    if stops.estimate is None:
        return f"{name}: {stops.note}." if stops.note else ""
    return f"{name} stops paying at about {count(stops.estimate)} images{_interval(stops)}."


def offer_sentence(summary: Summary) -> str:
    """What a learning curve would cost and its command, where there is none; empty where that is not known."""
    found = summary.curve_offer
    if found is None:
        return ""
    return (
        f"How many labels it saves was not measured. A learning curve on these models, {found.runs:,} runs, would take "
        f"about {units.duration(found.seconds)}:"
    )
