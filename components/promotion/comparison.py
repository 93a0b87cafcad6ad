"""Candidate and model in use on the same test images: the rules' decision, the evidence, time and size."""

from __future__ import annotations

import hashlib
import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.components.datasets.packed import PackedDataset
from headstart.components.promotion import uses
from headstart.components.promotion.answers import Answered, answer, image_hashes, seen_before
from headstart.components.promotion.evidence import Differences, Evidence, Integers, differences, judge
from headstart.components.promotion.gate import Decision, Mask, Rules, decide
from headstart.components.promotion.store import ModelStore
from headstart.components.records import RunRecord
from headstart.components.training import environment

_CALLS = 60


@dataclass(frozen=True)
class Candidate:
    """A trained model and its record."""

    folder: Path
    record: RunRecord


@dataclass(frozen=True)
class Compared:
    """What is known of a candidate; `evidence` is None where there is no model in use or the classes are new."""

    decision: Decision
    evidence: Evidence | None
    model: Any
    classes: list[str]
    measured: dict[str, Any]


def compare(
    dataset: PackedDataset,
    candidates: list[Candidate],
    chosen: Candidate,
    store: ModelStore,
    current: int | None,
    rules: Rules,
    run_id: str,
    scratch: Path,
) -> Compared:
    """Have all seeds of the candidate and the model in use answer the test images, and judge `chosen`."""
    environment.prepare_on_processor()
    model, classes = _loaded(chosen.folder)
    truth = dataset.split("test")[1].astype(np.int64)
    answered = answer(model, classes, dataset)
    if current is None:
        decision = decide(rules, dataset.classes, truth, answered.answers, None)
        return Compared(decision, None, model, classes, {"size": _size(chosen.folder)})
    folder = store.fetch(current, scratch / "current")
    model_in_use, known = _loaded(folder / "model")
    old = answer(model_in_use, known, dataset)
    decision = decide(
        rules,
        dataset.classes,
        truth,
        answered.answers,
        old.answers,
        current_classes=known,
        seen=seen_before(dataset, folder),
    )
    evidence = None
    if set(dataset.classes) <= set(known):
        seeds = [answered if one is chosen else answer(*_loaded(one.folder), dataset) for one in candidates]
        kept = decision.kept if decision.kept is not None else np.ones(len(truth), dtype=np.bool_)
        evidence = _evidence(dataset, store, rules, run_id, _question(chosen, current), truth, seeds, old, kept)
    measured = _measured(model, model_in_use, dataset, chosen.folder, folder / "model")
    judge_measured(rules, measured, decision)
    return Compared(decision, evidence, model, classes, measured)


def _loaded(folder: Path) -> tuple[Any, list[str]]:
    """Return a model and its classes."""
    from headstart.components.training.export import load_model

    model, description = load_model(folder)
    return model, [str(name) for name in description["classes"]]


def _question(candidate: Candidate, current: int) -> str:
    """Name what evidence adds up for: this recipe from this prepared model, against this model in use."""
    record = candidate.record
    # `least_steps` of 0 changes nothing, and recipes were put down without it once: their evidence still counts.
    recipe = {name: value for name, value in record.recipe.items() if (name, value) != ("least_steps", 0)}
    facts = [record.preset, recipe, record.stage, record.network, record.initial_model, current]
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()[:16]


def _evidence(
    dataset: PackedDataset,
    store: ModelStore,
    rules: Rules,
    run_id: str,
    question: str,
    truth: Integers,
    seeds: list[Answered],
    old: Answered,
    kept: Mask,
) -> Evidence:
    hashes = [value for value, use in zip(image_hashes(dataset, ("test",)), kept, strict=True) if use]
    asked = uses.count(store, hashes, run_id, question, rules.confidence, rules.test_uses)
    places, groups = np.flatnonzero(kept), clusters(dataset)
    right = np.stack([one.answers == truth for one in seeds])
    losses = np.stack([one.losses for one in seeds])

    def among(mask: Mask) -> Differences:
        at = places[mask]
        return differences(right[:, at], (old.answers == truth)[at], losses[:, at], old.losses[at], groups[at])

    # A film of which one image was asked before is not a new question.
    known = np.isin(groups[places], groups[places[~asked.fresh]])
    fresh = among(~known) if not known.all() else None
    evidence = judge(among(asked.chosen), fresh, rules.confidence, asked.uses, rules.test_uses, asked.accumulated)
    uses.keep_evidence(store, run_id, evidence.log_e)
    return evidence


def clusters(dataset: PackedDataset) -> Integers:
    """Return the number of each test image's film or object; an image of which none is known is its own."""
    count = dataset.description.counts["test"]
    own = np.arange(count, dtype=np.int64)
    groups = dataset.groups("test")
    return own if groups is None else np.where(groups >= 0, count + groups.astype(np.int64), own)


def _size(folder: Path) -> int:
    return (folder / "model.keras").stat().st_size


def _measured(new: Any, old: Any, dataset: PackedDataset, new_folder: Path, old_folder: Path) -> dict[str, Any]:
    """Time both models on one image after the other, in turns, so that what else the machine does meets both.

    The 95th percentile is the median of those of three rounds: a burst of other work decides nothing.
    """
    images, _ = dataset.split("test")
    seconds: dict[str, list[float]] = {"new": [], "old": []}
    for call in range(_CALLS + 5):
        image = np.asarray(images[call % len(images) : call % len(images) + 1], np.float32)
        for name, model in (("new", new), ("old", old)):
            began = time.perf_counter()
            model.predict_on_batch(image)
            if call >= 5:  # the first calls build the graph
                seconds[name].append(time.perf_counter() - began)
    return {
        "latency_p95": _percentile(seconds["new"]),
        "current_latency_p95": _percentile(seconds["old"]),
        "size": _size(new_folder),
        "current_size": _size(old_folder),
    }


def _percentile(seconds: list[float]) -> float:
    return float(np.median([np.quantile(part, 0.95) for part in np.array_split(seconds, 3)]))


def judge_measured(rules: Rules, measured: dict[str, Any], decision: Decision) -> None:
    """Add the reasons of a candidate that is too slow or too large to those of `decision`."""
    for setting, most, name, unit, scale in (
        ("latency_ratio", rules.latency_ratio, "latency_p95", "ms for one image, 95th percentile", 1e3),
        ("size_ratio", rules.size_ratio, "size", "MiB", 1 / 2**20),
    ):
        new, old = measured[name], measured[f"current_{name}"]
        if most and new > most * old:
            decision.refused.append(
                f"{scale * new:.3g} {unit}, against {scale * old:.3g} of the model in use; {setting} allows "
                f"{most:g} times as much."
            )
