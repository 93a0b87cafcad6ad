"""Numbers as a person reads them: durations, factors, accuracies, sizes."""

from __future__ import annotations

import math
from collections.abc import Callable

MISSING = "–"


def duration(seconds: float | None) -> str:
    """`0.42 s`, `8.3 s`, `58 s`, `12 min 10 s`, `29 h 20 min`, `3 d 4 h`."""
    if seconds is None or not math.isfinite(seconds):
        return MISSING
    if seconds < 1:
        return f"{seconds:.2f} s"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s" if whole % 60 else f"{whole // 60} min"
    minutes = round(seconds / 60)
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min" if minutes % 60 else f"{minutes // 60} h"
    hours = round(seconds / 3600)
    return f"{hours // 24:,} d {hours % 24} h" if hours % 24 else f"{hours // 24:,} d"


def seconds(value: float | None) -> str:
    """Seconds for a column: enough digits to tell runs apart, the unit is in the heading."""
    if value is None or not math.isfinite(value):
        return MISSING
    digits = 2 if abs(value) < 10 else 1 if abs(value) < 1000 else 0
    return f"{value:,.{digits}f}"


def factor(value: float | None) -> str:
    """A ratio with two significant digits below 1 and one decimal place up to 100."""
    if value is None or not math.isfinite(value):
        return MISSING
    if value < 2:
        return f"{value:.2f}"
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def percent(fraction: float | None, digits: int = 1) -> str:
    """A fraction as per cent: `95.2 %`."""
    return MISSING if fraction is None or not math.isfinite(fraction) else f"{100 * fraction:.{digits}f} %"


def confidence(share: float) -> str:
    """The confidence of an interval: `95 %`, `99.9 %`."""
    return f"{100 * share:.6g} %"


def points(fraction: float | None) -> str:
    """A difference of fractions in percentage points, without sign: `5.2`."""
    return MISSING if fraction is None or not math.isfinite(fraction) else f"{abs(100 * fraction):.1f}"


def signed_points(fraction: float | None) -> str:
    """A difference of fractions in percentage points with its sign; a true minus."""
    if fraction is None or not math.isfinite(fraction):
        return MISSING
    text = f"{100 * fraction:+.1f}"
    return "0.0" if text in ("+0.0", "-0.0") else text.replace("-", "−")


def hundredths(fraction: float | None) -> str:
    """A fraction times 100, with two decimal places: `95.21`."""
    return number(None if fraction is None else 100 * fraction, 2)


def number(value: float | None, digits: int = 1) -> str:
    """A plain number with a fixed count of decimal places."""
    return MISSING if value is None or not math.isfinite(value) else f"{value:,.{digits}f}".replace("-", "−")


def probability(value: float | None) -> str:
    """A p-value: two significant digits, `< 0.001` below."""
    if value is None or not math.isfinite(value):
        return MISSING
    return "< 0.001" if value < 0.001 else f"{value:.2g}" if value < 0.1 else f"{value:.2f}"


def size(amount: float) -> str:
    """Bytes in binary units: `1.9 GiB`."""
    if amount <= 0:
        return MISSING
    for unit in ("B", "KiB", "MiB", "GiB"):
        if amount < 1024 or unit == "GiB":
            break
        amount /= 1024
    return f"{amount:.0f} {unit}" if unit in ("B", "KiB") or amount >= 100 else f"{amount:.1f} {unit}"


def ends(low: float | None, high: float | None, render: Callable[[float | None], str], joiner: str = " to ") -> str:
    """`6.4 to 7.9`; an end that is open in words, nothing without both."""
    if low is None and high is None:
        return ""
    if high is None:
        return f"{render(low)} or more"
    return f"at most {render(high)}" if low is None else f"{render(low)}{joiner}{render(high)}"


def sentence(text: str) -> str:
    """A text with a capital letter in front."""
    return text[:1].upper() + text[1:]


def short(value: float) -> str:
    """A number for an axis: up to three significant digits, thousands apart."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def money(value: float | None) -> str:
    """An amount: cents from 0.1 on, two significant digits below."""
    if value is None or not math.isfinite(value):
        return MISSING
    return f"{value:,.2f}" if value >= 0.1 or value == 0 else f"{value:.2g}"


def counted(number: int, noun: str) -> str:
    """`1 run`, `2 runs`, `1,000 runs`."""
    return f"{number:,} {noun}{'s' * (number != 1)}"
