"""Trains with and without XLA, on resident and on streamed images, and prints the losses as JSON; run by a test."""

import json

import keras
import tiny_images

from headstart.components.training import inputs
from headstart.components.training.loop import TrainingLoop
from headstart.components.training.networks.paper import build_network
from headstart.components.training.recipes import Recipe

images, labels = tiny_images.pictures(3, 100, seed=1)
# Two steps at a time are streamed, so that the last chunk is half full. In the last epoch, the first block is still.
inputs.CHUNK_BYTES = 2 * 20 * images[0].nbytes
losses = {}
for compiled in ("on", "off"):
    for streamed in (False, True):
        recipe = Recipe(batch_size=20, epochs=3, first_block_share=0.5, jit_compile=compiled)
        keras.utils.set_random_seed(1)
        model = build_network(tiny_images.SIZE, 3)
        loop = TrainingLoop(model, recipe, images, labels, seed=3, resident_bytes=0 if streamed else 1e9)
        loop.warm_up()
        losses[f"{compiled} {streamed}"] = [loop.run_epoch(epoch)[0] for epoch in (1, 2, 3)]
        assert loop.streams == streamed
# Nothing that is random, or that another optimizer does, is a constant to XLA either.
recipe = Recipe(
    batch_size=20, epochs=3, optimizer="muon", schedule="one_cycle", precision="bfloat16", dropout=0.3, flip=True,
    shift=2, weight_decay=0.02, jit_compile="on",
)  # fmt: skip
loop = TrainingLoop(build_network(tiny_images.SIZE, 3, dropout=0.3), recipe, images, labels, seed=3)
loop.warm_up()
losses["random"] = [loop.run_epoch(epoch)[0] for epoch in (1, 2, 3)]
print(json.dumps(losses))
