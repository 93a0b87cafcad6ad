"""Run records made by a seeded generator, shaped as training writes them, and the paper's own runs as records."""

from __future__ import annotations

from typing import Any, get_args

import numpy as np

from headstart.components.records import (
    Ancestor,
    Attempt,
    Data,
    Environment,
    Epoch,
    FrozenLayer,
    Phases,
    Result,
    RunRecord,
    Sample,
    SeenBefore,
)
from headstart.components.stages import STAGES, chain
from headstart.components.training.stage_settings import Freezable, StageSettings

RUN_ID = "run-5f2a"
FRUIT = ["apple", "pears", "noise"]
PATIENCE = 8
LAYERS = get_args(Freezable)


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
    """One run whose validation accuracy rises towards `accuracy` and whose epochs take `seconds_per_epoch`.

    It is as consistent as a measured one: accuracies are whole numbers of images, and an arm ends by its stop rule.
    """
    rng = np.random.default_rng([seed, len(arm), ord(arm[0])])
    of, stage = data(arm), STAGES[arm]
    counts, classes = of.counts, of.classes
    patience = PATIENCE if stage.recipe == "target" and epochs > PATIENCE else 0
    curve = _validation(rng, epochs, accuracy, rate, len(classes), counts["validation"], epochs - patience)
    trained = counts["train"] // 32 * 32
    rows, elapsed, best_epoch = [], 0.0, 1
    for index, right in enumerate(curve, 1):
        took = float(seconds_per_epoch * (1 + jitter * rng.standard_normal() * 0.5))
        elapsed += took
        level = right / counts["validation"]
        if right > curve[best_epoch - 1]:
            best_epoch = index
        rows.append(
            Epoch(
                epoch=index,
                train_seconds=took,
                cpu_seconds=took * 1.9,
                evaluate_seconds=took * 0.1,
                elapsed=elapsed,
                loss=float((1.2 * np.exp(-rate * index) + 0.05) * (1 + 0.01 * rng.random())),
                accuracy=round(min(0.985, level + 0.01) * trained) / trained,
                validation_loss=float((1 - level) * 1.5 + 0.1 + 0.01 * rng.random()),
                validation_accuracy=level,
            )
        )
    each = counts["test"] // len(classes)
    right_of = [round(each * accuracy) for _ in classes]
    confusion = None
    if status == "succeeded" and len(classes) <= 10:
        confusion = [_spread(each, right_of[i], i, len(classes)) for i in range(len(classes))]
    by_rule = {"nothing": (), "early": LAYERS[:5], "backbone": LAYERS[:7], "all_but_head": LAYERS}
    frozen = by_rule.get(stage.frozen) or StageSettings().frozen_layers(arm)
    ancestors = [
        Ancestor(stage=name, seed=0, weights=digest(f"{name} weights"), data=data(name).digest) for name in chain(arm)
    ]
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
        "data": of,
        "preset": "fast",
        "recipe": {
            "optimizer": "adamw",
            "learning_rate": 0.003 * stage.learning_rate,
            "batch_size": 32,
            "epochs": 60 if stage.recipe == "target" else epochs,
            "patience": PATIENCE if stage.recipe == "target" else 0,
        },
        "stage": {"first_stride": 0, "final_trainable": "last_two", "frozen": list(frozen)},
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
        "stop_reason": ("early_stopping" if patience else "max_epochs") if status == "succeeded" else status,
        "started_from": ancestors,
        "seen_before": SeenBefore(class_images=1600, training_images=1080, test_images=0) if ancestors else None,
        "initial_model": ancestors[-1].weights if ancestors else None,
        "initial_weights": digest(f"start of {stage.data} {seed}") if ancestors else None,
        "final_weights": digest(f"{arm} weights" if stage.role == "preparation" else f"{arm} {seed}"),
        "frozen": [
            FrozenLayer(
                layer=name,
                before=digest(f"c{name}{seed * (not ancestors)}"),
                after=digest(f"c{name}{seed * (not ancestors)}"),
            )
            for name in frozen
        ],
        "trainable_parameters": 264_195 if len(frozen) > 5 else 952_931 - 9_000 * len(frozen) * stage.is_arm,
        "total_parameters": 952_931,
        "result": Result(
            test_accuracy=sum(right_of) / counts["test"] if status == "succeeded" else None,
            test_loss=(1 - accuracy) * 1.5 + 0.1,
            best_validation_accuracy=rows[best_epoch - 1].validation_accuracy if rows else None,
            best_epoch=best_epoch if rows else None,
            confusion=confusion,
        ),
        "peak_memory_bytes": 1 << 30,
    }
    values.update(changes)
    return RunRecord(**values)


def _validation(
    rng: np.random.Generator, epochs: int, accuracy: float, rate: float, classes: int, images: int, best: int
) -> list[int]:
    """Right answers after each epoch: never `PATIENCE` epochs without a better one before epoch `best`, none after."""
    made: list[int] = []
    top = round(accuracy * images)
    for index in range(1, epochs + 1):
        level = accuracy * (1 - (1 - 1 / classes) * np.exp(-rate * index)) + 0.004 * rng.standard_normal()
        # There must be something left to improve by.
        right = int(np.clip(round(level * images), 0, top - max(0, -(-(best - index) // 4))))
        if index <= best and (best - index) % 4 == 0:
            right = max([right, *(value + 1 for value in made)])
        made.append(right if index <= best else min(right, max(made)))
    return made


def _spread(each: int, right: int, own: int, classes: int) -> list[int]:
    """A row of a confusion matrix: `right` of `each`, the wrong answers spread over the other classes."""
    wrong, row = each - right, []
    for column in range(classes):
        left = classes - 1 - len([None for other in range(column) if other != own])
        row.append(right if column == own else round(wrong / left))
        wrong -= 0 if column == own else row[-1]
    return row


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
        for arm, least, seconds, level, spread, rate in (
            ("baseline", 19, 1.52, 0.92, 0.009, 0.16),
            ("transfer", 16, 0.22, 0.971, 0.004, 0.4),
        ):
            epochs = int(rng.integers(least, least + 17))
            accuracy = float(np.clip(level + spread * rng.standard_normal(), 0, 1))
            made.append(
                record(
                    arm, index, epochs=epochs, seconds_per_epoch=seconds, accuracy=accuracy, rate=rate, run_id=run_id
                )
            )
    return made


def paper_records() -> list[RunRecord]:
    """The paper's twenty printed runs and two stages as records, an epoch of 260 s or 8 s at a time."""
    from headstart.components.reporting import paper

    def run(arm: str, seed: int, minutes: float, accuracy: float, step: float) -> RunRecord:
        count = round(minutes * 60 / step)
        made = record(arm, seed, epochs=count, seconds_per_epoch=minutes * 60 / count, accuracy=accuracy, jitter=0.0)
        # As printed: the paper's sets were of other sizes.
        return made.model_copy(update={"result": Result(test_accuracy=accuracy)})

    made = [
        run("pretrain", 0, paper.PRETRAIN_MINUTES, paper.PRETRAIN_ACCURACY, 3600),
        run("finetune", 0, paper.FINETUNE_MINUTES, paper.FINETUNE_ACCURACY, 1200),
    ]
    for arm, step, minutes, accuracies in (
        ("baseline", 260, paper.BASELINE_MINUTES, paper.BASELINE_ACCURACY),
        ("transfer", 8, paper.TRANSFER_MINUTES, paper.TRANSFER_ACCURACY),
    ):
        made += [run(arm, seed, *figures, step) for seed, figures in enumerate(zip(minutes, accuracies, strict=True))]
    return made
