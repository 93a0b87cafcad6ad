"""How much the mean of an arm, or the difference of two, would vary if everything that was sampled were sampled again.

A run has a seed; it may also belong to one of several preparations (a chain of pretraining and fine-tuning) and one of
several draws of training images. Runs that share one of these are not independent. The variance is put together from
mean squares, as in a two-way analysis of variance with random effects:

* a source with G levels adds G/(G − 1) Σ_g (sum over the runs of level g of their share in the estimate)²;
* an arm without such a source adds s²/n, as in Welch's test;
* an arm with two crossed sources has its runs' own variance in both, so that it is taken off once.

Nothing is pooled because it looks small: with two or three levels such a look has no power, and the interval would be
too narrow just when the levels happen to agree. (Searle, Casella, McCulloch, Variance Components, 1992, chapter 4.)

For a sum of mean squares Satterthwaite's t (Biometrics Bulletin 2, 1946) makes intervals a little too narrow when
a source has few levels, Banerjee's (Sankhyā 23, 1961), Σ tᵢ² · partᵢ with each part's own t, a little too wide. Their
geometric mean is used. With two crossed sources Satterthwaite's is too wide; t is moved a third of the way, on a
logarithmic scale, towards that of all their degrees of freedom together. Both are what simulates best:
docs/statistics.md.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import special

Floats = NDArray[np.float64]
Bits = NDArray[np.bool_]

SEEDS, PREPARATIONS, DRAWS, TEST_IMAGES = "seeds", "preparations", "draws", "test_images"


@dataclass(frozen=True)
class Sample:
    """One quantity of the runs of an arm; labels say which runs share a preparation or a draw, empty: none is known."""

    values: Floats
    preparations: Sequence[Hashable] = ()
    draws: Sequence[Hashable] = ()

    @staticmethod
    def of(values: Sequence[float]) -> Sample:
        """Independent runs."""
        return Sample(np.asarray(values, dtype=np.float64))

    @property
    def sources(self) -> dict[str, list[Hashable]]:
        """Sources of variance beside the seed, with two levels or more; of two that are nested, the coarser one."""
        result = {
            name: list(labels)
            for name, labels in ((PREPARATIONS, self.preparations), (DRAWS, self.draws))
            if len(set(labels)) > 1
        }
        if len(result) == 2:
            preparations, draws = result[PREPARATIONS], result[DRAWS]
            cells = len(set(zip(preparations, draws, strict=True)))
            if cells == len(set(draws)):
                del result[DRAWS]
            elif cells == len(set(preparations)):
                del result[PREPARATIONS]
        return result

    def logarithms(self) -> Sample:
        """The same runs on a logarithmic scale; values must be positive."""
        return Sample(np.log(self.values), self.preparations, self.draws)


@dataclass(frozen=True)
class Error:
    """Sampling variance of an estimate with its degrees of freedom (Satterthwaite's).

    `parts`: the variance by source. `squares`: mean squares, each with its sign and degrees of freedom, where these
    are used too. `together`: the degrees of freedom of crossed sources; 0 where no two are crossed.
    `runs`: a part of the variance that has an interval of its own.
    """

    variance: float
    freedom: float
    parts: dict[str, float] = field(default_factory=dict)
    squares: tuple[tuple[float, float], ...] = ()
    together: float = 0.0
    runs: Error | None = None

    def multiplier(self, confidence: float) -> float:
        """How many standard errors an interval reaches to each side."""
        tail = (1 + confidence) / 2
        t2 = float(special.stdtrit(self.freedom, tail)) ** 2
        if self.together:
            t2 = t2 ** (2 / 3) * float(special.stdtrit(self.together, tail)) ** (2 / 3)
        if not self.squares or self.variance <= 0:
            return math.sqrt(t2)
        normal = float(special.ndtri(tail))
        wide = sum(
            part * (float(special.stdtrit(freedom, tail)) if part > 0 else normal) ** 2
            for part, freedom in self.squares
        )
        if self.runs is not None:
            wide += self.runs.variance * self.runs.multiplier(confidence) ** 2
        return math.sqrt(math.sqrt(t2 * max(t2, wide / self.variance)))

    @property
    def deviation(self) -> float:
        """Standard error."""
        return float(np.sqrt(self.variance))

    @property
    def shares(self) -> dict[str, float]:
        """Share of each source in the variance; the sum is 1. Empty without any variance."""
        known = {name: max(0.0, part) for name, part in self.parts.items()}
        total = sum(known.values())
        return {name: part / total for name, part in known.items()} if total > 0 else {}


def sampling_error(treatment: Sample, control: Sample | None = None) -> Error:
    """Error of mean(treatment), or of mean(treatment) − mean(control); each arm has two runs or more.

    A preparation or draw of the same label in both arms is the same one, so what it does to both cancels.
    """
    clusters: dict[str, dict[Hashable, float]] = {}
    # What must be in the variance whatever else is, what a second source counted twice, and their degrees of freedom.
    single: list[tuple[float, float]] = []
    twice: list[tuple[float, float]] = []
    own = 0.0
    inside = dict.fromkeys((PREPARATIONS, DRAWS), 0.0)
    for sign, arm in ((1.0, treatment), (-1.0, control)):
        if arm is None:
            continue
        n, sources = arm.values.size, arm.sources
        shares = sign * (arm.values - arm.values.mean()) / n
        for name, labels in sources.items():
            sums = clusters.setdefault(name, {})
            for label, share in zip(labels, shares.tolist(), strict=True):
                sums[label] = sums.get(label, 0.0) + share
        within, freedom = _within(shares, list(sources.values()))
        own += within
        for name in sources:
            inside[name] += within
        if len(sources) != 1:
            (twice if sources else single).append((within, freedom))
    between = {
        name: (sum(value**2 for value in sums.values()) * len(sums) / (len(sums) - 1), len(sums) - 1.0)
        for name, sums in clusters.items()
    }
    base = sum(part for part, _ in single)
    variance = base + sum(part for part, _ in between.values()) - sum(part for part, _ in twice)
    used, crossed = [*single, *between.values(), *twice], bool(twice)
    largest = max((part for part, _ in between.values()), default=0.0)
    if twice and variance <= (base + largest) * (1 + 1e-9):
        # The difference of mean squares can come out too small, even negative; the largest alone is a lower bound.
        # Of a tie, rounding must not decide: it would decide on the degrees of freedom.
        variance = base + largest
        used = [*single, max(between.values())]
    # Beyond the runs' own variance, which the mean square of a source holds too.
    parts = {name: part - inside[name] for name, (part, _) in between.items()}
    return Error(
        variance,
        _satterthwaite(variance, used),
        {**parts, SEEDS: own},
        tuple(used) if between and not crossed else (),
        sum(freedom for _, freedom in between.values()) if crossed else 0.0,
    )


def _within(shares: Floats, sources: Sequence[Sequence[Hashable]]) -> tuple[float, float]:
    """Variance of a mean that is due to the runs alone, after the levels' effects, and its degrees of freedom."""
    n = shares.size
    if not sources:
        return float((shares**2).sum()) * n / (n - 1), n - 1.0
    columns = [np.ones(n)]
    for labels in sources:
        codes = {label: code for code, label in enumerate(dict.fromkeys(labels))}
        coded = np.array([codes[label] for label in labels])
        columns += [(coded == code).astype(np.float64) for code in range(1, len(codes))]
    design = np.column_stack(columns)
    fitted, _, rank, _ = np.linalg.lstsq(design, shares, rcond=None)
    freedom = n - int(rank)
    if freedom < 1:
        return 0.0, 1.0
    return float(((shares - design @ fitted) ** 2).sum()) * n / freedom, float(freedom)


def _satterthwaite(variance: float, parts: Sequence[tuple[float, float]]) -> float:
    """Degrees of freedom of a sum of mean squares, each given with its own."""
    spread = sum(part**2 / freedom for part, freedom in parts)
    return variance**2 / spread if spread > 0 else float(sum(freedom for _, freedom in parts))


def error_with_images(
    treatment: Sample, control: Sample, right: tuple[Bits, Bits], films: Sequence[Hashable] | None = None
) -> Error:
    """Error of the gain in accuracy when the test images are a sample too.

    `right`: for the treatment and the control, runs × images, whether the answer was right; every run saw the same
    images. `films`: a label per image; images with the same label (frames of one film, views of one object) are
    sampled together. Runs and images are crossed: the variance over images is that of each image's difference between
    the arms, and what single answers add, which is in it and in the runs' variance alike, is taken off once (Owen,
    The pigeonhole bootstrap, Annals of Applied Statistics 1, 2007).
    """
    runs = sampling_error(treatment, control)
    images = right[0].shape[1]
    labels = np.unique([str(film) for film in films], return_inverse=True)[1] if films is not None else None
    groups = images if labels is None else int(labels.max()) + 1
    if groups < 2:
        return runs
    # A long film pulls the mean towards itself, which shrinks its deviation by its share of the images. The degrees of
    # freedom are Kish's effective number of films less one. For G equal films these are G/(G − 1) and G − 1.
    lengths = np.ones(images) if labels is None else np.bincount(labels).astype(np.float64)
    enlarged = 1 / (1 - lengths / images)
    over = max(1.0, images**2 / float((lengths**2).sum()) - 1)
    differences = np.zeros(groups)
    alone = []
    for sign, answers in zip((1.0, -1.0), right, strict=True):
        n = answers.shape[0]
        centred = (answers - answers.mean()) / images
        if labels is not None:
            centred = np.stack([np.bincount(labels, row, groups) for row in centred])
        by_image = centred.mean(axis=0)
        differences += sign * by_image
        if n > 1:
            of_runs = centred.sum(axis=1, keepdims=True)
            rest = centred - by_image - (of_runs - of_runs.mean()) * lengths / images
            alone.append((float((rest**2 * enlarged).sum()) / (n - 1) / n, over * (n - 1)))
    over_images = float((differences**2 * enlarged).sum())
    repeated = sum(part for part, _ in alone)
    variance = max(runs.variance + over_images - repeated, runs.variance, over_images)
    used = [(runs.variance, runs.freedom), (over_images, over), *alone]
    # What is taken off makes Satterthwaite's number smaller without end where the arms answer nearly alike; a sum of
    # mean squares has no fewer degrees of freedom than the least of them.
    freedom = max(_satterthwaite(variance, used), min(runs.freedom, over))
    parts = {**runs.parts, TEST_IMAGES: over_images - repeated}
    squares = ((over_images, over), *((-part, freedom) for part, freedom in alone))
    return Error(variance, freedom, parts, squares, runs=runs)
