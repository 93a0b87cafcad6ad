"""Trains the same network on one and on two logical devices and prints what differs, as JSON; run by a test."""

import json
import sys

import numpy as np
import tensorflow as tf

processor = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)

import keras  # noqa: E402
import tiny_images  # noqa: E402

from headstart.components.training.distributed_loop import DistributedLoop  # noqa: E402
from headstart.components.training.loop import TrainingLoop  # noqa: E402
from headstart.components.training.network import build_network  # noqa: E402
from headstart.components.training.recipes import Recipe  # noqa: E402

recipe = Recipe(**json.loads(sys.argv[1]))
images, labels = tiny_images.pictures(3, 100, seed=1)
keras.utils.set_random_seed(1)
single = build_network(tiny_images.SIZE, 3, dropout=recipe.dropout)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    mirrored = build_network(tiny_images.SIZE, 3, dropout=recipe.dropout, synchronized=True)
    mirrored.set_weights(single.get_weights())
one = TrainingLoop(single, recipe, images, labels, seed=3)
two = DistributedLoop(strategy, mirrored, recipe, images, labels, seed=3)
one.warm_up()
two.warm_up()
untouched = [float(np.abs(a - b).max()) for a, b in zip(single.get_weights(), mirrored.get_weights(), strict=True)]
first = two.state()
losses = [[one.run_epoch(epoch)[0], two.run_epoch(epoch)[0]] for epoch in (1, 2)]
apart = [
    float(np.abs(a - b).max() / (np.abs(a).max() + 1e-9))
    for a, b in zip(single.get_weights(), mirrored.get_weights(), strict=True)
]
after = two.state()
moments = [name for name in after if "momentum" in name and after[name].size > 1]
slots = {name.removeprefix("optimizer/first/").replace("/", "_"): value for name, value in one.state().items()}
compared = []
for name in moments:
    match = [value for key, value in slots.items() if name.endswith(f"{key}_momentum")]
    compared += [float(np.abs(value - after[name]).max() / np.abs(value).max()) for value in match]
two.restore(first)
again = [two.run_epoch(epoch)[0] for epoch in (1, 2)]
print(
    json.dumps(
        {
            "replicas": strategy.num_replicas_in_sync,
            "untouched": max(untouched),
            "losses": losses,
            "weights": max(apart),
            "moments": compared,
            "again": again,
            "repeats": all(np.array_equal(two.state()[name], value) for name, value in after.items()),
            "evaluated": [one.evaluate(images, labels)[:2], two.evaluate(images, labels)[:2]],
        }
    )
)
