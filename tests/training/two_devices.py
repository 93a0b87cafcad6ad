"""Trains the same network on one and on two logical devices and prints what differs, as JSON; run by a test."""

import json
import sys

import numpy as np
import tensorflow as tf

processor = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(processor, [tf.config.LogicalDeviceConfiguration()] * 2)

import keras  # noqa: E402
import tiny_images  # noqa: E402

from headstart.components.training.loop import TrainingLoop  # noqa: E402
from headstart.components.training.networks.paper import build_network  # noqa: E402
from headstart.components.training.recipes import Recipe  # noqa: E402

recipe = Recipe(**json.loads(sys.argv[1]))
images, labels = tiny_images.pictures(3, 100, seed=1)
keras.utils.set_random_seed(1)
single = build_network(tiny_images.SIZE, 3, dropout=recipe.dropout)
strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
with strategy.scope():
    mirrored = build_network(tiny_images.SIZE, 3, dropout=recipe.dropout)
    mirrored.set_weights(single.get_weights())
one = TrainingLoop(single, recipe, images, labels, seed=3)
two = TrainingLoop(mirrored, recipe, images, labels, seed=3, strategy=strategy)
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
slots = list(one.state().items())
compared = [
    float(np.abs(value - other).max() / np.abs(value).max())
    for (name, value), other in zip(slots, after.values(), strict=True)
    if name.startswith("optimizer") and "momentum" in name
]
two.restore(first)
again = [two.run_epoch(epoch)[0] for epoch in (1, 2)]
wide = recipe.model_copy(update={"batch_size": 64})
odd = TrainingLoop(mirrored, wide, images[:33], labels[:33], seed=3, strategy=strategy).batch_size
print(
    json.dumps(
        {
            "odd": odd,
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
