"""How often each interval that is called 95 % holds the true value: simulated with the code that makes the report.

`python -m benchmarks.coverage` runs 2,000 simulated experiments per cell, which takes about ten minutes on one core,
and replaces the tables between the markers in docs/statistics.md; `--quick` runs a tenth and only prints.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy import special

from benchmarks.results import DOCUMENTS, write_between
from headstart.components.design import plan
from headstart.components.reporting import statistics
from headstart.components.reporting.break_even import break_even
from headstart.components.reporting.sampling import Bits, Floats, Sample
from headstart.components.reporting.summary import Interval
from headstart.components.reporting.units import counted

REPLICATIONS = 2_000
RUNS = (3, 5, 10, 30)
PAGE = DOCUMENTS / "statistics.md"
BEGIN, END = "<!-- coverage: begin -->", "<!-- coverage: end -->"
# Draws from which the true value of a law is taken where there is no formula.
MANY = 4_000_000
BETWEEN = 0.93, 0.98

Generator = np.random.Generator
Law = Callable[[Generator, tuple[int, ...]], Floats]


def scaled(law: Law) -> tuple[Law, Law]:
    """An arm of a law, and one that takes an eighth of the time."""
    return law, lambda rng, shape: law(rng, shape) / 8


def epochs(mean: float, spread: float, seconds: float, most: int = 10**6) -> Law:
    """Whole epochs, stopped at `most`, of the same seconds each but for 2 %."""

    def draw(rng: Generator, shape: tuple[int, ...]) -> Floats:
        count = np.clip(np.round(rng.normal(mean, spread, shape)), 1, most)
        return count * seconds * (1 + 0.02 * rng.standard_normal(shape))

    return draw


def capped(rng: Generator, shape: tuple[int, ...]) -> Floats:
    """Seven runs of ten end at the maximum of 25 epochs, which all take the same time."""
    return np.clip(np.round(rng.normal(27.5, 5, shape)), 8, 25) * 1.5


def bimodal(rng: Generator, shape: tuple[int, ...]) -> Floats:
    """Three runs of ten stop early, at about half the epochs."""
    return rng.normal(1, 0.08, shape).clip(0.5) * np.where(rng.random(shape) < 0.3, 14.0, 28.0)


def contaminated(rng: Generator, shape: tuple[int, ...]) -> Floats:
    """Normal with 10 %, but one run of twenty takes three times as long."""
    return rng.normal(1, 0.1, shape).clip(0.3) * np.where(rng.random(shape) < 0.05, 3.0, 1.0)


TIMES: dict[str, tuple[Law, Law]] = {
    "normal, 10 %": scaled(lambda rng, shape: rng.normal(1, 0.1, shape).clip(0.3)),
    "lognormal, 0.3": scaled(lambda rng, shape: rng.lognormal(0, 0.3, shape)),
    "whole epochs": (epochs(26, 5, 1.5), epochs(22, 4.5, 0.2)),
    "epochs, most at the maximum": (capped, epochs(22, 4.5, 0.2)),
    "stops early or late": scaled(bimodal),
    "lognormal, 0.8": scaled(lambda rng, shape: rng.lognormal(0, 0.8, shape)),
    "contaminated": scaled(contaminated),
    "Pareto, 2.5": scaled(lambda rng, shape: 1 + rng.pareto(2.5, shape)),
}

ACCURACIES: dict[str, tuple[Law, Law]] = {
    "normal, 0.9 and 0.4 points": (
        lambda rng, shape: rng.normal(0.92, 0.009, shape),
        lambda rng, shape: rng.normal(0.97, 0.004, shape),
    ),
    "skewed": (
        lambda rng, shape: 1 - 0.08 * rng.lognormal(0, 0.3, shape),
        lambda rng, shape: 1 - 0.03 * rng.lognormal(0, 0.3, shape),
    ),
    "counts of 100 images": (
        lambda rng, shape: rng.binomial(100, rng.normal(0.92, 0.01, shape).clip(0, 1)) / 100,
        lambda rng, shape: rng.binomial(100, rng.normal(0.97, 0.005, shape).clip(0, 1)) / 100,
    ),
    "one run of ten collapses": (
        lambda rng, shape: rng.normal(0.92, 0.009, shape) - np.where(rng.random(shape) < 0.1, 0.3, 0.0),
        lambda rng, shape: rng.normal(0.97, 0.004, shape),
    ),
}


@dataclass
class Cell:
    """One cell of a table: how often the interval held the truth, how often there was none."""

    held: int = 0
    given: int = 0
    asked: int = 0

    def add(self, found: Interval, truth: float) -> None:
        """Count one simulated experiment."""
        self.asked += 1
        if found.method == "none":
            return
        self.given += 1
        low = -math.inf if found.low is None else found.low
        high = math.inf if found.high is None else found.high
        self.held += low <= truth <= high

    @property
    def share(self) -> float:
        """Coverage of the intervals that were given."""
        return self.held / self.given if self.given else math.nan

    def text(self) -> str:
        """`95.1`, bold outside of what is aimed for, with the share of experiments without an interval."""
        if not self.given:
            return "–"
        shown = f"{100 * self.share:.1f}"
        if not BETWEEN[0] <= self.share <= BETWEEN[1]:
            shown = f"**{shown}**"
        missing = 1 - self.given / self.asked
        return f"{shown} ({100 * missing:.0f} % none)" if missing >= 0.005 else shown


@dataclass
class Block:
    """A table: rows by name, each with one cell per column."""

    title: str
    first: str
    columns: Sequence[str]
    rows: dict[str, list[Cell]] = field(default_factory=dict)

    def markdown(self) -> str:
        """The table in GitHub's form."""
        lines = [f"**{self.title}**", "", f"| {self.first} | {' | '.join(self.columns)} |"]
        lines.append(f"|---|{'---:|' * len(self.columns)}")
        lines += [f"| {name} | {' | '.join(cell.text() for cell in cells)} |" for name, cells in self.rows.items()]
        return "\n".join(lines) + "\n"


def truths(laws: tuple[Law, Law]) -> dict[str, float]:
    """What each kind of ratio, and the difference, of two laws truly is."""
    rng = np.random.default_rng(1)
    a, b = (law(rng, (MANY,)) for law in laws)
    logs = np.log(a).mean() - np.log(b).mean()
    return {
        "pairs": float(np.median(a / b)),
        "geometric mean": float(np.exp(logs)),
        "mean": float(a.mean() / b.mean()),
        "difference": float(b.mean() - a.mean()),
    }


def times(count: int) -> list[Block]:
    """Time ratio, ratio of means and break-even over the laws of a training time."""
    columns = [f"n = {n}" for n in RUNS]
    blocks = [
        Block("Training time, `speedup.train`", "law of the times", columns),
        Block("Ratio of mean times, `speedup.train_of_means`", "law of the times", columns),
        Block("Break-even", "law of the times", columns),
    ]
    for name, laws in TIMES.items():
        truth = truths(laws)
        preparation = -4.3 * truth["difference"]
        rows = [block.rows.setdefault(name, []) for block in blocks]
        for n in RUNS:
            rng = np.random.default_rng([7, len(blocks[0].rows), n])
            cells = [Cell() for _ in blocks]
            for a, b in zip(laws[0](rng, (count, n)), laws[1](rng, (count, n)), strict=True):
                control, treatment = Sample(a), Sample(b)
                found = statistics.time_ratio(control, treatment)
                cells[0].add(found, truth[found.of])
                cells[1].add(statistics.mean_ratio(control, treatment), truth["mean"])
                pays = break_even([preparation], "", control, treatment)
                cells[2].add(Interval(low=pays.low, high=pays.high, method=pays.method), 4.3)
            for row, cell in zip(rows, cells, strict=True):
                row.append(cell)
    return blocks


def gains(count: int) -> list[Block]:
    """Gain in accuracy over seeds on the same test images."""
    block = Block("Gain in accuracy on these test images", "law of the accuracies", [f"n = {n}" for n in RUNS])
    for name, laws in ACCURACIES.items():
        truth = truths(laws)["difference"]
        row = block.rows.setdefault(name, [])
        for n in RUNS:
            rng, cell = np.random.default_rng([8, len(block.rows), n]), Cell()
            for a, b in zip(laws[0](rng, (count, n)), laws[1](rng, (count, n)), strict=True):
                cell.add(statistics.difference(Sample(a), Sample(b)), truth)
            row.append(cell)
    return [block]


# Levels (control, treatment), and spreads of runs, of images that both arms find hard, and of what only one does.
_LEVELS, _RUN, _HARD, _ARM = (1.9, 2.6), 0.12, 0.9, 0.6


def answers(rng: Generator, n: int, lengths: Sequence[int]) -> tuple[Bits, Bits]:
    """Right and wrong answers of both arms (control, treatment): a probit model of runs crossed with images.

    The images of one film share their difficulty; `lengths` are those of the films, 1 each where there are none.
    """
    hard = np.repeat(rng.standard_normal(len(lengths)), lengths) * _HARD
    made = []
    for level in _LEVELS:
        own = np.repeat(rng.standard_normal(len(lengths)), lengths) * _ARM
        skill = level + _RUN * rng.standard_normal((n, 1)) - hard - own
        made.append(rng.random((n, len(hard)), dtype=np.float32) < special.ndtr(skill.astype(np.float32)))
    return made[0], made[1]


def uneven(rng: Generator) -> list[int]:
    """Lengths of 40 films: most of a few images, some of up to two hundred."""
    return [int(length) for length in np.clip(3 * rng.pareto(1.0, 40), 1, 200)]


# Lengths of the films, or a function that draws them for each experiment.
TEST_SETS: dict[str, list[int] | Callable[[Generator], list[int]]] = {
    "100": [1] * 100,
    "450": [1] * 450,
    "3,660": [1] * 3660,
    "450 in films of 10": [10] * 45,
    "3,660 in films of 60": [60] * 61,
    "1,830 in films of 1 to 60": list(range(1, 61)),
    "400 in films of 50": [50] * 8,
    "604, half of them in one film, 16 in each other": [300] + [16] * 19,
    "40 films of 1 to 200": uneven,
}


def new_images(count: int) -> list[Block]:
    """Gain in accuracy on test images to come."""
    spread = math.sqrt(1 + _RUN**2 + _HARD**2 + _ARM**2)
    control, treatment = (float(special.ndtr(level / spread)) for level in _LEVELS)
    block = Block("Gain in accuracy on new test images", "test images", [f"n = {n}" for n in RUNS])
    for name, given in TEST_SETS.items():
        row = block.rows.setdefault(name, [])
        for n in RUNS:
            rng, cell = np.random.default_rng([9, len(block.rows), n]), Cell()
            for _ in range(count):
                lengths = given(rng) if callable(given) else given
                films = np.repeat(np.arange(len(lengths)), lengths).tolist() if max(lengths) > 1 else None
                cell.add(statistics.gain_on_new_images(*answers(rng, n, lengths), films), treatment - control)
            row.append(cell)
    return [block]


@dataclass(frozen=True)
class Design:
    """Runs of each arm, spread over preparations and draws by the very plan that an experiment follows."""

    preparations: int
    draws: int
    runs: int
    used: str = ""
    left: tuple[int, ...] = ()
    """Runs of each preparation, on one draw, where others failed."""

    @property
    def name(self) -> str:
        """`3 preparations × 3 draws, 10 runs`, and where it is used."""
        if self.left:
            return f"{counted(self.preparations, 'preparation')} with {' and '.join(map(str, self.left))} runs left"
        parts = f"{counted(self.preparations, 'preparation')} × {counted(self.draws, 'draw')}"
        return f"{parts}, {counted(self.runs, 'run')}{f' ({self.used})' if self.used else ''}"

    def labels(self) -> tuple[list[int], list[int]]:
        """Preparation and draw of each run."""
        if self.left:
            return [number for number, count in enumerate(self.left) for _ in range(count)], [0] * self.runs
        seeds = range(1, self.runs + 1)
        cells = plan({"seeds": seeds, "preparations": self.preparations, "draws": self.draws}).cells
        return [cell.preparation for cell in cells], [cell.draw for cell in cells]


def lost(*left: int) -> Design:
    """A design on one draw, some of whose runs failed: `left` are those of each preparation that succeeded."""
    return Design(len(left), 1, sum(left), left=left)


DESIGNS = (
    Design(2, 1, 6),
    Design(3, 1, 3),
    Design(3, 1, 9),
    Design(1, 3, 6, "`curve`"),
    Design(1, 3, 9),
    Design(2, 2, 4),
    Design(2, 2, 8),
    Design(2, 3, 10, "`demo`"),
    Design(3, 3, 3),
    Design(3, 3, 5),
    Design(3, 3, 6),
    Design(3, 3, 9),
    Design(3, 3, 10, "`fast`"),
    Design(3, 3, 27),
    Design(3, 4, 10),
    Design(3, 9, 9),
    Design(5, 3, 6),
    Design(5, 5, 10),
    Design(5, 10, 10),
    lost(9, 1),
    lost(6, 3, 1),
)
# Standard deviation of preparations, of draws in both arms alike and in the treatment alone, and of runs.
SPREADS = {
    "all alike": (1.0, 1.0, 0.5, 1.0),
    "preparations": (3.0, 0.3, 0.3, 1.0),
    "draws": (0.3, 2.0, 2.0, 1.0),
    "seeds": (0.1, 0.1, 0.1, 1.0),
}


def designs(count: int) -> list[Block]:
    """Difference over several preparations and draws, which holds for accuracies and for logarithms of times."""
    block = Block("Several preparations and draws", "design, runs per arm", [f"most from {name}" for name in SPREADS])
    block.columns = ["all alike", *block.columns[1:]]
    for design in DESIGNS:
        row = block.rows.setdefault(design.name, [])
        preparations, draws = design.labels()
        for spreads in SPREADS.values():
            of_preparation, of_draw, of_both, of_run = spreads
            rng, cell = np.random.default_rng([11, len(block.rows), len(row)]), Cell()
            for _ in range(count):
                draw = of_draw * rng.standard_normal(max(draws) + 1)
                mine = of_both * rng.standard_normal(max(draws) + 1)
                chain = of_preparation * rng.standard_normal(max(preparations) + 1)
                # With one level its effect is part of the truth: the interval does not claim to hold over it.
                given = chain[0] * (max(preparations) == 0) + mine[0] * (max(draws) == 0)
                a = draw[draws] + of_run * rng.standard_normal(design.runs)
                b = draw[draws] + mine[draws] + chain[preparations] + of_run * rng.standard_normal(design.runs)
                control, treatment = Sample(a, (), draws), Sample(b, preparations, draws)
                cell.add(statistics.difference(control, treatment), float(given))
            row.append(cell)
    return [block]


BLOCKS: dict[str, Callable[[int], list[Block]]] = {
    "times": times,
    "gains": gains,
    "images": new_images,
    "designs": designs,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate, print, and unless `--quick` or `--only` write the tables into the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.coverage", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the replications, and nothing is written")
    parser.add_argument("--only", choices=BLOCKS, help="one group of tables, and nothing is written")
    chosen = parser.parse_args(arguments)
    count = REPLICATIONS // 10 if chosen.quick else REPLICATIONS
    parts = []
    for name, simulate in BLOCKS.items():
        if chosen.only not in (None, name):
            continue
        begun = time.monotonic()
        for block in simulate(count):
            parts.append(block.markdown())
            print(parts[-1], flush=True)
        print(f"({name}: {time.monotonic() - begun:.0f} s)\n", flush=True)
    if not chosen.quick and not chosen.only:
        write_between(PAGE, BEGIN, END, "\n".join(parts))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
