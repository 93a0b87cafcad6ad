"""Estimates of prepared models beside what finished runs measured of them. No TensorFlow."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.stats import kendalltau

from headstart.components.errors import SettingError
from headstart.components.records import RunRecord
from headstart.components.reporting.collecting import find_records, group
from headstart.components.stages import STAGES


@dataclass(frozen=True)
class Agreement:
    """How far an estimate puts models into the order in which an arm's test accuracy puts them.

    Attributes:
        estimate: logme or probe.
        arm: whose mean test accuracy the models were ordered by.
        models: how many had been measured.
        same: pairs of models in the same order; of `pairs`, ties in neither.
        tau: Kendall's τ-b, from -1 to 1; None where one of the two orders is all ties.
    """

    estimate: str
    arm: str
    models: int
    same: int
    pairs: int
    tau: float | None


def measured(runs: Sequence[Path], weights: Sequence[str], classes: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return weights → arm → mean test accuracy, from the records of `runs`, for those of `weights` that they name.

    SettingError where a run is about other classes, where runs that name these models were tested on different images,
    and where none names any.
    """
    found: dict[str, dict[str, list[float]]] = {}
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
            arms = found.setdefault(record.initial_model, {})
            arms.setdefault(record.arm, []).append(record.result.test_accuracy)
    if not found:
        raise SettingError(
            "--against: no run there started from any of these models.",
            "Runs are recognised by the weights that their arms started from: name the models that they were given.",
        )
    if len(set(tested.values())) > 1:
        shown = "; ".join(f"{name}: {count:,} test images of {source}" for name, (count, source) in tested.items())
        raise SettingError(f"--against: the runs were tested on different images ({shown}).")
    return {own: {arm: float(np.mean(each)) for arm, each in arms.items()} for own, arms in found.items()}


def _counts(record: RunRecord, weights: Sequence[str]) -> bool:
    transferred = STAGES[record.arm].role == "treatment" and record.status == "succeeded"
    known = record.data is not None and record.result.test_accuracy is not None
    return transferred and known and record.initial_model in weights


def agreements(
    estimates: Mapping[str, Mapping[str, float]], accuracies: Mapping[str, Mapping[str, float]]
) -> list[Agreement]:
    """Compare estimates (name → weights → value) with accuracies (weights → arm → value), for every arm of two models.

    Where an arm was measured of fewer than two of the models, nothing is said of it.
    """
    arms = sorted({arm for each in accuracies.values() for arm in each}, key=list(STAGES).index)
    found = []
    for (estimate, values), arm in itertools.product(estimates.items(), arms):
        names = [own for own in values if arm in accuracies.get(own, {})]
        if len(names) < 2:
            continue
        x, y = [values[own] for own in names], [accuracies[own][arm] for own in names]
        signs = [np.sign(x[i] - x[j]) * np.sign(y[i] - y[j]) for i, j in itertools.combinations(range(len(x)), 2)]
        tau = float(kendalltau(x, y).statistic)
        found.append(
            Agreement(estimate, arm, len(names), signs.count(1), sum(map(bool, signs)), None if np.isnan(tau) else tau)
        )
    return found
