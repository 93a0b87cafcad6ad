"""Whole demonstration experiments, each with other seeds: do the intervals hold what all of them find together?

`python -m benchmarks.demonstrations --count 20 --output FOLDER` runs `headstart run`'s demonstration that many times.
Each draws its images, prepares its models, draws its training images and seeds its runs by other numbers. The same
command goes on where it was stopped. An experiment takes two minutes on two idle cores.

The truth is not known. For each experiment the mean of all *other* estimates takes its place, since its own would lean
towards its interval. That mean has a standard error of its own; `undecided` counts the intervals that would be judged
differently if the mean of the others were moved by twice its error to either side.

The ratio of processor time is the one that a busy machine should leave alone: `--disturb N` repeats the first
experiment beside N busy processes, and both intervals must overlap.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scipy import special

from headstart.components.atomic_files import write_json
from headstart.components.reporting.summary import Interval, Summary, read_summary
from headstart.pipelines.interruption import INTERRUPTED
from headstart.pipelines.local_experiment import run_experiment
from headstart.pipelines.own_files import earlier_run
from headstart.pipelines.request import experiment_request

RUNS = 10
# Preparation k of an experiment has its seed plus k; no two experiments share a seed of any kind.
APART = 1000
# Estimate, low and high; an end that is open is infinite, what was not estimated is not a number.
Numbers = tuple[float, float, float]
# Ends with the process that started it, however that ends.
BUSY = "import os, sys\nwhile os.getppid() == int(sys.argv[1]): sum(range(100_000))"


class Quantity(NamedTuple):
    """What is judged: an interval of the summary; ratios are averaged as logarithms."""

    name: str
    interval: Callable[[Summary], Interval]
    ratio: bool = False

    def numbers(self, summary: Summary) -> Numbers:
        """Return what a summary says of it."""
        found = self.interval(summary)
        if found.method == "none" or found.estimate is None:
            return math.nan, math.nan, math.nan
        low, high = (-math.inf if found.low is None else found.low), (math.inf if found.high is None else found.high)
        if not self.ratio:
            return found.estimate, low, high
        return math.log(found.estimate), math.log(low) if low > 0 else -math.inf, math.log(high)

    def text(self, value: float) -> str:
        return f"{math.exp(value):.2f} ×" if self.ratio else f"{100 * value:+.2f} points"


QUANTITIES = (
    Quantity("gain in accuracy, on test images like these", lambda summary: summary.first.accuracy_gain.new_images),
    Quantity("gain in accuracy, on its own test images", lambda summary: summary.first.accuracy_gain.these_images),
    Quantity("ratio of training, processor time", lambda summary: summary.first.speedup.cpu, ratio=True),
    Quantity("ratio of training, wall time", lambda summary: summary.first.speedup.train, ratio=True),
)


@contextlib.contextmanager
def busy(count: int) -> Iterator[list[int]]:
    """Keep `count` processes busy meanwhile, and yield their ids."""
    beside = [
        subprocess.Popen([sys.executable, "-c", BUSY, str(os.getpid())], stdout=subprocess.DEVNULL)
        for _ in range(count)
    ]
    try:
        yield [process.pid for process in beside]
    finally:
        for process in beside:
            process.kill()
            process.wait()


def experiment(number: int, output: Path, beside: int = 0) -> Summary:
    """Run demonstration `number` into `output`, or go on with it, and return its summary."""
    first = number * APART
    request = experiment_request(seeds=range(first + 1, first + RUNS + 1), output=output)
    request.parameters["preparation_seed"] = first
    earlier = earlier_run(output)
    if earlier is None or earlier.state != "finished" or earlier.parameters != request.parameters:
        with busy(beside), contextlib.redirect_stdout(sys.stderr):
            if run_experiment(request) == INTERRUPTED:
                raise SystemExit(INTERRUPTED)
    return read_summary(output)


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


def table(judged: dict[str, dict[str, Any]]) -> str:
    heads = "experiments", "mean ± standard error", "held", "its error decides", "share, 95 %", "chance of as few"
    lines = [f"| | {' | '.join(heads)} |", f"|---|{'---:|' * len(heads)}"]
    for quantity in QUANTITIES:
        row = judged[quantity.name]
        cells = [str(row["experiments"])] + ["–"] * 5
        if "mean" in row:
            error = f"{100 * row['standard_error']:.2f}{' %' if quantity.ratio else ''}"
            share = f"{100 * row['low']:.0f} to {100 * row['high']:.0f} %"
            cells[1:3] = f"{quantity.text(row['mean'])} ± {error}", f"{row['held']} of {row['experiments']}"
            cells[3:] = str(row["undecided"]), share, f"{100 * row['chance']:.0f} %"
        lines.append(f"| {quantity.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def overlap(first: Numbers, second: Numbers) -> bool:
    return first[1] <= second[2] and second[1] <= first[2]


def finite(value: Any) -> Any:
    """Return what JSON can carry: null for an end that is open and what was not estimated."""
    if isinstance(value, dict):
        return {name: finite(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [finite(each) for each in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what has not been run, print the tables and write demonstrations.json."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.demonstrations", description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=20, help="experiments in all")
    parser.add_argument("--output", type=Path, required=True, help="folder of the experiments and of the results")
    parser.add_argument("--disturb", type=int, default=0, metavar="N", help="the first again beside N busy processes")
    chosen = parser.parse_args(arguments)
    summaries = [experiment(number, chosen.output / f"seed-{number:02}") for number in range(chosen.count)]
    each = {quantity.name: [quantity.numbers(summary) for summary in summaries] for quantity in QUANTITIES}
    results: dict[str, Any] = {"sound": [summary.sound for summary in summaries], "estimate, low, high": each}
    results["judged"] = {name: judge(numbers) for name, numbers in each.items()}
    print(table(results["judged"]))
    if chosen.disturb:
        again = experiment(0, chosen.output / f"seed-00-beside-{chosen.disturb}", chosen.disturb)
        print(
            f"\n| the first experiment | idle | beside {chosen.disturb} busy processes | overlap |\n|---|---|---|---|"
        )
        for quantity in QUANTITIES[2:]:
            pair = quantity.numbers(summaries[0]), quantity.numbers(again)
            texts = [f"{quantity.text(a)} ({quantity.text(low)} to {quantity.text(high)})" for a, low, high in pair]
            print(f"| {quantity.name} | {' | '.join(texts)} | {'yes' if overlap(*pair) else '**no**'} |")
            results[f"{quantity.name}, beside {chosen.disturb}"] = pair
    write_json(chosen.output / "demonstrations.json", finite(results))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
