"""Learning curves as TensorBoard logs, where a folder is set."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Any

import tensorflow as tf

from headstart.components.records import Epoch


class Curves:
    """Writes one scalar a curve and epoch; without a folder it does nothing."""

    def __init__(self, folder: str, name: str) -> None:
        """`folder`: local, or whatever TensorFlow's file systems reach; the run gets `folder/name`."""
        self._writer: Any = None
        self._scalar = tf.compat.v1.SummaryMetadata(plugin_data={"plugin_name": "scalars"})
        if folder:
            scheme, found, rest = folder.rpartition("://")
            self._writer = tf.summary.create_file_writer(f"{scheme}{found}{PurePosixPath(rest, name)}")

    def add(self, row: Epoch) -> None:
        """Write the curves of one epoch."""
        if self._writer is None:
            return
        curves = {
            "loss/train": row.loss,
            "loss/validation": row.validation_loss,
            "accuracy/train": row.accuracy,
            "accuracy/validation": row.validation_accuracy,
            "seconds/train": row.train_seconds,
            "seconds/evaluate": row.evaluate_seconds,
        }
        with self._writer.as_default(step=row.epoch):
            for name, value in curves.items():
                if value is not None:
                    # tf.summary.scalar does the same through the tensorboard package, which a run does not need.
                    tf.summary.write(name, tf.constant(value, tf.float32), metadata=self._scalar)
        self._writer.flush()

    def close(self) -> None:
        """Finish the log."""
        if self._writer is not None:
            self._writer.close()
