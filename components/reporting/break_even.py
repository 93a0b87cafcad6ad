"""After how many models the preparation of the transferred weights is repaid, and what time costs as money."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from headstart.components.reporting.statistics import FEWEST_FOR_BOOTSTRAP, SEED, Floats, resamples
from headstart.components.reporting.summary import BreakEven

# Beyond this many models a count says nothing that "practically never" does not.
MOST_MODELS = 10_000_000


def models(preparation: float, baseline: float, transfer: float) -> float:
    """Models after which both ways have cost the same: preparation / (baseline − transfer); infinite for never.

    All three in one unit. Means, not medians, since the totals of many models add up to means.
    """
    return preparation / (baseline - transfer) if baseline > transfer else math.inf


def first_model(count: float) -> int | None:
    """The first model with which transfer has cost no more in total, or None for never."""
    return max(1, math.ceil(count)) if count < MOST_MODELS else None


def ordinal(number: int) -> str:
    """`1st`, `2nd`, `3rd`, `11th`, `22nd`."""
    suffix = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number:,}{suffix}"


def break_even(
    preparation: float | None,
    reason: str,
    baseline: Sequence[float],
    transfer: Sequence[float],
    confidence: float = 0.95,
    *,
    preparation_all: float | None = None,
    baseline_all: Sequence[float] = (),
    transfer_all: Sequence[float] = (),
) -> BreakEven:
    """Break-even with a percentile bootstrap interval over the runs; the `_all` values count every phase.

    Preparation was done once, so its own spread is not in the interval.
    """
    if preparation is None:
        return BreakEven(text=f"not known, because {reason}")
    if not len(baseline) or not len(transfer):
        return BreakEven(text="not known, because an arm has no run that succeeded")
    a, b = np.asarray(baseline, dtype=np.float64), np.asarray(transfer, dtype=np.float64)
    estimate = models(preparation, float(a.mean()), float(b.mean()))
    everything = math.inf
    if preparation_all is not None and len(baseline_all) and len(transfer_all):
        everything = models(preparation_all, float(np.mean(baseline_all)), float(np.mean(transfer_all)))
    low, high, method = _interval(preparation, a, b, confidence)
    first = first_model(estimate)
    if first is None:
        text = "never: a transfer run does not take less time than a baseline run"
        if math.isfinite(low):
            text += f" (the interval begins at the {ordinal(first_model(low) or MOST_MODELS)} model)"
    else:
        text = f"from the {ordinal(first)} model"
        if math.isfinite(low):
            start = ordinal(first_model(low) or first)
            end = first_model(high)
            text += f" ({start} to {ordinal(end)})" if end else f" ({start} to perhaps never)"
    return BreakEven(
        models=estimate if first else None,
        low=low if math.isfinite(low) else None,
        high=high if math.isfinite(high) and first_model(high) else None,
        first_model=first,
        first_model_low=first_model(low),
        first_model_high=first_model(high),
        all_phases_models=everything if first_model(everything) else None,
        never=first is None,
        method=method,
        text=text,
    )


def _interval(preparation: float, a: Floats, b: Floats, confidence: float) -> tuple[float, float, str]:
    """Low, high and method; infinite ends where there is nothing to resample."""
    if min(a.size, b.size) < 2 or (np.ptp(a) == 0 and np.ptp(b) == 0):
        return math.inf, math.inf, "none"
    if min(a.size, b.size) < FEWEST_FOR_BOOTSTRAP:
        return (
            models(preparation, float(a.max()), float(b.min())),
            models(preparation, float(a.min()), float(b.max())),
            "range",
        )
    rng = np.random.default_rng(SEED)
    count = resamples(max(a.size, b.size))
    step = max(1, 2_000_000 // max(a.size, b.size))
    saved = np.concatenate(
        [
            a[rng.integers(0, a.size, (rows, a.size))].mean(axis=1)
            - b[rng.integers(0, b.size, (rows, b.size))].mean(axis=1)
            for rows in (min(step, count - start) for start in range(0, count, step))
        ]
    )
    counts = np.where(saved > 0, preparation / np.where(saved > 0, saved, 1.0), math.inf)
    tail = (1 - confidence) / 2
    return (
        float(np.quantile(counts, tail, method="lower")),
        float(np.quantile(counts, 1 - tail, method="higher")),
        "percentile",
    )
