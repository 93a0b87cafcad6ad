"""What the component shells share: artifacts to paths, and a record to the metrics that the KFP UI shows."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from headstart.components.errors import HeadstartError
from headstart.components.records import Arm, RunRecord
from headstart.components.stages import PREPARATION
from headstart.components.training.stages import run_stage


def stage(
    arm: Arm,
    dataset: Any,
    initial_model: Any | None,
    seed: int,
    run_id: str,
    preset: str,
    settings: dict[str, Any],
    checkpoints: str,
    accelerators: int,
    image: str,
    record: Any,
    model: Any | None = None,
    saved_model: Any | None = None,
) -> RunRecord:
    """Call `run_stage` with the local paths of KFP artifacts and put a few facts into the record's metadata.

    A run of an arm that fails is one failed run among several. A preparation that fails leaves nothing to start from:
    HeadstartError ends the task, so that the platform tries it again and starts nothing that depends on it.
    """
    result = run_stage(
        arm=arm,
        dataset=Path(dataset.path),
        initial_model=Path(initial_model.path) if initial_model is not None else None,
        seed=int(seed),  # the local runner hands loop items over as floats at times
        run_id=run_id,
        preset=preset,
        settings=dict(settings),
        checkpoints=checkpoints,
        accelerators=int(accelerators),
        image=image,
        record=Path(record.path),
        model=Path(model.path) if model is not None else None,
        saved_model=Path(saved_model.path) if saved_model is not None else None,
    )
    record.metadata.update({"arm": result.arm, "seed": str(result.seed), "status": result.status})
    if arm in PREPARATION and result.status != "succeeded":
        raise HeadstartError(f"{arm} {result.status}: {result.reason or 'no reason is recorded'}")
    return result


def log_metrics(record: RunRecord, metrics: Any, classification: Any) -> None:
    """Log finite numbers and texts only: the KFP backend breaks on NaN and on anything structured."""
    numbers = {
        "test_accuracy": record.result.test_accuracy,
        "best_validation_accuracy": record.result.best_validation_accuracy,
        "train_seconds": record.phases.train,
        "epochs": float(len(record.epochs)),
    }
    for name, value in numbers.items():
        if value is not None and math.isfinite(value):
            metrics.log_metric(name, float(value))
    metrics.metadata["status"] = record.status
    if record.result.confusion is not None and record.data is not None:
        classification.log_confusion_matrix(record.data.classes, record.result.confusion)
