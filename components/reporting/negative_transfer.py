"""Negative transfer in words: which arms end less accurate than training from scratch, and what is cheapest to try."""

from __future__ import annotations

import math

from headstart.components.reporting.experiment import Experiment, succeeded
from headstart.components.reporting.summary import Compared, Summary
from headstart.components.reporting.units import points
from headstart.components.stages import ARMS, STAGES, frozen_blocks
from headstart.components.training.networks import BLOCKS


def negative_transfer(experiment: Experiment, summary: Summary) -> str:
    """Say which arms are worse than training from scratch and what was, or could be, tried; empty where none is.

    Worse is a gain whose whole interval is below 0. Nothing is said of an unsound measurement.
    """
    control = next(arm for arm in ARMS if STAGES[arm].role == "control")
    against = {each.treatment: each for each in summary.comparisons if each.control == control}
    worse = [arm for arm, each in against.items() if each.gain.decided() < 0]
    if not worse or not summary.sound:
        return ""
    first = max(worse, key=lambda arm: _frozen(experiment, arm))
    lost = "; ".join(f"{_name(arm)} by {_points(against[arm])}" for arm in worse)
    freer = sorted(
        (arm for arm in against if _frozen(experiment, arm) < _frozen(experiment, first)),
        key=lambda arm: (-_frozen(experiment, arm), STAGES[arm].learning_rate),
    )
    return f"Negative transfer, less accurate than training from scratch: {lost}. {_tried(freer, against)}" + _untried(
        experiment, first, freer, any(arm not in worse for arm in freer)
    )


def _tried(freer: list[str], against: dict[str, Compared]) -> str:
    """What arms that freeze less came to, the one that freezes most first."""
    if not freer:
        return ""
    good = [arm for arm in freer if against[arm].gain.decided() >= 0]
    if not good:
        return f"Freezing less was tried and does not help: {' and '.join(map(_name, freer))}. "
    arm = next((arm for arm in good if against[arm].gain.decided() > 0), good[0])
    if against[arm].gain.decided() > 0:
        return f"Freezing less was tried and helps: {_name(arm)} is more accurate, by {_points(against[arm])}."
    return f"Freezing less was tried: {_name(arm)} is not shown to be worse."


def _untried(experiment: Experiment, first: str, freer: list[str], settled: bool) -> str:
    """What is cheapest to try next; empty where something that was tried does."""
    if settled:
        return ""
    steps = []
    fewer = _frozen(experiment, first) - 1
    if 0 <= fewer < math.inf and f"transfer@{int(fewer)}" not in freer:
        steps.append(f"one block fewer frozen (--frozen {int(fewer)})")
    elif fewer == math.inf and not freer:
        steps.append("one block fewer frozen (--set backbone_layers=all_but_last_1_blocks)")
    if "finetuned" not in freer and first != "finetuned":
        steps.append("everything fine-tuned (finetuned in --arms)")
    if not steps:
        steps.append("a lower learning rate for what is fine-tuned, or weights from images more like these")
    return f"To try, the cheapest first: {'; '.join(steps)}."


def _frozen(experiment: Experiment, arm: str) -> float:
    """How many blocks the runs of `arm` froze; infinity: how many is not known, but more than none."""
    depth = frozen_blocks(arm)
    if depth is not None:
        return depth
    if STAGES[arm].frozen == "nothing":
        return 0
    record = next(iter(succeeded(experiment.of(arm))), None)
    if record is None:
        return math.inf
    if not record.network:
        return sum("batch" not in layer for layer in record.stage.get("frozen", []))
    if STAGES[arm].frozen == "backbone" and record.stage.get("backbone_layers"):
        return math.inf
    return BLOCKS.get(record.network, math.inf)


def _name(arm: str) -> str:
    return STAGES[arm].title.lower()


def _points(compared: Compared) -> str:
    ends = sorted(abs(end) for end in (compared.gain.low, compared.gain.high) if end is not None)
    between = f" ({points(ends[0])} to {points(ends[1])})" if len(ends) == 2 else ""
    return f"{points(compared.gain.estimate)} points{between}"
