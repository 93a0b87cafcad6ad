"""What the component shells share: artifacts to paths, and a record to the metrics that the KFP UI shows."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from headstart.components.errors import HeadstartError
from headstart.components.records import Arm, RunRecord
from headstart.components.stages import PREPARATION
from headstart.components.training.cells import run_cells
from headstart.components.training.stages import run_stage


def stage(
    arm: Arm,
    dataset: Any,
    initial_model: Any | None,
    seed: int,
    *,
    record: Any,
    model: Any | None = None,
    saved_model: Any | None = None,
    preparation: int = 0,
    **how: Any,
) -> RunRecord:
    """Call `run_stage` with the local paths of KFP artifacts and put a few facts into the record's metadata.

    A run of an arm that fails is one failed run among several. A preparation that fails leaves nothing to start from:
    HeadstartError ends the task, so that the platform tries it again and starts nothing that depends on it.

    `how` holds the arguments that every run of a pipeline shares: run_id, preset, settings, checkpoints, accelerators
    and image.
    """
    result = run_stage(
        arm=arm,
        dataset=Path(dataset.path),
        initial_model=_path(initial_model),
        seed=int(seed),  # the local runner hands loop items over as floats at times
        preparation=int(preparation),
        record=Path(record.path),
        model=_path(model),
        saved_model=_path(saved_model),
        **_plain(how),
    )
    record.metadata.update({"arm": result.arm, "seed": str(result.seed), "status": result.status})
    if arm in PREPARATION and result.status != "succeeded":
        raise HeadstartError(f"{arm} {result.status}: {result.reason or 'no reason is recorded'}")
    return result


def prepare(
    arm: Arm, dataset: Any, initial_model: Any, seed: int, preparation: int, record: Any, model: Any, **how: Any
) -> RunRecord:
    """Run a stage of preparation number `preparation`, which has the seed `seed` + `preparation`."""
    own = int(seed) + int(preparation)
    return stage(arm, dataset, initial_model, own, record=record, model=model, preparation=int(preparation), **how)


def runs(cells: str, dataset: Any, prepared: Any, records: Any, **how: Any) -> list[RunRecord]:
    """Call `run_cells` with the local paths of KFP artifacts and count the outcomes in the records' metadata."""
    done = run_cells(
        cells, dataset=Path(dataset.path), prepared=Path(prepared.path), records=Path(records.path), **_plain(how)
    )
    failed = [record.name for record in done if record.status != "succeeded"]
    records.metadata.update({"runs": str(len(done)), "failed": ", ".join(failed) or "none"})
    return done


def _path(artifact: Any | None) -> Path | None:
    return Path(artifact.path) if artifact is not None else None


def _plain(how: dict[str, Any]) -> dict[str, Any]:
    return {**how, "settings": dict(how["settings"]), "accelerators": int(how["accelerators"])}


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
