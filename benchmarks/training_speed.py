"""Training beside `model.fit`, in turn in one process: `make bench ARGS='--only training'`.

- *Throughput*: epochs of the whole network on images in memory, at batch 32, 128 and 512.
- *Baseline run*: epochs of 1,200 images at batch 32 with 120 validation images after each, on both sides.
- *Transfer run*: the same, where all but the last two layers are frozen on both sides. `model.fit` calls the frozen
  layers for every image of every epoch; ours computes them once, and that pass is in our time.

Both sides have the same network, weights, batch size, images and number of epochs, and have traced and run everything
once before the clock starts. The images are random bytes: what an epoch costs does not depend on what is in them.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from typing import Any

from benchmarks import results
from benchmarks.throughput import CLASSES, IMAGE_SIZE, drawn
from benchmarks.timing import answer, others_share
from headstart.components.training.clock import machine_busy_seconds

TARGET_CLASSES, TARGET_IMAGES, VALIDATION_IMAGES = 3, 1200, 120
RUN_EPOCHS = 20
BATCHES = (32, 128, 512)
PRECISIONS = ("float32", "bfloat16")
SIDE, PRODUCTS = 2048, 8
"""Of the matrices whose product measures the machine's speed, and how often they are multiplied."""
Side = Callable[[], float]


def network(classes: int, frozen: tuple[str, ...] = ()) -> Any:
    """The paper's network with dropout 0.5 and `frozen` layers."""
    import keras

    from headstart.components.training.freezing import freeze
    from headstart.components.training.networks.paper import build_network

    keras.utils.set_random_seed(1)
    model = build_network(IMAGE_SIZE, classes, dropout=0.5)
    freeze(model, frozen)
    return model


def by_fit(model: Any, batch: int, train: tuple[Any, Any], validation: tuple[Any, Any] | None, epochs: int) -> Side:
    """Return what trains with `model.fit` and tells the seconds; it has run once."""
    import keras

    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])

    def side() -> float:
        began = time.perf_counter()
        model.fit(*train, batch_size=batch, epochs=epochs, validation_data=validation, verbose=0)
        return time.perf_counter() - began

    model.fit(*train, batch_size=batch, epochs=1, validation_data=validation, verbose=0)
    return side


def by_loop(
    model: Any, batch: int, train: tuple[Any, Any], validation: tuple[Any, Any] | None, epochs: int, precision: str
) -> Side:
    """Return what trains with the loop of `headstart.components.training` and tells the seconds; it has run once."""
    from headstart.components.training.features import Backbone, frozen_depth, head_of
    from headstart.components.training.loop import TrainingLoop
    from headstart.components.training.recipes import Recipe

    # Keras evaluates with the moving averages too.
    given = {"batch_size": batch, "dropout": 0.5, "epochs": epochs, "precision": precision}
    recipe = Recipe.model_validate(given | {"batch_norm_statistics": "moving"})
    length = frozen_depth(model, recipe)
    prefix = Backbone(model, length, recipe) if length else None
    trained = head_of(model, length) if length else model
    if prefix:
        prefix.warm_up(train[0])
    shaped = prefix.features(train[0], training=True) if prefix else train[0]
    warm = TrainingLoop(trained, recipe, shaped, train[1], seed=1)
    warm.warm_up()
    start = warm.state()

    def side() -> float:
        warm.restore(start)
        began = time.perf_counter()
        if prefix:
            prefix.features(train[0], training=True)
        held = validation
        if prefix and validation:
            held = prefix.features(validation[0]), validation[1]
        for epoch in range(1, epochs + 1):
            warm.run_epoch(epoch)
            if held:
                warm.evaluate(*held)
        return time.perf_counter() - began

    side()
    return side


def in_turn(sides: dict[str, Side], repeats: int) -> dict[str, list[float]]:
    """Seconds of each side, repeat after repeat, the sides in turn so that a busy machine slows them alike."""
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, side in sides.items():
            seconds[name].append(side())
    return seconds


def throughput(batch: int, repeats: int) -> dict[str, list[float]]:
    """Images a second of each side at one batch size."""
    count = max(2048, 8 * batch)
    train = drawn(count)
    sides = {"fit": by_fit(network(CLASSES), batch, train, None, 1)}
    sides |= {name: by_loop(network(CLASSES), batch, train, None, 1, name) for name in PRECISIONS}
    return {name: [count / value for value in values] for name, values in in_turn(sides, repeats).items()}


def runs(arm: str, repeats: int) -> dict[str, list[float]]:
    """Seconds of a run of `baseline` or `transfer`, on each side."""
    from headstart.components.training.stage_settings import StageSettings

    frozen = StageSettings().frozen_layers(arm)
    given = 32, drawn(TARGET_IMAGES, TARGET_CLASSES), drawn(VALIDATION_IMAGES, TARGET_CLASSES), RUN_EPOCHS
    sides = {"fit": by_fit(network(TARGET_CLASSES, frozen), *given)}
    sides |= {name: by_loop(network(TARGET_CLASSES, frozen), *given, name) for name in PRECISIONS}
    return in_turn(sides, repeats)


def gigaflops(dtype: str) -> float:
    """Best of some products of two square matrices, in 10⁹ operations a second (a multiply and an add are two)."""
    import numpy as np
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(len(os.sched_getaffinity(0)))
    tf.config.threading.set_inter_op_parallelism_threads(1)
    matrix = tf.cast(tf.constant(np.random.default_rng(0).normal(size=(SIDE, SIDE)), tf.float32), dtype)
    product = tf.function(tf.matmul)
    product(matrix, matrix)
    best = float("inf")
    for _ in range(PRODUCTS):
        began = time.perf_counter()
        product(matrix, matrix).numpy()
        best = min(best, time.perf_counter() - began)
    return 2 * SIDE**3 / best / 1e9


def network_operations(image_size: int, classes: int) -> int:
    """Operations of a forward pass of one image through the paper's network, convolutions and dense layers.

    A training step takes three times as many: the pass back has one product for the inputs and one for the weights.
    """
    total, size, channels = 0, image_size, 3
    for kernel, filters, pool in ((5, 16, True), (3, 32, True), (3, 64, False), (3, 128, True)):
        size = size - kernel + 1
        total += 2 * size * size * filters * kernel * kernel * channels
        size, channels = (size // 2 if pool else size), filters
    flat = size * size * channels
    return total + 2 * (flat * 512 + 512 * 512 + 512 * classes)


def worker(what: str, repeats: int) -> dict[str, Any]:
    """Measure one thing in this process; for `throughput-BATCH` images a second, `machine` GFLOP/s, else seconds."""
    if what == "machine":
        return {dtype: gigaflops(dtype) for dtype in PRECISIONS}
    from headstart.components.training.environment import prepare_tensorflow

    prepare_tensorflow(len(os.sched_getaffinity(0)), 0)
    busy, began, processor = machine_busy_seconds(), time.perf_counter(), time.process_time()
    name, _, batch = what.partition("-")
    found = throughput(int(batch), repeats) if name == "throughput" else runs(name, repeats)
    others = others_share(busy, time.perf_counter() - began, time.process_time() - processor)
    return {"found": found, "others": others}


def measure(repeats: int) -> list[results.Entry]:
    """Measure everything and return the rows of the table."""
    speed = answer("benchmarks.training_speed", "machine", 1)
    operations = 3 * network_operations(IMAGE_SIZE, CLASSES)
    rows: list[results.Entry] = []

    def add(what: str, title: str, targets: dict[str, str], unit: str) -> None:
        measured = answer("benchmarks.training_speed", what, repeats)
        for precision in PRECISIONS:
            ours = measured["found"][precision]
            note = ""
            if unit == "images/s":
                share = sorted(ours)[len(ours) // 2] * operations / 1e9 / speed[precision]
                note = f"{share:.0%} of the machine's {speed[precision]:.0f} GFLOP/s"
            rows.append(
                results.Entry(
                    key=f"training/{what}/{precision}",
                    section="training",
                    what=f"{title}, {precision}",
                    unit=unit,
                    ours=ours,
                    peer=measured["found"]["fit"],
                    faster_is="more" if unit == "images/s" else "less",
                    against="model.fit",
                    target=targets.get(precision, ""),
                    on="random bytes",
                    note=note,
                    others=measured["others"],
                )
            )

    for batch in BATCHES:
        targets = {"float32": ">= 1.15"} if batch == 128 else {}
        add(f"throughput-{batch}", f"the whole network at batch {batch}", targets, "images/s")
    images = f"{TARGET_IMAGES:,} images, batch 32, {RUN_EPOCHS} epochs with validation"
    add("baseline", f"a baseline run: {images}", {"float32": ">= 1.5"}, "s")
    add("transfer", f"a transfer run: {images}", {"float32": ">= 10"}, "s")
    return rows


if __name__ == "__main__":
    print(json.dumps(worker(sys.argv[1], int(sys.argv[2]))))
