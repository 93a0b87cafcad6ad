"""What features are worth for a set of classes, without training a network: LogME and a linear probe. numpy alone.

Both come from one decomposition of the features (float64, N × D) of N training images. LogME is the logarithm of the
maximum evidence: K. You, Y. Liu, J. Wang and M. Long, *LogME: Practical Assessment of Pre-trained Models for Transfer
Learning*, ICML 2021, arXiv 2102.11005.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]
Labels = npt.NDArray[np.integer]


def logme(features: Array, labels: Labels) -> float:
    """Return LogME of `features` (N × D) for `labels` (N): in nats per image and class, higher is better.

    For each class the column of zeros and ones is y = F w + noise with w ~ N(0, 1/α) and noise ~ N(0, 1/β). With
    λ = α/β, y has the covariance (I + F Fᵀ/λ)/β, and the best β is N / q with q = yᵀ (I + F Fᵀ/λ)⁻¹ y. That leaves
    -½ (log(2π q/N) + 1 + log det(I + F Fᵀ/λ) / N), which is maximised over λ. Classes without images are left out.
    """
    count = len(labels)
    u, squares = _decomposed(features)

    def evidence(y: Array, ratios: Array) -> Array:
        z = (u.T @ y) ** 2
        shrunk = squares[:, None] / ratios
        q = max(float(y @ y - z.sum()), 0.0) + (z[:, None] / (1 + shrunk)).sum(axis=0)
        q = np.maximum(q, np.finfo(np.float64).tiny)
        found: Array = -0.5 * (np.log(2 * math.pi * q / count) + 1 + np.log1p(shrunk).sum(axis=0) / count)
        return found

    columns = [(labels == name).astype(np.float64) for name in np.unique(labels)]
    return float(np.mean([_maximum(functools.partial(evidence, y), float(squares[0])) for y in columns]))


def _maximum(evidence: Callable[[Array], Array], scale: float) -> float:
    """Return the highest value over ratios from 1e-9 to 1e6 times `scale`, searched in ever finer grids."""
    centre, width = math.log(scale) - 1.5 * math.log(10), 7.5 * math.log(10)
    for _ in range(4):
        grid = centre + width * np.linspace(-1, 1, 61)
        values = evidence(np.exp(grid))
        centre, width = float(grid[np.argmax(values)]), width / 30
    return float(values.max())


def probe(features: Array, labels: Labels, others: Array, other_labels: Labels) -> float:
    """Return the accuracy on `others` of a linear classifier that `features` and `labels` were fitted to.

    Least squares on columns of zeros and ones with an intercept; the penalty is the one with the least leave-one-out
    error on the images that it is fitted to, which has a closed form: residual / (1 - leverage).
    """
    names = np.unique(labels)
    answers = (labels[:, None] == names).astype(np.float64)
    mean, level = features.mean(axis=0), answers.mean(axis=0)
    u, squares = _decomposed(features - mean)
    z = u.T @ (answers - level)
    best, kept = math.inf, 1.0
    for penalty in squares[0] * np.logspace(-8, 1, 28):
        shrunk = squares / (squares + penalty)
        left = 1 - 1 / len(labels) - (u**2 @ shrunk)
        error = float((((answers - level - u @ (shrunk[:, None] * z)) / np.maximum(left, 1e-9)[:, None]) ** 2).sum())
        if error < best:
            best, kept = error, float(penalty)
    # Coefficients are Fᵀ U diag(1 / (σ² + penalty)) z, whichever of N and D is larger.
    scores = (others - mean) @ ((features - mean).T @ (u @ (z / (squares + kept)[:, None]))) + level
    return float(np.mean(names[scores.argmax(axis=1)] == other_labels))


def _decomposed(features: Array) -> tuple[Array, Array]:
    """Return the left singular vectors (N × R) and the squared singular values (R, falling), without those near 0."""
    count, width = features.shape
    if count <= width:
        squares, u = np.linalg.eigh(features @ features.T)
    else:
        squares, v = np.linalg.eigh(features.T @ features)
        u = features @ v / np.sqrt(np.maximum(squares, np.finfo(np.float64).tiny))
    keep = squares > max(float(squares[-1]), np.finfo(np.float64).tiny) * 1e-12
    if not keep.any():  # all features are zero: one direction that explains nothing
        return np.zeros((count, 1)), np.ones(1)
    return u[:, keep][:, ::-1], squares[keep][::-1]
