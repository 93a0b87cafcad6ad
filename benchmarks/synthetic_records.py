"""Records as training writes them, without training: curves that rise and a spread between runs, from a seed."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np

from headstart.components.records import Arm, Attempt, Data, Environment, Epoch, FrozenLayer, Phases, Result, RunRecord
from headstart.components.stages import order
from headstart.components.training.stage_settings import StageSettings

EPOCHS = {"pretrain": 15, "finetune": 8, "final": 25, "baseline": 25, "transfer": 25}
SETTINGS = StageSettings()
WEIGHTS = {"pretrain": "d" * 64, "finetune": "e" * 64}


def record(arm: Arm, seed: int, *, classes: int = 3) -> RunRecord:
    """Return one record of `arm`; `seed` moves its curve, `classes` sets its confusion matrix."""
    rng = np.random.default_rng([seed, order(arm)])
    pace = 0.3 if arm == "transfer" else 1.5
    rows: list[Epoch] = []
    for epoch in range(1, EPOCHS[arm] + 1):
        took = float(pace * rng.uniform(0.95, 1.05))
        accuracy = float(np.clip((0.98 if arm == "transfer" else 0.93) - np.exp(-0.3 * epoch) / 2, 0, 1))
        accuracy = float(np.clip(accuracy + rng.normal(0, 0.005), 0, 1))
        elapsed = took + (rows[-1].elapsed if rows else 0.0)
        # Whole numbers of images, and a loss that such an accuracy can have.
        trained, validated = (round(accuracy * count * classes) / (count * classes) for count in (384, 40))
        loss = 1.05 - accuracy + 0.01 * rng.random()
        scores = {"accuracy": trained, "validation_accuracy": validated, "loss": loss, "validation_loss": loss}
        rows.append(Epoch(epoch=epoch, train_seconds=took, cpu_seconds=1.9 * took, elapsed=elapsed, **scores))
    best = max(rows, key=lambda row: row.validation_accuracy or 0)
    tested = 20 * classes
    confusion = np.zeros((classes, classes), int)
    np.fill_diagonal(confusion, 19)
    confusion[np.arange(classes), (np.arange(classes) + 1) % classes] = 1
    values: dict[str, Any] = {
        "data": Data(
            digest=f"{classes:064x}",
            source="drawn",
            image_size=52,
            classes=[f"class {number}" for number in range(classes)],
            counts={"train": 384 * classes, "validation": 40 * classes, "test": tested},
        ),
        "frozen": [FrozenLayer(layer=layer, before="a" * 64, after="a" * 64) for layer in SETTINGS.frozen_layers(arm)],
        "result": Result(
            test_accuracy=0.95,
            test_loss=0.2,
            best_validation_accuracy=best.validation_accuracy,
            best_epoch=best.epoch,
            confusion=confusion.tolist(),
        ),
    }
    if arm not in ("pretrain", "baseline"):
        values |= {
            "initial_model": WEIGHTS["pretrain" if arm == "finetune" else "finetune"],
            "initial_weights": "c" * 64,
        }
    began = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(minutes=seed)
    return RunRecord(
        arm=arm,
        seed=seed,
        run_id="benchmark",
        status="succeeded",
        started_at=began.isoformat(timespec="seconds"),
        attempts=[
            Attempt(number=1, started_at=began.isoformat(timespec="seconds"), epochs=len(rows), ended="completed")
        ],
        preset="fast",
        recipe={"batch_size": 32, "optimizer": "adam", "epochs": EPOCHS[arm], "patience": 0},
        stage=SETTINGS.model_dump(mode="json") | {"frozen": list(SETTINGS.frozen_layers(arm))},
        environment=Environment(device_kind="cpu", device_count=1, cores=2, threads=2),
        phases=Phases(startup=3.5, data=0.1, compile=1.0, train=rows[-1].elapsed, evaluate=1.0),
        epochs=rows,
        stop_reason="max_epochs",
        final_weights=WEIGHTS.get(arm, f"{order(arm)}{seed:063x}"),
        train_cpu_seconds=1.9 * rows[-1].elapsed,
        peak_memory_bytes=1 << 30,
        **values,
    )


def experiment(runs: int, *, classes: int = 3) -> list[RunRecord]:
    """Return the records of an experiment with `runs` runs of each arm."""
    made = [record(arm, 0, classes=classes) for arm in ("pretrain", "finetune", "final")]
    for arm in ("baseline", "transfer"):
        made += [record(arm, seed, classes=classes) for seed in range(1, runs + 1)]
    return made


def write(folder: Path, records: list[RunRecord]) -> list[Path]:
    """Write records into `folder` and return their files."""
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{entry.arm}-{entry.seed:05d}.json" for entry in records]
    for file, entry in zip(files, records, strict=True):
        entry.write(file)
    return files


def templates(folder: Path) -> Path:
    """Write one record per arm, named after it, and return `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    for arm in EPOCHS:
        record(arm, 1).write(folder / f"{arm}.json")  # type: ignore[arg-type]
    return folder
