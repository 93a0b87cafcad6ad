"""From which model on the preparation of the transferred weights has paid for itself."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from headstart.components.reporting.sampling import Error, Sample, sampling_error
from headstart.components.reporting.statistics import fieller
from headstart.components.reporting.summary import BreakEven

# Beyond this many models a count says nothing that "practically never" does not.
MOST_MODELS = 10_000_000


def models(preparation: float, control: float, treatment: float) -> float:
    """Models after which both ways have cost the same: preparation / (control − treatment); infinite for never.

    All three in one unit. Means, not medians, since the totals of many models add up to means.
    """
    return preparation / (control - treatment) if control > treatment else math.inf


def first_model(count: float) -> int | None:
    """The first model with which the treatment has cost no more in total, or None for never."""
    return max(1, math.ceil(count)) if count < MOST_MODELS else None


def ordinal(number: int) -> str:
    """`1st`, `2nd`, `3rd`, `11th`, `22nd`."""
    suffix = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{suffix}"


def break_even(
    preparation: Sequence[float],
    reason: str,
    control: Sample,
    treatment: Sample,
    confidence: float = 0.95,
    *,
    all_phases: tuple[float, float, float] | None = None,
) -> BreakEven:
    """Break-even with the interval of Fieller's ratio: what preparation costs over what a model saves.

    With one preparation, whose spread is not known, that is the Welch interval of the saving turned around; with
    several, theirs is in it too. `preparation` holds the seconds of each, and is empty where they are not known, for
    the `reason` given. `all_phases`: means of preparation, control and treatment with every phase counted.
    """
    if not len(preparation):
        return BreakEven(text=f"not known, because {reason}")
    if not control.values.size or not treatment.values.size:
        return BreakEven(text="not known, because an arm has no run that succeeded")
    cost = float(np.mean(preparation))
    saving = float(control.values.mean() - treatment.values.mean())
    estimate = models(cost, saving, 0.0)
    low, high, method = _interval(preparation, saving, control, treatment, confidence)
    first, from_model, to_model = first_model(estimate), first_model(low), first_model(high)
    never = method != "none" and from_model is None
    everything = models(*all_phases) if all_phases else math.inf
    return BreakEven(
        models=estimate if first else None,
        low=low if from_model else None,
        high=high if to_model else None,
        first_model=first,
        first_model_low=from_model,
        first_model_high=to_model,
        all_phases_models=everything if first_model(everything) else None,
        never=never,
        method=method,
        text=_text(first, from_model, to_model, never),
    )


def _interval(
    preparation: Sequence[float], saving: float, control: Sample, treatment: Sample, confidence: float
) -> tuple[float, float, str]:
    """Low, high and method; infinite ends where there is no interval."""
    if min(control.values.size, treatment.values.size) < 2:
        return math.inf, math.inf, "none"
    error = sampling_error(treatment, control)
    if error.variance <= 0:
        return math.inf, math.inf, "none"
    cost = sampling_error(Sample.of(preparation)) if len(preparation) > 1 else Error(0.0, 1.0)
    low, high = fieller(float(np.mean(preparation)), cost, saving, error, confidence)
    return low, high, "Fieller" if cost.variance else "Welch t, inverted"


def _text(first: int | None, low: int | None, high: int | None, never: bool) -> str:
    if never:
        return "never: training takes longer, not less time"
    if first is None:
        text = "not shown: on average training took no less time"
        return f"{text}; the interval begins at the {ordinal(low)} model" if low else text
    text = f"from the {ordinal(first)} model"
    if low is None:
        return text
    if high is None:
        return f"{text} ({ordinal(low)} to perhaps never)"
    return text if low == high else f"{text} ({ordinal(low)} to {ordinal(high)})"
