"""The machine's matrix-multiply speed, measured in the same run: what arithmetic can be had here at all."""

from __future__ import annotations

import json
import os
import time
from typing import Any

SIZE = 2048
REPEATS = 8


def gigaflops(threads: int, dtype: str) -> float:
    """Best of some products of two square matrices, in 10⁹ operations a second (a multiply and an add are two)."""
    import numpy as np
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    matrix = tf.cast(tf.constant(np.random.default_rng(0).normal(size=(SIZE, SIZE)), tf.float32), dtype)
    product = tf.function(tf.matmul)
    product(matrix, matrix)
    best = float("inf")
    for _ in range(REPEATS):
        began = time.perf_counter()
        product(matrix, matrix).numpy()
        best = min(best, time.perf_counter() - began)
    return 2 * SIZE**3 / best / 1e9


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


def main() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    cores = len(os.sched_getaffinity(0))
    found: dict[str, Any] = {dtype: gigaflops(cores, dtype) for dtype in ("float32", "bfloat16")}
    print(json.dumps({"gigaflops": found, "threads": cores}))


if __name__ == "__main__":
    main()
