"""What the component shells share: artifacts to paths, and a record to the metrics that the KFP UI shows."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from headstart.components.datasets.left_out import left_out
from headstart.components.errors import HeadstartError, TemporaryError
from headstart.components.progress import emit
from headstart.components.records import Arm, RunRecord
from headstart.components.stages import PREPARATION
from headstart.components.storage.artifact_layout import checkpoint_folder
from headstart.components.training import precision, starts
from headstart.components.training.cells import run_cells
from headstart.components.training.checkpoint import KEPT_IN_CONTAINER
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
    HeadstartError ends the task, so that the platform starts nothing that depends on it; TemporaryError where
    another try may succeed, so that the platform makes one: the process that trains was killed, or an error ended it
    that is none of ours.

    `how` holds the arguments that every run of a pipeline shares: run_id, preset, settings, checkpoints, accelerators,
    image, and the artifact that `choose_precision` wrote.
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
        **_plain(how, record),
    )
    record.metadata.update({"arm": result.arm, "seed": str(result.seed), "status": result.status})
    if arm in PREPARATION and result.status != "succeeded":
        error = TemporaryError if result.temporary else HeadstartError
        raise error(f"{arm} {result.status}: {result.reason or 'no reason is recorded'}")
    return result


def prepare(
    arm: Arm, dataset: Any, initial_model: Any, seed: int, preparation: int, record: Any, model: Any, **how: Any
) -> RunRecord | None:
    """Run a stage of preparation number `preparation`, which has the seed `seed` + `preparation`.

    Where its data set was left out, the model that it would have started from takes the place of its own, and its
    record is an empty file.
    """
    own = int(seed) + int(preparation)
    if left_out(dataset.path) is not None:
        starts.hand_on(arm, Path(initial_model.path), Path(model.path))
        Path(record.path).touch()
        return None
    if initial_model is not None and not (Path(initial_model.path) / starts.MODEL_FILE).is_file():
        initial_model = None  # pretraining was left out and no model was given
    return stage(arm, dataset, initial_model, own, record=record, model=model, preparation=int(preparation), **how)


def begin(
    dataset: Any, seed: int, preparation: int, prepared: str, hours: float, record: Any, model: Any, **how: Any
) -> RunRecord | None:
    """Run the first stage, or, where its data set was left out, take over the model at `prepared`, if there is one.

    `hours` below 0: what it cost is not known.
    """
    size = left_out(dataset.path)
    if size is None:
        return prepare("pretrain", dataset, None, seed, preparation, record, model, **how)
    Path(record.path).touch()
    if not prepared:
        starts.nothing(Path(model.path))
        return None
    starts.fetch(
        prepared,
        Path(model.path),
        preparation=int(preparation),
        hours=float(hours) if hours >= 0 else None,
        preset=how["preset"],
        settings=dict(how["settings"]),
        image_size=size,
    )
    return None


def choose_precision(dataset: Any, stages: Sequence[str], artifact: Any, **how: Any) -> None:
    """Call `precision.choose` with the local paths of KFP artifacts and write the choice into `artifact`."""
    chosen = precision.choose(stages, dataset=Path(dataset.path), **_plain(how, artifact))
    precision.write(Path(artifact.path), chosen)
    artifact.metadata["precision"] = str(chosen) if chosen else "as set"


def runs(cells: str, dataset: Any, prepared: Any, records: Any, **how: Any) -> list[RunRecord]:
    """Call `run_cells` with the local paths of KFP artifacts and count the outcomes in the records' metadata."""
    paths = {"dataset": Path(dataset.path), "prepared": Path(prepared.path), "records": Path(records.path)}
    done = run_cells(cells, **paths, **_plain(how, records))
    failed = [record.name for record in done if record.status != "succeeded"]
    # Short: the metadata of all tasks together are part of one argument of the report's container.
    names = ", ".join(failed[:3]) + (f" and {len(failed) - 3} more" if len(failed) > 3 else "")
    records.metadata.update({"runs": str(len(done)), "failed": names or "none"})
    return done


def checkpoint_place(given: str, artifact: Any, run_id: str) -> str:
    """Return where checkpoints go: `given`, or below the pipeline root, or in the container, or nowhere (empty).

    A task uploads its outputs when it ends; what it had finished when its pod is lost is found again there. The URI of
    an `artifact` that it will write says where (`storage.artifact_layout`), if that is in gs:// or in Kubeflow's own
    store (minio://) and the pod may write there.
    A folder in the container outlives the task's process only (`headstart.pipelines.restarting`), and remembers the
    choice: a task that is started again looks where it kept its checkpoints.
    """
    if given:
        return given
    here = os.environ.get(KEPT_IN_CONTAINER, "")
    chosen = Path(here, "place") if here else None
    if chosen is not None and chosen.is_file():
        return chosen.read_text()
    place = _below_root(artifact, run_id) or here
    if chosen is not None:
        chosen.write_text(place)
    return place


def _below_root(artifact: Any, run_id: str) -> str:
    place = checkpoint_folder(str(getattr(artifact, "uri", "")), run_id)
    if not place.startswith(("gs://", "minio://")):
        return ""
    from headstart.components.preflight.checks import check_writable

    tried = check_writable(f"{place}/{run_id}", run_id)
    if tried.outcome == "failed":
        emit("warning", what="checkpoints", reason=f"there will be none outside the task's container: {tried.found}")
        return ""
    return place


def _path(artifact: Any | None) -> Path | None:
    return Path(artifact.path) if artifact is not None else None


def _plain(how: dict[str, Any], written: Any) -> dict[str, Any]:
    """Return the arguments `how` of a task that writes the artifact `written` as plain functions take them."""
    plain: dict[str, Any] = {"settings": dict(how["settings"]), "accelerators": int(how["accelerators"])}
    plain["checkpoints"] = checkpoint_place(how["checkpoints"], written, how["run_id"])
    if how.get("precision"):
        plain["precision"] = precision.read(Path(how["precision"].path))
    return how | plain


def log_scalars(records: Sequence[RunRecord | None], metrics: Any) -> None:
    """Log the means of each arm's finite figures under ARM_FIGURE, and how many runs of it ended well; None: no run."""
    arms: dict[str, list[RunRecord]] = {}
    for record in filter(None, records):
        arms.setdefault(record.arm, []).append(record)
    for arm, group in arms.items():
        figures = [_figures(record) for record in group if record.status == "succeeded"]
        metrics.log_metric(f"{arm}_runs", float(len(figures)))
        for name in _FIGURES:
            values = [each[name] for each in figures if name in each]
            if values:
                metrics.log_metric(f"{arm}_{name}", sum(values) / len(values))


_FIGURES: dict[str, Callable[[RunRecord], float | None]] = {
    "test_accuracy": lambda record: record.result.test_accuracy,
    "best_validation_accuracy": lambda record: record.result.best_validation_accuracy,
    "train_seconds": lambda record: record.phases.train,
    "epochs": lambda record: float(len(record.epochs)),
}


def _figures(record: RunRecord) -> dict[str, float]:
    """Return the figures that are known and finite."""
    figures = {name: figure(record) for name, figure in _FIGURES.items()}
    return {name: float(value) for name, value in figures.items() if value is not None and math.isfinite(value)}


def log_metrics(record: RunRecord, metrics: Any, classification: Any) -> None:
    """Log finite numbers and texts only: the KFP backend breaks on NaN and on anything structured."""
    for name, value in _figures(record).items():
        metrics.log_metric(name, value)
    metrics.metadata["status"] = record.status
    if record.result.confusion is not None and record.data is not None:
        classification.log_confusion_matrix(record.data.classes, record.result.confusion)
