"""Scales and axes: where a value lies in a picture, and the marks that say so."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from headstart.components.reporting.charts.svg import Drawing


@dataclass(frozen=True)
class Scale:
    """Values from `low` to `high`, linear or logarithmic, onto user units from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        """The place of a value; outside values land on the border."""
        value = min(max(value, self.low), self.high)
        if self.logarithmic:
            share = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self) -> list[float]:
        """Round values inside the scale."""
        return log_ticks(self.low, self.high) if self.logarithmic else linear_ticks(self.low, self.high)


def linear_ticks(low: float, high: float) -> list[float]:
    """About five multiples of 1, 2 or 5 times a power of ten that lie within low and high."""
    rough = (high - low) / 5
    if rough <= 0:
        return [low]
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    return [index * step for index in range(first, math.floor(high / step + 1e-9) + 1)]


def log_ticks(low: float, high: float) -> list[float]:
    """Round values within low and high: powers of ten, or as many between them as make at least three."""
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    found: list[float] = []
    for factors in ((1,), (1, 2, 5), (1, 1.5, 2, 3, 4, 5, 6, 8), (1, 1.1, 1.2, 1.4, 1.6, 1.8, 2, 2.5, 3, 3.5)):
        found = [factor * 10.0**power for power in powers for factor in factors]
        found = [value for value in found if low * 0.999 <= value <= high * 1.001]
        if len(found) >= 3:
            break
    return found


def span(values: Sequence[float], margin: float = 0.05, floor: float | None = None) -> tuple[float, float]:
    """Smallest and largest value with a margin around; never of zero width. `floor` is the least lower end."""
    low, high = min(values), max(values)
    space = (high - low) * margin or abs(high) * margin or 1.0
    low -= space
    return (low if floor is None else max(low, floor)), high + space


def log_span(values: Sequence[float]) -> tuple[float, float]:
    """Ends of a logarithmic scale around positive values."""
    return min(values) / 1.25, max(values) * 1.25


def time_unit(longest: float) -> tuple[float, str]:
    """Seconds in the unit that fits a longest time, and its name: s, min or h."""
    if longest < 180:
        return 1.0, "s"
    return (60.0, "min") if longest < 3 * 3600 else (3600.0, "h")


Item = TypeVar("Item")


def evenly(items: Sequence[Item], most: int) -> list[Item]:
    """At most `most` of the items, chosen evenly from the first to the last."""
    if len(items) <= most:
        return list(items)
    return [items[index] for index in np.linspace(0, len(items) - 1, most).round().astype(int)]


def plain(value: float) -> str:
    """A tick's number without needless zeros."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def bottom_axis(
    drawing: Drawing,
    scale: Scale,
    y: float,
    title: str,
    label: Callable[[float], str] = plain,
    *,
    top: float | None = None,
    divide: float = 1.0,
) -> None:
    """Draw an axis along the bottom; with `top`, grid lines up to there. Ticks are round in value / divide."""
    inner = Scale(scale.low / divide, scale.high / divide, scale.start, scale.end, scale.logarithmic)
    drawing.line((scale.start, y), (scale.end, y), "axis")
    taken = -math.inf
    for tick in inner.ticks():
        x = inner(tick)
        if top is not None:
            drawing.line((x, top), (x, y), "grid")
        text = label(tick)
        half = 3.4 * len(text)
        drawing.line((x, y), (x, y + 4), "axis")
        if x - half > taken + 4:
            drawing.text((x, y + 16), text, "tick", "middle")
            taken = x + half
    drawing.text((scale.end, y + 32), title, "axis-title", "end")


def left_axis(
    drawing: Drawing,
    scale: Scale,
    x: float,
    title: str,
    label: Callable[[float], str],
    right: float,
) -> None:
    """Draw an axis along the left, its title above and a grid line to `right` at each tick."""
    for tick in scale.ticks():
        y = scale(tick)
        drawing.line((x, y), (right, y), "grid")
        drawing.text((x - 6, y + 4), label(tick), "tick", "end")
    drawing.text((4, scale.end - 10), title, "axis-title")


def per_cent(value: float) -> str:
    """A fraction as a tick in per cent."""
    return f"{100 * value:.4g} %"
