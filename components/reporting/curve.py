"""Learning curves: accuracy against the number of training images, and the size at which two curves are equally high.

The curve of an arm goes through the means of its runs at each size: monotone cubic in the logarithm of the size
(Fritsch and Carlson 1980). Where the means are not monotone they are made so by isotonic regression first (about one
measured learning curve in seven is not: LCDB 1.1).

The size at which the control is as accurate as the treatment is an inverse, and its interval inverts a test: it holds
every size at which the difference of the two cannot be told from zero. The test is the t test of the gain in accuracy,
over runs, preparations, draws and, where the records have the answers, test images (`sampling`): on the curve between
two sizes a run's value is the combination of its values at the measured sizes that the curve makes of them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy import interpolate, optimize

from headstart.components.reporting.sampling import Floats, Sample
from headstart.components.reporting.statistics import difference, gain_on_new_images
from headstart.components.reporting.summary import BackTest, Interval, finite

# How far beyond the largest size an extrapolation is given at all: as many times that size.
HORIZON = 4.0
# The extrapolation is given only where it predicts the largest size from the smaller ones this well (a fraction), or
# within the interval of the measured accuracy.
PREDICTS = 0.01
# A power law has three parameters; with one size more there is something to predict.
FEWEST_FOR_BACK_TEST = 4
REPLICATES = 400
# Steps of the grid between two sizes, and halvings within one of its steps.
GRID, HALVINGS = 6, 10
_STEP = 1e-5

BELOW, ABOVE = -math.inf, math.inf
UNCLEAR = "it is ahead at {}, but not beyond doubt"


@dataclass(frozen=True)
class Curve:
    """The runs of one arm that succeeded at every size.

    Attributes:
        sizes: training images, ascending: float, S, two or more.
        values: test accuracy of each run at each size: float, R × S.
        preparations: label per run; empty: none is known.
        draws: label per run; empty: none is known.
        right: whether each test image was answered correctly: R × S × T; None: not known.
        films: label per test image; images of one label are not independent.
    """

    sizes: Floats
    values: Floats
    preparations: Sequence[Hashable] = ()
    draws: Sequence[Hashable] = ()
    right: NDArray[np.bool_] | None = field(default=None, repr=False)
    films: Sequence[Hashable] | None = None

    @cached_property
    def means(self) -> Floats:
        """Mean accuracy at each size."""
        found: Floats = self.values.mean(axis=0)
        return found

    @cached_property
    def monotone(self) -> bool:
        """Whether more images never gave a lower mean."""
        return bool((np.diff(self.means) >= 0).all())

    @cached_property
    def line(self) -> interpolate.PchipInterpolator:
        """The curve: accuracy over the logarithm of the size."""
        return interpolate.PchipInterpolator(np.log(self.sizes), isotonic(self.means))

    @cached_property
    def _lines(self) -> interpolate.PchipInterpolator:
        """The curve, and for each size the curve with its mean a little higher: columns 1 + S."""
        moved = np.column_stack([self.means, self.means[:, None] + _STEP * np.eye(self.sizes.size)])
        level = np.apply_along_axis(isotonic, 0, moved)
        return interpolate.PchipInterpolator(np.log(self.sizes), level, axis=0)

    def at(self, size: float) -> float:
        """Accuracy on the curve; `size` lies within the measured sizes."""
        return float(self.line(math.log(size)))

    def runs_at(self, size: float) -> Curve:
        """Return the runs as they are on the curve at `size`: a curve of that one size."""
        row = self._lines(math.log(size))
        weights = (row[1:] - row[0]) / _STEP
        shift = row[0] - float(weights @ self.means)
        right = None if self.right is None else np.tensordot(weights, self.right, axes=(0, 1)) + shift
        values = self.values @ weights + shift
        return Curve(np.array([size]), values[:, None], self.preparations, self.draws, right, self.films)

    def measured(self, index: int) -> Curve:
        """Return the runs at one of the sizes as they were measured."""
        right = None if self.right is None else self.right[:, index, :]
        return Curve(self.sizes[[index]], self.values[:, [index]], self.preparations, self.draws, right, self.films)

    def sample(self) -> Sample:
        """The runs of a curve of one size."""
        return Sample(self.values[:, 0], self.preparations, self.draws)


def isotonic(values: Floats) -> Floats:
    """Return the nearest values, in least squares, that never fall."""
    found: Floats = optimize.isotonic_regression(values).x
    return found


def gain(control: Curve, treatment: Curve, confidence: float) -> Interval:
    """The treatment's accuracy less the control's, of two curves of one size each; on new test images if it can be."""
    a, b = control.sample(), treatment.sample()
    if control.right is not None and treatment.right is not None:
        return gain_on_new_images(control.right, treatment.right, treatment.films, confidence, (a, b))
    return difference(a, b, confidence)


def band(arm: Curve, confidence: float) -> Interval:
    """Mean accuracy of a curve of one size with its interval, over all that was sampled; its ends lie in 0 to 1."""
    nothing = np.zeros((2, 1))
    right = None if arm.right is None else np.zeros((2, arm.right.shape[1]), dtype=bool)
    found = gain(Curve(arm.sizes, nothing, (), (), right), arm, confidence)
    ends = {"low": found.low and max(found.low, 0.0), "high": found.high and min(found.high, 1.0)}
    return found.model_copy(update=ends)


def equal_size(control: Curve, treatment: Curve, index: int, confidence: float = 0.95) -> Interval:
    """With how many images the control is as accurate as the treatment is at its size number `index`.

    An end is null where the control's measured sizes do not reach so far: a low of null is below the smallest of
    them, a high of null is above the largest. So is the estimate, and `note` says which. Method `none`: the runs do
    not tell an interval.
    """
    runs = treatment.measured(index)
    target = float(runs.means[0])
    estimate = inverse(control, target)
    notes = []
    if estimate == BELOW:
        notes.append("less than the smallest size")
    elif estimate == ABOVE:
        notes.append("more than the largest size")

    def decided(size: float) -> int:
        return gain(control.runs_at(size), runs, confidence).sign()

    grid = _grid(control.sizes)
    signs = [decided(size) for size in grid]
    low, high = _ends(grid, signs, decided)
    tested = gain(control.runs_at(float(np.clip(estimate, grid[0], grid[-1]))), runs, confidence)
    method = f"inverted {tested.method}" if tested.method != "none" else "none"
    if not control.monotone:
        notes.append("the control's curve falls in places: isotonic regression")
        if tested.method != "none":
            tails = [(1 - confidence) / 2, (1 + confidence) / 2]
            again = np.quantile(_bootstrap(control, treatment, index), tails, method="inverted_cdf")
            low, high = min(low, float(again[0])), max(high, float(again[1]))
            method += " with a bootstrap"
    return _interval(estimate, low, high, method, "; ".join(notes))


def _interval(estimate: float, low: float, high: float, method: str, note: str) -> Interval:
    low, high = (low, high) if method != "none" else (BELOW, ABOVE)
    return Interval(
        of="images", estimate=finite(estimate), low=finite(low), high=finite(high), method=method, note=note
    )


def _grid(sizes: Floats) -> list[float]:
    parts = [np.geomspace(start, end, GRID, endpoint=False) for start, end in pairwise(sizes.tolist())]
    return [*np.concatenate(parts).tolist(), float(sizes[-1])]


def _ends(grid: Sequence[float], signs: Sequence[int], decided: Callable[[float], int]) -> tuple[float, float]:
    """The smallest and the largest size that are not decidedly too small (sign 1) or too large (−1)."""
    first = next((place for place, sign in enumerate(signs) if sign < 1), None)
    last = next((place for place in range(len(signs) - 1, -1, -1) if signs[place] > -1), None)
    if first is None:
        low = grid[-1]
    else:
        low = BELOW if first == 0 else _border(grid[first - 1], grid[first], lambda size: decided(size) == 1)
    if last is None:
        high = grid[0]
    else:
        high = ABOVE if last == len(grid) - 1 else _border(grid[last], grid[last + 1], lambda size: decided(size) > -1)
    return low, high


def _border(inside: float, outside: float, holds: Callable[[float], bool]) -> float:
    """The size between two at which `holds` ends."""
    for _ in range(HALVINGS):
        middle = math.sqrt(inside * outside)
        inside, outside = (middle, outside) if holds(middle) else (inside, middle)
    return math.sqrt(inside * outside)


def inverse(curve: Curve, accuracy: float) -> float:
    """The smallest size at which the curve is at `accuracy`; −∞: below the smallest, ∞: above the largest."""
    return _crossing(curve.line.x, isotonic(curve.means), curve.line.c, accuracy)


def _crossing(logs: Floats, levels: Floats, cubics: Floats, accuracy: float) -> float:
    """`inverse` of a curve through `levels` (S) at `logs` (S), of which `cubics` (4 × S − 1) are the pieces."""
    if accuracy < levels[0]:
        return BELOW
    if accuracy > levels[-1]:
        return ABOVE
    # The piece that ends at the first size of that accuracy is a cubic which does not fall.
    piece = max(int(np.searchsorted(levels, accuracy)), 1) - 1
    cubic, square, slope, start = cubics[:, piece].tolist()
    low, high = 0.0, float(logs[piece + 1] - logs[piece])
    for _ in range(50):
        middle = (low + high) / 2
        below = ((cubic * middle + square) * middle + slope) * middle + start < accuracy
        low, high = (middle, high) if below else (low, middle)
    return math.exp(logs[piece] + high)


def _bootstrap(control: Curve, treatment: Curve, index: int) -> Floats:
    """Estimates from runs drawn again: whole draws where there are several, the same ones in both arms."""
    rng = np.random.default_rng(0)
    labels = [list(arm.draws) if len(set(arm.draws)) > 1 else [] for arm in (control, treatment)]
    shared = sorted(set(labels[0]) & set(labels[1]), key=str) if all(labels) else []
    levels, targets = [], []
    for _ in range(REPLICATES):
        drawn = [shared[place] for place in rng.integers(len(shared), size=len(shared))] if shared else []
        rows: list[list[int]] = []
        for arm, own in zip((control, treatment), labels, strict=True):
            if shared:
                rows.append([row for draw in drawn for row, label in enumerate(own) if label == draw])
            else:
                rows.append([int(row) for row in rng.integers(len(arm.values), size=len(arm.values))])
        targets.append(float(treatment.values[rows[1], index].mean()))
        levels.append(isotonic(control.values[rows[0]].mean(axis=0)))
    lines = interpolate.PchipInterpolator(np.log(control.sizes), np.column_stack(levels), axis=0)
    each = zip(levels, np.moveaxis(lines.c, 2, 0), targets, strict=True)
    return np.array([_crossing(lines.x, *parts) for parts in each])


def stops_paying(control: Curve, treatment: Curve, confidence: float = 0.95) -> Interval:
    """From which size on the treatment is no more accurate than the control; `note` says never where it always is.

    A low of null is below the smallest size, a high of null above the largest.
    """
    sizes = control.sizes

    def at(size: float) -> Interval:
        return gain(control.runs_at(size), treatment.runs_at(size), confidence)

    grid = _grid(sizes)
    found = [at(size) for size in grid]
    above = [(each.estimate or 0.0) > 0 for each in found]
    signs = [each.sign() for each in found]
    low, high = _ends(grid, signs, lambda size: at(size).sign())
    # Said without reserve only where the intervals say it too.
    if all(above):
        clear = min(signs) > 0
        estimate, note = ABOVE, "it pays at every size that was measured" if clear else UNCLEAR.format("every size")
    elif not any(above):
        clear = max(signs) < 0
        estimate, note = (
            BELOW,
            "it pays at no size that was measured" if clear else "it is not shown to pay at any size",
        )
    elif above[-1]:
        clear = signs[-1] > 0
        estimate, note = ABOVE, "it pays at the largest size" if clear else UNCLEAR.format("the largest size")
        note += ", and not at every smaller one" if clear else ""
    else:
        last = max(place for place, pays in enumerate(above) if pays)
        estimate, note = _border(grid[last], grid[last + 1], lambda size: (at(size).estimate or 0.0) > 0), ""
    method = "none" if all(each.method == "none" for each in found) else f"inverted {found[-1].method}"
    return _interval(estimate, low, high, method, note)


def power_law(sizes: Floats, errors: Floats) -> tuple[float, float, float]:
    """Fit error = c + a · size^−b by least squares, c and a not negative; returns c, a, b."""
    best: tuple[float, tuple[float, float, float]] = (math.inf, (float(errors.min()), 0.0, 1.0))
    for exponent in np.geomspace(0.05, 3.0, 120):
        design = np.column_stack([np.ones(sizes.size), (sizes / sizes[0]) ** -exponent])
        (floor, height), residual = optimize.nnls(design, errors)
        if residual < best[0]:
            best = residual, (float(floor), float(height * sizes[0] ** exponent), float(exponent))
    return best[1]


def predict(sizes: Floats, accuracies: Floats, size: float) -> float:
    """Accuracy at `size` beyond the largest of `sizes`, by a power law that is shifted to meet the last of them."""
    _, height, exponent = power_law(sizes, 1 - accuracies)
    return float(accuracies[-1] + height * (sizes[-1] ** -exponent - size**-exponent))


def back_test(control: Curve, confidence: float) -> BackTest | None:
    """Predict the control's accuracy at its largest size from the smaller ones; None where there are too few."""
    if control.sizes.size < FEWEST_FOR_BACK_TEST:
        return None
    predicted = predict(control.sizes[:-1], isotonic(control.means[:-1]), float(control.sizes[-1]))
    measured = band(control.measured(control.sizes.size - 1), confidence)
    within = measured.low is not None and measured.high is not None and measured.low <= predicted <= measured.high
    holds = within or abs(predicted - float(control.means[-1])) <= PREDICTS
    return BackTest(size=round(control.sizes[-1]), predicted=predicted, measured=measured, holds=holds)


def extrapolated_size(control: Curve, accuracy: float) -> float | None:
    """The size beyond the largest at which the control would be at `accuracy`; None: not within HORIZON times that."""
    level, largest = isotonic(control.means), float(control.sizes[-1])
    if predict(control.sizes, level, HORIZON * largest) < accuracy:
        return None
    _, height, exponent = power_law(control.sizes, 1 - level)
    return float((largest**-exponent - (accuracy - level[-1]) / height) ** (-1 / exponent))
