"""How often each test image was asked: `test-images.json` in the store, counted before the answers are used.

An image that was asked in many comparisons proves less each time; see `headstart.components.promotion.evidence`. The
count belongs to the image, not to the data set: one that comes back in tomorrow's data has been asked before.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from pydantic import BaseModel, ConfigDict, Field
from scipy.special import ndtri

from headstart.components.errors import TemporaryError
from headstart.components.promotion import sealed
from headstart.components.promotion.backends import Conflict
from headstart.components.promotion.evidence import POWER, level
from headstart.components.promotion.gate import Mask
from headstart.components.promotion.store import ModelStore
from headstart.components.promotion.versions import SCHEMA_VERSION

FILE = sealed.TEST_IMAGES
MOST_IMAGES = 500_000
MOST_COMPARISONS = 1_000
_REPEATABLE = 4
"""Comparisons, the last ones, of which a task that was killed and started again finds its own counts."""
_TRIES = 50


class Comparison(BaseModel):
    """One retraining's comparison."""

    model_config = ConfigDict(extra="ignore")

    run_id: str
    question: str = Field(description="recipe and model in use, between which evidence adds up")
    uses: list[int] = Field(description="how often each of its images had been asked before; later: none")
    log_e: float = Field(0.0, allow_inf_nan=False, description="evidence on images that were never asked before")


class Uses(BaseModel):
    """The file's content."""

    model_config = ConfigDict(extra="ignore")

    schema_version: int = SCHEMA_VERSION
    sequence: int = Field(0, ge=0, description="number of changes of this file so far")
    images: dict[str, int] = Field(default_factory=dict, description="hash of an image → comparisons that asked it")
    comparisons: list[Comparison] = Field(default_factory=list, description="the last ones, oldest first")


@dataclass(frozen=True)
class Asked:
    """The test images of one comparison."""

    chosen: Mask
    """Which of them count as evidence: those whose earlier uses leave the most to show."""
    fresh: Mask
    """Which were never asked before."""
    uses: int
    """How often the most used of the chosen ones was asked, this time included."""
    accumulated: float
    """Evidence of earlier retrainings of the same recipe against the same model in use."""


def read_uses(store: ModelStore) -> tuple[Uses, str]:
    """Return the counts and the file's generation; DamagedError where it cannot be read."""
    data, generation = store.backend.read(FILE)
    if data is None:
        return Uses(), ""
    remedy = f"Restore it, or remove it once you test on new images: without it every image counts as new ({FILE})."
    return store.parsed(Uses, FILE, sealed.unseal(store.uri, FILE, data), remedy), generation


def choose(before: list[int], confidence: float, test_uses: int) -> tuple[Mask, int]:
    """Return which images to ask, given how often each was asked before, and how often the most used one is then.

    Of all "asked at most u times before" the one that shows the smallest gain: where (z(1 − α(u + 1)) + z(0.8)) / √n is
    least.
    """
    counts = np.array(before, np.int64)
    best, chosen, uses = np.inf, np.ones(len(counts), dtype=np.bool_), int(counts.max(initial=0)) + 1
    for most in np.unique(counts):
        alpha = level(confidence, int(most) + 1, test_uses)
        among = counts <= most
        if alpha > 0 and (shown := float(ndtri(1 - alpha) + ndtri(POWER)) / np.sqrt(among.sum())) < best:
            best, chosen, uses = shown, among, int(most) + 1
    return chosen, uses


def count(store: ModelStore, hashes: list[str], run_id: str, question: str, confidence: float, test_uses: int) -> Asked:
    """Count one more use of every image, once for each `run_id`, and return what the images can still show."""
    short = [value[:16] for value in hashes]

    def change(uses: Uses) -> Comparison:
        found = next((one for one in uses.comparisons if run_id and one.run_id == run_id), None)
        if found is None or len(found.uses) != len(short):
            found = Comparison(run_id=run_id, question=question, uses=[uses.images.get(value, 0) for value in short])
            for value in dict.fromkeys(short):
                uses.images[value] = uses.images.pop(value, 0) + 1  # the last used are the last in the file
            uses.images = dict(list(uses.images.items())[-MOST_IMAGES:])
            for one in uses.comparisons[:-_REPEATABLE]:
                one.uses = []
            uses.comparisons = [*uses.comparisons, found][-MOST_COMPARISONS:]
        return found

    uses, found = _changed(store, change)
    chosen, most = choose(found.uses, confidence, test_uses)
    earlier = sum(one.log_e for one in uses.comparisons if one.question == question and one.run_id != run_id)
    return Asked(chosen, np.array(found.uses) == 0, most, earlier)


def keep_evidence(store: ModelStore, run_id: str, log_e: float) -> None:
    """Write down what the fresh images of the comparison `run_id` showed."""

    def change(uses: Uses) -> Comparison:
        found = next(one for one in reversed(uses.comparisons) if one.run_id == run_id)
        found.log_e = log_e
        return found

    if log_e:
        _changed(store, change)


def _changed(store: ModelStore, change: Callable[[Uses], Comparison]) -> tuple[Uses, Comparison]:
    for _ in range(_TRIES):
        uses, generation = read_uses(store)
        found = change(uses)
        try:
            store.write_sealed(FILE, uses.model_dump(mode="json"), uses.sequence, generation)
        except Conflict:
            continue
        return uses, found
    raise TemporaryError(f"{store.uri}/{FILE}: is changed by others faster than it can be written.", "Try again.")
