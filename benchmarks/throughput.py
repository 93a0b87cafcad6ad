"""Training throughput of the whole network on one side: `python -m benchmarks.throughput SIDE --batch 128`.

Random images of 52 × 52 in memory as bytes, 100 classes; warmed up, then epochs timed one by one. The sides: `ours` is
the training loop of `components`, `notebook` is `model.fit` on a cached, shuffled, prefetched tf.data pipeline, `torch`
is PyTorch with channels-last memory and torch.compile. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from typing import Any

from headstart.components.machine import peak_memory_bytes

IMAGE_SIZE, CLASSES = 52, 100


def drawn(count: int, classes: int = CLASSES) -> tuple[Any, Any]:
    """Random images (uint8) and labels (int32)."""
    import numpy as np

    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    return images, rng.integers(0, classes, count).astype(np.int32)


def ours(batch: int, images: Any, labels: Any, gpu: bool, recipe: dict[str, Any]) -> Callable[[int], Any]:
    from headstart.components.training.environment import prepare_tensorflow

    prepare_tensorflow(len(os.sched_getaffinity(0)), int(gpu))
    from headstart.components.training.loop import Devices, TrainingLoop
    from headstart.components.training.networks.paper import build_network
    from headstart.components.training.recipes import Recipe

    settings = Recipe(batch_size=batch, dropout=0.5, epochs=1000, **recipe)
    devices = Devices(int(gpu))
    with devices.strategy.scope():
        model = build_network(IMAGE_SIZE, CLASSES, dropout=0.5)
    loop = TrainingLoop(model, settings, images, labels, seed=1, strategy=devices.strategy)
    loop.warm_up()
    return loop.run_epoch


def notebook(batch: int, images: Any, labels: Any) -> Callable[[int], Any]:
    import keras
    import tensorflow as tf

    from benchmarks.notebook import build_model, for_training

    model = build_model(CLASSES)
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    with tf.device("CPU"):
        dataset = for_training(tf.data.Dataset.from_tensor_slices((images, labels)), batch)
    return lambda epoch: model.fit(dataset, epochs=1, verbose=0)


def torch(batch: int, images: Any, labels: Any, gpu: bool) -> Callable[[int], Any]:
    import torch as pytorch
    from torch import nn

    device = pytorch.device("cuda" if gpu else "cpu")
    model = nn.Sequential(
        *(nn.Conv2d(3, 16, 5), nn.ReLU(), nn.BatchNorm2d(16, momentum=0.01, eps=1e-3), nn.MaxPool2d(2)),
        *(nn.Conv2d(16, 32, 3), nn.ReLU(), nn.BatchNorm2d(32, momentum=0.01, eps=1e-3), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3), nn.ReLU(), nn.Conv2d(64, 128, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(1152, 512), nn.ReLU(), nn.Dropout(0.5), nn.Linear(512, 512), nn.ReLU(), nn.Dropout(0.5)),
        nn.Linear(512, CLASSES),
    )
    model = model.to(device, memory_format=pytorch.channels_last)
    optimizer = pytorch.optim.Adam(model.parameters(), 1e-3, eps=1e-7, foreach=True)
    pixels = pytorch.from_numpy(images).to(device).permute(0, 3, 1, 2)
    targets = pytorch.from_numpy(labels).long().to(device)
    loss_of = nn.CrossEntropyLoss()

    @pytorch.compile
    def forward_loss(given: Any, wanted: Any) -> Any:
        return loss_of(model(given.float() / 255), wanted)

    def epoch(_: int) -> None:
        order = pytorch.randperm(len(targets), device=device)
        for start in range(0, len(order) - batch + 1, batch):
            chosen = order[start : start + batch]
            optimizer.zero_grad(set_to_none=True)
            loss = forward_loss(pixels[chosen], targets[chosen])
            loss.backward()
            optimizer.step()
        loss.item()

    return epoch


def main() -> None:
    started = time.perf_counter()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("side", choices=["ours", "notebook", "torch"])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--images", type=int, default=0, help="0: enough for sixteen batches, at least 2,048")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--gpu", action="store_true")
    parser.add_argument("--recipe", type=json.loads, default={}, help="settings of ours as JSON")
    options = parser.parse_args()
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if not options.gpu:
        os.environ["CUDA_VISIBLE_DEVICES"] = "-1"
    count = options.images or max(2048, 16 * options.batch)
    given = options.batch, *drawn(count)
    if options.side == "ours":
        epoch = ours(*given, options.gpu, options.recipe)
    elif options.side == "notebook":
        epoch = notebook(*given)
    else:
        epoch = torch(*given, options.gpu)
    epoch(1)
    wall, cpu = [], []
    for number in range(options.epochs):
        began, processor = time.perf_counter(), time.process_time()
        epoch(number + 2)
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - processor)
    trained = count // options.batch * options.batch if options.side != "notebook" else count
    found = {
        "wall": time.perf_counter() - started,
        "cpu": time.process_time(),
        "images_per_second": [trained / seconds for seconds in wall],
        "images_per_processor_second": [trained / seconds for seconds in cpu],
        "peak_memory_bytes": peak_memory_bytes(),
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main()
