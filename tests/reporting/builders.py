"""Run records made by a seeded generator, shaped as training writes them, and the paper's own runs as records."""

from __future__ import annotations

from typing import Any

import numpy as np

from headstart.components.records import (
    Attempt,
    Data,
    Environment,
    Epoch,
    FrozenLayer,
    Phases,
    Result,
    RunRecord,
    Sample,
)

RUN_ID = "run-5f2a"
FRUIT = ["apple", "pears", "noise"]


def digest(name: str) -> str:
    import hashlib

    return hashlib.sha256(name.encode()).hexdigest()


def environment() -> Environment:
    return Environment(
        device_kind="cpu",
        device_name="Intel Xeon 2.8 GHz",
        device_count=1,
        processor="Intel Xeon 2.8 GHz",
        cores=2,
        threads=2,
        memory_bytes=8 << 30,
        hostname="node-a",
        versions={
            "headstart": "0.1.0",
            "python": "3.11.9",
            "tensorflow": "2.21.0",
            "keras": "3.15.1",
            "numpy": "2.4.6",
        },
    )


def data(stage: str = "final") -> Data:
    if stage == "pretrain":
        classes = [f"object {i}" for i in range(100)]
        counts = {"train": 9000, "validation": 1000, "test": 2000}
    elif stage == "finetune":
        classes = [f"Fruit {i}" for i in range(119)]
        counts = {"train": 4800, "validation": 535, "test": 1800}
    else:
        classes, counts = list(FRUIT), {"train": 1080, "validation": 120, "test": 2250}
        stage = "final"
    return Data(digest=digest(stage), source=f"demo:{stage}", image_size=52, classes=classes, counts=counts)


def record(
    arm: str,
    seed: int = 0,
    *,
    epochs: int = 20,
    seconds_per_epoch: float = 1.5,
    accuracy: float = 0.95,
    rate: float = 0.25,
    status: str = "succeeded",
    reason: str = "",
    run_id: str = RUN_ID,
    jitter: float = 0.05,
    **changes: Any,
) -> RunRecord:
    """One run whose validation accuracy rises towards `accuracy` and whose epochs take `seconds_per_epoch`."""
    rng = np.random.default_rng([seed, len(arm), ord(arm[0])])
    rows, elapsed, best, best_epoch = [], 0.0, 0.0, 1
    classes = data(arm).classes
    for index in range(1, epochs + 1):
        took = float(seconds_per_epoch * (1 + jitter * rng.standard_normal() * 0.5))
        elapsed += took
        level = (
            accuracy * (1 - (1 - 1 / len(classes)) * np.exp(-rate * index))
            + 0.004 * rng.standard_normal() * jitter / 0.05
        )
        level = float(np.clip(level, 0, 1))
        if level > best:
            best, best_epoch = level, index
        rows.append(
            Epoch(
                epoch=index,
                train_seconds=took,
                cpu_seconds=took * 1.9,
                evaluate_seconds=took * 0.1,
                elapsed=elapsed,
                loss=float(1.2 * np.exp(-rate * index) + 0.05),
                accuracy=min(1.0, level + 0.01),
                validation_loss=float(1.2 * np.exp(-rate * index) + 0.1),
                validation_accuracy=level,
            )
        )
    confusion = None
    if status == "succeeded" and len(classes) <= 10:
        each = data(arm).counts["test"] // len(classes)
        right = [round(each * accuracy) for _ in classes]
        confusion = [
            [right[i] if i == j else (each - right[i]) // (len(classes) - 1) for j in range(len(classes))]
            for i in range(len(classes))
        ]
    transferred = arm not in ("pretrain", "baseline")
    frozen = {"finetune": 3, "final": 4, "transfer": 4}.get(arm, 0)
    values: dict[str, Any] = {
        "arm": arm,
        "seed": seed,
        "run_id": run_id,
        "status": status,
        "reason": reason,
        "started_at": f"2026-11-25T02:{seed % 60:02d}:00Z",
        "attempts": [
            Attempt(number=1, started_at=f"2026-11-25T02:{seed % 60:02d}:00Z", epochs=epochs, ended="completed")
        ],
        "data": data(arm),
        "preset": "fast",
        "recipe": {"batch_size": 32, "optimizer": "adamw", "learning_rate": 0.003, "patience": 8, "max_epochs": 60},
        "stage": {"frozen": [f"conv2d_{i + 1}" for i in range(frozen)], "final_trainable": "last_two"},
        "environment": environment(),
        "phases": Phases(
            startup=3.6 + 0.1 * float(rng.standard_normal()),
            data=0.4,
            compile=1.1,
            train=elapsed,
            evaluate=elapsed * 0.1 + 0.3,
            checkpoint=0.2,
        ),
        "train_cpu_seconds": elapsed * 1.9,
        "stolen_share": 0.01,
        "epochs": rows,
        "stop_reason": "early_stopping" if status == "succeeded" else status,
        "initial_model": digest("finetune weights")
        if arm in ("transfer", "final")
        else digest("pretrain weights")
        if transferred
        else None,
        "final_weights": digest(f"{arm} weights" if arm in ("pretrain", "finetune") else f"{arm} {seed}"),
        "frozen": [
            FrozenLayer(layer=f"conv2d_{i + 1}", before=digest(f"c{i}"), after=digest(f"c{i}")) for i in range(frozen)
        ],
        "trainable_parameters": 264_195 if frozen == 4 else 952_931,
        "total_parameters": 952_931,
        "result": Result(
            test_accuracy=accuracy if status == "succeeded" else None,
            test_loss=0.2,
            best_validation_accuracy=best if rows else None,
            best_epoch=best_epoch if rows else None,
            confusion=confusion,
        ),
        "peak_memory_bytes": 1 << 30,
    }
    values.update(changes)
    return RunRecord(**values)


def png(seed: int, size: int = 24) -> str:
    """Base64 of a PNG of a round thing on white."""
    import base64
    import io

    from PIL import Image

    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size] - size / 2
    image = np.full((size, size, 3), 255, np.uint8)
    image[x**2 + y**2 < (size * 0.42) ** 2] = rng.integers(60, 230, 3)
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return base64.b64encode(out.getvalue()).decode()


def samples(count: int = 12) -> list[Sample]:
    rng = np.random.default_rng(7)
    made = []
    for index in range(count):
        truth = FRUIT[index % 3]
        predicted = truth if rng.random() > 0.15 else FRUIT[(index + 1) % 3]
        made.append(Sample(png=png(index), truth=truth, predicted=predicted, probability=float(rng.uniform(0.6, 1))))
    return made


def preparation(run_id: str = RUN_ID) -> list[RunRecord]:
    return [
        record("pretrain", epochs=15, seconds_per_epoch=22.0, accuracy=0.41, rate=0.2, run_id=run_id),
        record("finetune", epochs=10, seconds_per_epoch=11.0, accuracy=0.967, rate=0.5, run_id=run_id),
        record("final", epochs=25, seconds_per_epoch=0.22, accuracy=0.972, rate=0.3, run_id=run_id, samples=samples()),
    ]


def experiment(runs: int = 10, seed: int = 1, run_id: str = RUN_ID) -> list[RunRecord]:
    """A whole experiment of 3 + 2 × `runs` records, in which transfer is several times faster and more accurate."""
    rng = np.random.default_rng(seed)
    made = preparation(run_id)
    for index in range(runs):
        made.append(
            record(
                "baseline",
                index,
                epochs=int(rng.integers(19, 36)),
                seconds_per_epoch=1.52,
                accuracy=float(np.clip(0.92 + 0.009 * rng.standard_normal(), 0, 1)),
                rate=0.16,
                run_id=run_id,
            )
        )
        made.append(
            record(
                "transfer",
                index,
                epochs=int(rng.integers(16, 33)),
                seconds_per_epoch=0.22,
                accuracy=float(np.clip(0.971 + 0.004 * rng.standard_normal(), 0, 1)),
                rate=0.4,
                run_id=run_id,
            )
        )
    return made


def paper_records() -> list[RunRecord]:
    """The paper's twenty printed runs and two stages as records, an epoch of 260 s or 8 s at a time."""
    from headstart.components.reporting import paper

    def run(arm: str, seed: int, minutes: float, accuracy: float, step: float) -> RunRecord:
        count = round(minutes * 60 / step)
        return record(arm, seed, epochs=count, seconds_per_epoch=minutes * 60 / count, accuracy=accuracy, jitter=0.0)

    made = [
        run("pretrain", 0, paper.PRETRAIN_MINUTES, paper.PRETRAIN_ACCURACY, 3600),
        run("finetune", 0, paper.FINETUNE_MINUTES, paper.FINETUNE_ACCURACY, 1200),
    ]
    for seed, (minutes, accuracy) in enumerate(zip(paper.BASELINE_MINUTES, paper.BASELINE_ACCURACY, strict=True)):
        made.append(run("baseline", seed, minutes, accuracy, 260))
    for seed, (minutes, accuracy) in enumerate(zip(paper.TRANSFER_MINUTES, paper.TRANSFER_ACCURACY, strict=True)):
        made.append(run("transfer", seed, minutes, accuracy, 8))
    return made
