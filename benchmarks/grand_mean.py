"""How many of several experiments' intervals hold the truth, judged by what all the others found.

The truth is not known. For each experiment the mean of all *other* estimates takes its place, since its own would lean
towards its interval. That mean has a standard error of its own; `undecided` counts the intervals that would be judged
differently if the mean of the others were moved by twice its error to either side.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import special

# Estimate, low and high; an end that is open is infinite, what was not estimated is not a number.
Numbers = tuple[float, float, float]


def judge(numbers: Sequence[Numbers]) -> dict[str, Any]:
    """Say how many intervals hold the mean of the other estimates; that takes three experiments or more.

    `low` and `high`: Clopper and Pearson's 95 % interval of the share that hold; `chance`: of as few or fewer, where
    each holds with 95 %. `spread`: standard deviation of the estimates; `half_width`: median of the intervals'.
    """
    known = np.array([row for row in numbers if not math.isnan(row[0])])
    n = len(known)
    if n < 3:
        return {"experiments": n}
    estimates, low, high = known.T
    rest = [np.delete(estimates, at) for at in range(n)]
    means, errors = np.array([(each.mean(), each.std(ddof=1) / math.sqrt(n - 1)) for each in rest]).T
    holds, less, more = ((low <= mean) & (mean <= high) for mean in (means, means - 2 * errors, means + 2 * errors))
    held = int(holds.sum())
    return {
        "experiments": n,
        "mean": float(estimates.mean()),
        "standard_error": float(estimates.std(ddof=1) / math.sqrt(n)),
        "spread": float(estimates.std(ddof=1)),
        "half_width": float(np.median((high - low) / 2)),
        "held": held,
        "undecided": int(((less != holds) | (more != holds)).sum()),
        "low": float(special.betaincinv(held, n - held + 1, 0.025)) if held else 0.0,
        "high": float(special.betaincinv(held + 1, n - held, 0.975)) if held < n else 1.0,
        "chance": float(special.bdtr(held, n, 0.95)),
    }
