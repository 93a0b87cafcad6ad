"""Estimates of prepared models beside what finished runs measured of them. No TensorFlow."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import kendalltau

from headstart.components.errors import SettingError
from headstart.components.records import RunRecord
from headstart.components.reporting.collecting import find_records, group
from headstart.components.stages import STAGES, order


class Measure(NamedTuple):
    """What was measured: an arm, trained on this number of images."""

    arm: str
    images: int

    def __str__(self) -> str:
        return f"{self.arm} on {self.images:,} images"


@dataclass(frozen=True)
class Agreement:
    """How far an estimate puts models into the order in which an arm's test accuracy puts them.

    Attributes:
        estimate: logme or probe.
        arm: whose mean test accuracy the models were ordered by.
        images: that the arm was trained on.
        models: how many had been measured.
        same: pairs of models in the same order; of `pairs`, ties in neither.
        tau: Kendall's τ-b, from -1 to 1; None where one of the two orders is all ties.
    """

    estimate: str
    arm: str
    images: int
    models: int
    same: int
    pairs: int
    tau: float | None


def measured(runs: Sequence[Path], weights: Sequence[str], classes: Sequence[str]) -> dict[str, dict[Measure, float]]:
    """Return weights → measure → mean test accuracy, from the records of `runs`, for those of `weights` that they name.

    SettingError where a run is about other classes, where runs that name these models were tested on different images,
    and where none names any.
    """
    found: dict[str, dict[Measure, list[float]]] = {}
    tested: dict[str, tuple[int, str]] = {}
    for name, records in group(find_records(runs)).items():
        for record in records:
            if not _counts(record, weights):
                continue
            assert record.data is not None and record.initial_model is not None
            assert record.result.test_accuracy is not None
            if sorted(record.data.classes) != sorted(classes):
                raise SettingError(f"--against {name}: is about {len(record.data.classes)} other classes.")
            tested[name] = (record.data.counts.get("test", 0), record.data.source)
            measures = found.setdefault(record.initial_model, {})
            measure = Measure(record.arm, record.data.counts.get("train", 0))
            measures.setdefault(measure, []).append(record.result.test_accuracy)
    if not found:
        raise SettingError(
            "--against: no run there started from any of these models.",
            "Runs are recognised by the weights that their arms started from: name the models that they were given.",
        )
    if len(set(tested.values())) > 1:
        shown = "; ".join(f"{name}: {count:,} test images of {source}" for name, (count, source) in tested.items())
        raise SettingError(f"--against: the runs were tested on different images ({shown}).")
    return {own: {key: float(np.mean(each)) for key, each in measures.items()} for own, measures in found.items()}


def measures(accuracies: Mapping[str, Mapping[Measure, float]]) -> list[Measure]:
    """Return what was measured of any model, by arm and number of images."""
    every = {measure for each in accuracies.values() for measure in each}
    return sorted(every, key=lambda measure: (order(measure.arm), measure.images))


def _counts(record: RunRecord, weights: Sequence[str]) -> bool:
    transferred = STAGES[record.arm].role == "treatment" and record.status == "succeeded"
    known = record.data is not None and record.result.test_accuracy is not None
    return transferred and known and record.initial_model in weights


def agreements(
    estimates: Mapping[str, Mapping[str, float]], accuracies: Mapping[str, Mapping[Measure, float]]
) -> list[Agreement]:
    """Compare estimates (name → weights → value) with what `measured` returned, for each measure of two models.

    Where fewer than two of the models were measured, nothing is said.
    """
    found = []
    for (estimate, values), measure in itertools.product(estimates.items(), measures(accuracies)):
        names = [own for own in values if measure in accuracies.get(own, {})]
        if len(names) < 2:
            continue
        x, y = [values[own] for own in names], [accuracies[own][measure] for own in names]
        signs = [np.sign(x[i] - x[j]) * np.sign(y[i] - y[j]) for i, j in itertools.combinations(range(len(x)), 2)]
        tau = float(kendalltau(x, y).statistic)
        same, pairs = signs.count(1), sum(map(bool, signs))
        found.append(Agreement(estimate, *measure, len(names), same, pairs, None if np.isnan(tau) else tau))
    return found
