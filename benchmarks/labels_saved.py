"""How often the interval of the labels that transfer saves holds the truth, in simulated learning curves.

`python -m benchmarks.labels_saved` simulates 1,000 experiments per row, which takes twenty minutes on one core, and
replaces the table between the markers in docs/statistics.md; `--quick` simulates 20 and only prints.

An experiment is six sizes, from 1/32 to all of 1,200 images, runs of both arms at each, and test images. Whether an
image is answered correctly follows a probit model: the level of the arm at that size, less the difficulty of the image,
which both arms share, and of the image for this arm, with what draws, preparations and runs add. So the true curves are
known. Runs are spread over preparations and draws by the plan that every experiment follows (`coverage.Design`), and
the interval is made by the code that makes the report.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, special

from benchmarks.coverage import PAGE, Design
from benchmarks.results import write_between
from headstart.components.reporting.curve import Curve, equal_size
from headstart.components.reporting.sampling import Floats

REPLICATIONS = 1_000
BEGIN, END = "<!-- labels saved: begin -->", "<!-- labels saved: end -->"
SIZES = 1200 / 2.0 ** np.arange(5, -1, -1)
IMAGES = 600
# Spreads on the probit scale: of a draw at all sizes, of a draw at one size, of a preparation (transfer alone), of a
# run, of an image for both arms and for one.
DRAW, DRAW_AT_SIZE, PREPARATION, RUN, HARD, OWN = 0.06, 0.05, 0.04, 0.06, 0.9, 0.6
AIM = 0.93
CURVE = Design(1, 3, 6, "`curve`")

Law = Callable[[Floats], Floats]


def power(floor: float, first: float, exponent: float) -> Law:
    """Accuracy 1 − floor − (first − floor) · (n / smallest)^−exponent."""
    return lambda sizes: 1 - floor - (first - floor) * (sizes / SIZES[0]) ** -exponent


def dips(sizes: Floats) -> Floats:
    """A curve that falls between the third and the fourth size, by two points."""
    steps = np.log2(sizes / SIZES[0])
    found: Floats = np.interp(steps, [0, 1, 2, 3, 4, 5], [0.50, 0.62, 0.76, 0.74, 0.85, 0.91])
    return found


@dataclass(frozen=True)
class Case:
    """True curves of both arms, and the sizes of the treatment that are asked for, by their number."""

    name: str
    control: Law
    treatment: Law
    asked: tuple[int, ...]
    design: Design = CURVE
    preparation: float = PREPARATION

    def truth(self, index: int) -> float:
        """The size at which the control is as accurate as the treatment at its size number `index`; infinite: none."""
        target = float(self.treatment(SIZES[[index]])[0])

        def missing(log: float) -> float:
            return float(self.control(np.array([math.exp(log)]))[0]) - target

        ends = math.log(SIZES[0]), math.log(SIZES[-1])
        if missing(ends[0]) > 0:
            return -math.inf
        if missing(ends[1]) < 0:
            return math.inf
        return math.exp(optimize.brentq(missing, *ends))


STEADY, AHEAD = power(0.02, 0.5, 0.5), power(0.01, 0.2, 0.6)
CASES = (
    *(
        Case("the control rises steadily, transfer is ahead", STEADY, AHEAD, (0, 1), design)
        for design in (
            CURVE,
            Design(1, 6, 6),
            Design(1, 2, 4),
            Design(2, 3, 10, "`demo`"),
            Design(3, 3, 6),
            Design(3, 3, 9),
            Design(3, 3, 10, "`fast`"),
            Design(5, 3, 6),
        )
    ),
    *(
        Case("the same, preparations differ five times as much", STEADY, AHEAD, (0, 1), design, 5 * PREPARATION)
        for design in (Design(2, 3, 10, "`demo`"), Design(3, 3, 6), Design(3, 3, 10, "`fast`"), Design(5, 3, 6))
    ),
    Case("transfer falls behind with more images", power(0.02, 0.5, 0.7), power(0.1, 0.3, 0.6), (1, 5)),
    Case("the control levels off", power(0.09, 0.4, 1.2), power(0.05, 0.25, 0.5), (0, 1)),
    Case("more than there are", power(0.02, 0.5, 0.4), power(0.01, 0.1, 0.5), (4,)),
    Case("the control falls in between", dips, power(0.05, 0.35, 0.5), (0, 1)),
    Case("the control falls in between", dips, power(0.05, 0.35, 0.5), (0, 1), Design(3, 3, 10, "`fast`")),
)


def simulate(rng: np.random.Generator, case: Case) -> tuple[Curve, Curve]:
    """One experiment: the runs of the control and of the treatment."""
    hard = HARD * rng.standard_normal(IMAGES)
    preparations, draws = map(np.array, case.design.labels())
    shared = DRAW * rng.standard_normal(draws.max() + 1)
    spread = math.sqrt(1 + HARD**2 + OWN**2 + DRAW**2 + DRAW_AT_SIZE**2 + RUN**2)
    curves = []
    for law in (case.control, case.treatment):
        prepared = law is case.treatment and case.design.preparations > 1
        own = math.sqrt(spread**2 + case.preparation**2) if prepared else spread
        level = own * special.ndtri(law(SIZES))
        skill = level + (shared[draws, None] + DRAW_AT_SIZE * rng.standard_normal((len(shared), SIZES.size))[draws])
        skill = skill + RUN * rng.standard_normal(skill.shape)
        if prepared:
            skill = skill + case.preparation * rng.standard_normal(preparations.max() + 1)[preparations, None]
        images = hard + OWN * rng.standard_normal(IMAGES)
        right = rng.random((*skill.shape, IMAGES)) < special.ndtr(skill[..., None] - images)
        labels = preparations.tolist() if prepared else []
        curves.append(Curve(SIZES, right.mean(axis=2), labels, draws.tolist(), right))
    return curves[0], curves[1]


def table(count: int) -> str:
    """Simulate `count` experiments per case and return the table in GitHub's form."""
    lines = [
        "| curves | design, runs per arm and size | size | control needs | held | no upper end | median width |",
        "|---|---|---:|---:|---:|---:|---:|",
    ]
    for place, case in enumerate(CASES):
        held = dict.fromkeys(case.asked, 0)
        open_ends = dict.fromkeys(case.asked, 0)
        widths: dict[int, list[float]] = {index: [] for index in case.asked}
        rng = np.random.default_rng([18, place])
        for _ in range(count):
            control, treatment = simulate(rng, case)
            for index in case.asked:
                found = equal_size(control, treatment, index)
                low = -math.inf if found.low is None else found.low
                high = math.inf if found.high is None else found.high
                held[index] += low <= case.truth(index) <= high
                open_ends[index] += math.isinf(high)
                widths[index].append(high / max(low, SIZES[0]))
        for index in case.asked:
            share, truth = held[index] / count, case.truth(index)
            cells = [
                case.name,
                case.design.name,
                f"{SIZES[index]:,.0f}",
                f"{truth:,.0f}" if math.isfinite(truth) else "more than 1,200",
                f"{100 * share:.1f}" if share >= AIM else f"**{100 * share:.1f}**",
                f"{100 * open_ends[index] / count:.0f} %",
                f"× {np.median(widths[index]):.2f}" if np.isfinite(np.median(widths[index])) else "–",
            ]
            lines.append(f"| {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    return "\n".join(lines) + "\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Simulate, print, and unless `--quick` write the table into the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.labels_saved", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="20 experiments per row, and nothing is written")
    chosen = parser.parse_args(arguments)
    begun = time.monotonic()
    found = table(REPLICATIONS // 50 if chosen.quick else REPLICATIONS)
    print(f"({time.monotonic() - begun:.0f} s)")
    if not chosen.quick:
        write_between(PAGE, BEGIN, END, f"\n{found}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
