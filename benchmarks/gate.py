"""How often the promotion gate is wrong: simulated with the code that decides.

`python -m benchmarks.gate` simulates 400 retrainings per cell, 1,000 where a claim of the project hangs on it, which
takes about fifteen minutes on one core, and replaces the tables between the markers in docs/retraining.md; `--quick`
runs a tenth and only prints.

Two worlds give the models their answers. In both, every model answers each image with a margin m: right where m > 0,
with probability 1 / (1 + exp(−m)) for the true class.

* *few images*: all models agree on every image but those on which one of them answers otherwise, with a margin near 0.
  A better candidate answers some of the images rightly that the model in use gets wrong; on all others it is no better.
  This is the least that a gain can show itself.
* *all images*: a model's margin is the image's own plus the model's noise; a better candidate's margin is larger on
  every image. How much noise and how much larger follow from the wanted shares of disagreement and gain.

A third makes the evidence's work hard: *heavy tails*, few images with margins of Student's t with 1.5 degrees of
freedom, so that single images have losses many times those of the others. And in all of them images may be frames of
films, of which a model errs in all frames or in none.

The candidate has three seeds, of which one, whichever, is the best by validation.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, ndtr
from scipy.stats import binomtest

from benchmarks.results import DOCUMENTS, write_between
from headstart.components.promotion.evidence import differences, judge, log_losses
from headstart.components.promotion.gate import Rules, decide

TRIALS = 400
HEADLINE_TRIALS = 1_000
SEEDS = 3
NIGHTS = 50
CLASSES = ["one", "two", "three"]
ACCURACY = 0.93
PAGE = DOCUMENTS / "retraining.md"
BEGIN, END = "<!-- gate: begin -->", "<!-- gate: end -->"
NULL_IMAGES = (30, 90, 300, 900, 3_660)
DISAGREEMENTS = (0.01, 0.03, 0.06)
# Test images, gain in accuracy, share of images answered differently.
BETTER = (
    (300, 0.02, 0.04),
    (300, 0.04, 0.08),
    (900, 0.02, 0.03),
    (900, 0.02, 0.06),
    (900, 0.03, 0.06),
    (3_660, 0.01, 0.03),
)

Generator = np.random.Generator
Margins = npt.NDArray[np.float64]


@dataclass(frozen=True)
class World:
    """Test images, and models that answer them; `gain` and `apart` are shares of images."""

    images: int
    gain: float
    apart: float
    draw: Callable[[Generator, World], Callable[[bool], Margins]]
    film: int = 1
    """Images of each film."""

    def models(self, rng: Generator) -> Callable[[bool], Margins]:
        """Draw test images; the result draws a model's margins (N) on them, a better one's for True."""
        return self.draw(rng, self)


def few_images(rng: Generator, world: World, heavy: bool = False) -> Callable[[bool], Margins]:
    """Margins of models that agree but on few images."""
    base = np.where(rng.random(world.images) < ACCURACY - world.gain / 2, 1.0, -1.0)
    size = np.abs(rng.normal(3, 1.5, world.images)) + 0.2
    # A better candidate answers gain / (share that is wrong) of the wrong images rightly, whichever its seed.
    solved = (base < 0) & (rng.random(world.images) < world.gain / (1 - ACCURACY + world.gain / 2))
    own = 1 - np.sqrt(1 - 2 * max(0.0, (world.apart - world.gain)))  # 2·f·(1 − f) = share apart by chance, f = own / 2

    def answers(better: bool) -> Margins:
        margins = base * size + (rng.standard_t(1.5, world.images) if heavy else rng.normal(0, 0.4, world.images))
        margins = np.where(base > 0, np.maximum(margins, 0.01), np.minimum(margins, -0.01))
        if better:
            margins = np.where(solved, rng.exponential(1.0, world.images) + 0.01, margins)
        flipped = np.repeat(rng.random(math.ceil(world.images / world.film)) < own / 2, world.film)[: world.images]
        size_of_error = np.abs(rng.standard_t(1.5, world.images)) if heavy else rng.exponential(1.0, world.images)
        return np.where(flipped, -np.sign(margins) * (size_of_error + 0.01), margins)

    return answers


def heavy_tails(rng: Generator, world: World) -> Callable[[bool], Margins]:
    """As `few_images`, where single images have margins many times those of the others."""
    return few_images(rng, world, heavy=True)


@lru_cache(maxsize=64)
def noise_and_shift(gain: float, apart: float) -> tuple[float, float]:
    """Return the noise of a model's margins and how much larger a better one's are, for margins of N(mean, 2)."""
    mean = 2 * 1.4758  # Φ(1.4758) = 0.93
    nodes, weights = np.polynomial.hermite_e.hermegauss(200)
    weights = weights / weights.sum()
    margins = mean + 2 * nodes

    def shares(noise: float, shift: float) -> tuple[float, float]:
        old, new = ndtr(margins / noise), ndtr((margins + shift) / noise)
        return float(weights @ (new - old)), float(weights @ (old * (1 - new) + new * (1 - old)))

    noise, shift = 0.2, 0.0
    for _ in range(60):
        low, high = 0.0, 10.0
        for _ in range(40):
            shift = (low + high) / 2
            low, high = (shift, high) if shares(noise, shift)[0] < gain else (low, shift)
        noise *= (apart / max(shares(noise, shift)[1], 1e-6)) ** 0.5
    return noise, shift


def all_images(rng: Generator, world: World) -> Callable[[bool], Margins]:
    """Margins of models of which a better one is better on every image."""
    noise, shift = noise_and_shift(world.gain, world.apart)
    own = rng.normal(2 * 1.4758, 2, world.images)
    return lambda better: own + rng.normal(0, noise, world.images) + (shift if better else 0.0)


def retraining(
    world: World, current: Margins, candidates: list[Margins], uses: int, rules: Rules, films: bool = True
) -> str:
    """Return how one retraining ends: `refused` by the margin, `unproven`, or `promoted`; the films known or not."""
    truth = np.arange(world.images) % len(CLASSES)
    answered = [np.where(one > 0, truth, (truth + 1) % len(CLASSES)) for one in (candidates[0], current)]
    if not decide(rules, CLASSES, truth, answered[0], answered[1], CLASSES).promote:
        return "refused"
    losses = [_losses(one) for one in (*candidates, current)]
    found = differences(
        np.stack([one > 0 for one in candidates]),
        current > 0,
        np.stack(losses[:-1]),
        losses[-1],
        np.arange(world.images) // (world.film if films else 1),
    )
    evidence = judge(found, None, rules.confidence, uses, rules.test_uses)
    return "promoted" if evidence.proven else "unproven"


def _losses(margins: Margins) -> Any:
    right = expit(margins)
    return log_losses(np.stack([right, 1 - right], axis=1), np.zeros(len(margins), np.int64))


def share_promoted(
    world: World, trials: int, seed: int, better: bool, scale: float = 1.0, alike: bool = False
) -> dict[str, float]:
    """Return the shares promoted by the rules alone, with the evidence, and with a sign test at 0.05 instead of it.

    `scale` multiplies the margins of the candidate: it words its answers more sharply, and gives the same ones.
    `alike`: all its seeds answer alike. `blind` in the result: with evidence that does not know the films.
    """
    rng, rules = np.random.default_rng(seed), Rules()
    counts = {"rules": 0, "evidence": 0, "sign": 0, "blind": 0}
    for _ in range(trials):
        draw = world.models(rng)
        current, candidates = draw(False), [scale * draw(better) for _ in range(1 if alike else SEEDS)]
        candidates *= SEEDS // len(candidates)
        ended = retraining(world, current, candidates, 1, rules)
        if world.film > 1:
            counts["blind"] += retraining(world, current, candidates, 1, rules, films=False) == "promoted"
        counts["rules"] += ended != "refused"
        counts["evidence"] += ended == "promoted"
        if ended != "refused":
            wins = int(np.sum((candidates[0] > 0) & (current <= 0)))
            losses = int(np.sum((candidates[0] <= 0) & (current > 0)))
            counts["sign"] += binomtest(wins, wins + losses, alternative="greater").pvalue <= 0.05
    return {name: count / trials for name, count in counts.items()}


def nights(world: World, trials: int, seed: int) -> dict[str, float]:
    """Return how often 50 retrainings that are no better, on one test set, promote at least one."""
    rng, rules = np.random.default_rng(seed), Rules()
    wrong = {"rules": 0, "evidence": 0}
    for _ in range(trials):
        draw = world.models(rng)
        current = draw(False)
        ends = [
            retraining(world, current, [draw(False) for _ in range(SEEDS)], night + 1, rules) for night in range(NIGHTS)
        ]
        wrong["rules"] += any(end != "refused" for end in ends)
        wrong["evidence"] += "promoted" in ends
    return {name: count / trials for name, count in wrong.items()}


def percent(share: float) -> str:
    """Return a share as a table shows it."""
    return f"{100 * share:.1f} %"


WORLDS = {"few images": few_images, "all images": all_images}


def null_table(trials: int) -> list[str]:
    """Return how often a candidate that is no better is promoted."""
    lines = [
        f"No better than the model in use, {trials} retrainings per cell; promoted by the rules alone → with evidence:",
        "",
        "| test images | gain would show on | answered differently: 1 % | 3 % | 6 % |",
        "|---:|---|---:|---:|---:|",
    ]
    for images in NULL_IMAGES:
        for name, draw in WORLDS.items():
            cells = []
            for apart in DISAGREEMENTS:
                shares = share_promoted(World(images, 0.0, apart, draw), trials, images, better=False)
                cells.append(f"{percent(shares['rules'])} → {percent(shares['evidence'])}")
            lines.append(f"| {images:,} | {name} | {' | '.join(cells)} |")
    sharper = [
        percent(share_promoted(World(900, 0.0, 0.03, draw), trials, 1, better=False, scale=2.0)["evidence"])
        for draw in WORLDS.values()
    ]
    return [
        *lines,
        "",
        "The same with 900 test images and 3 % answered differently, where the candidate only words its answers twice "
        f"as sharply: {sharper[0]} and {sharper[1]}.",
    ]


def hard_table(trials: int) -> list[str]:
    """Return the same where what the evidence assumes holds least."""
    lines = [
        f"No better, {trials:,} retrainings per row, where what the evidence assumes holds least; promoted:",
        "",
        "| test images | answered differently | | rules alone | with the evidence |",
        "|---:|---:|---|---:|---:|",
    ]
    for images, apart in ((300, 0.03), (300, 0.06), (900, 0.03)):
        for title, draw, alike in (
            ("few images", few_images, False),
            ("all images", all_images, False),
            ("heavy-tailed log-loss", heavy_tails, False),
            ("heavy-tailed log-loss, all seeds answer alike", heavy_tails, True),
        ):
            found = share_promoted(World(images, 0.0, apart, draw), trials, images + 1, better=False, alike=alike)
            lines.append(
                f"| {images} | {percent(apart)} | {title} | {percent(found['rules'])} | {percent(found['evidence'])} |"
            )
    lines += [
        "",
        f"No better, test images in films of 10 of which a model errs in all frames or in none, {trials:,} retrainings "
        "per row; promoted:",
        "",
        "| test images | films | answered differently | rules alone | evidence that ignores the films | with the "
        "evidence |",
        "|---:|---:|---:|---:|---:|---:|",
    ]
    for images in (300, 900):
        found = share_promoted(World(images, 0.0, 0.06, few_images, 10), trials, images + 2, better=False)
        lines.append(
            f"| {images} | {images // 10} | 6.0 % | {percent(found['rules'])} | {percent(found['blind'])} | "
            f"{percent(found['evidence'])} |"
        )
    return lines


def nights_table(trials: int) -> list[str]:
    """Return how often 50 retrainings that are no better promote anything."""
    lines = [
        f"{NIGHTS} nightly retrainings that are no better, all on the same test images ({trials} times "
        f"{NIGHTS}); at least one promoted:",
        "",
        "| test images | answered differently | rules alone | with the evidence |",
        "|---:|---:|---:|---:|",
    ]
    for images, apart in ((300, 0.03), (300, 0.06), (900, 0.03)):
        shares = nights(World(images, 0.0, apart, few_images), trials, images)
        lines.append(f"| {images} | {percent(apart)} | {percent(shares['rules'])} | {percent(shares['evidence'])} |")
    return lines


def power_table(trials: int) -> list[str]:
    """Return how often a better candidate is promoted."""
    lines = [
        f"Truly better, first comparison on its test images, {trials:,} retrainings per row; promoted:",
        "",
        "| test images | gain | answered differently | rules alone | sign test at 0.05 | evidence, gain on few images "
        "| evidence, gain on all images |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for images, gain, apart in BETTER:
        few, every = (
            share_promoted(World(images, gain, apart, draw), trials, images, better=True) for draw in WORLDS.values()
        )
        lines.append(
            f"| {images:,} | {100 * gain:+.0f} points | {percent(apart)} | {percent(few['rules'])} | "
            f"{percent(few['sign'])} | {percent(few['evidence'])} | {percent(every['evidence'])} |"
        )
    return lines


def tables(trials: int) -> str:
    """Simulate everything and return the tables as Markdown."""
    headline = trials * HEADLINE_TRIALS // TRIALS
    parts = [null_table(trials), hard_table(headline), nights_table(max(trials // 4, 1)), power_table(headline)]
    return "\n\n".join("\n".join(part) for part in parts) + "\n"


def main() -> None:
    """Simulate, print the tables, and put them into the documentation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a tenth of the trials; only print")
    quick = parser.parse_args().quick
    began = time.monotonic()
    text = tables(TRIALS // 10 if quick else TRIALS)
    print(text)
    print(f"{time.monotonic() - began:.0f} s")
    if not quick:
        write_between(PAGE, BEGIN, END, text)


if __name__ == "__main__":
    main()
