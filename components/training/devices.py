"""The devices of a run: the processor, one accelerator, or several in step through `tf.distribute`."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import tensorflow as tf

from headstart.components.machine import processor


class Devices:
    """Chooses where variables live; `strategy` is None on one device."""

    def __init__(self, accelerators: int) -> None:
        """`accelerators`: how many the run was given; that TensorFlow sees as many has been checked."""
        self.accelerators = accelerators
        self._gpus = tf.config.list_logical_devices("GPU")[:accelerators] if accelerators else []
        names = [device.name for device in self._gpus]
        self.strategy = tf.distribute.MirroredStrategy(names) if len(names) > 1 else None

    def scope(self) -> AbstractContextManager[Any]:
        """Where variables must be made."""
        if self.strategy is None:
            return nullcontext()
        scope: AbstractContextManager[Any] = self.strategy.scope()
        return scope

    def facts(self) -> dict[str, Any]:
        """Kind, name and number of the devices, for the record."""
        if not self._gpus:
            return {"device_kind": "cpu", "device_name": processor(), "device_count": 1}
        details = tf.config.experimental.get_device_details(tf.config.list_physical_devices("GPU")[0])
        name = details.get("device_name", self._gpus[0].name)
        return {"device_kind": "gpu", "device_name": name, "device_count": len(self._gpus)}
