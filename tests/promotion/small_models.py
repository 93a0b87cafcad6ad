"""Real Keras models that need no training: they compare an image's mean colour with the classes' colours."""

from pathlib import Path

import keras
import numpy as np
from small_data import COLOURS

from headstart.components.records import Result, RunRecord
from headstart.components.training.export import save_model


def trained(
    place: Path,
    seed: int,
    classes: tuple[str, ...] = ("apple", "pears", "noise"),
    validation: float = 0.9,
    blind_to: str = "",
    size: int = 52,
) -> tuple[Path, Path]:
    """Write model folder and record of a run; `blind_to` is a class that the model never answers."""
    colours = np.array([COLOURS[name] for name in classes], np.float32)
    model = keras.Sequential(
        [
            keras.Input((size, size, 3)),
            keras.layers.GlobalAveragePooling2D(),
            keras.layers.Dense(len(classes), activation="softmax", name="dense_3"),
        ]
    )
    # ‖x − c‖² is least where x·c − ‖c‖²/2 is greatest; the scale keeps softmax from saturating.
    bias = -(colours**2).sum(axis=1) / 2
    if blind_to:
        bias[classes.index(blind_to)] -= 1e6
    model.get_layer("dense_3").set_weights([colours.T / 1000, bias / 1000])
    folder = place / f"model-{seed}"
    weights = save_model(model, folder, {"classes": list(classes), "image_size": size, "seed": seed})
    record = RunRecord(
        arm="final",
        seed=seed,
        run_id="run",
        status="succeeded",
        final_weights=weights,
        result=Result(best_validation_accuracy=validation, test_accuracy=0.5),
    )
    record.write(place / f"record-{seed}.json")
    return folder, place / f"record-{seed}.json"


def failed(place: Path, seed: int) -> tuple[Path, Path]:
    """What a run leaves whose process was killed."""
    (place / f"model-{seed}").mkdir(parents=True)
    record = RunRecord(arm="final", seed=seed, run_id="run", status="failed", reason="killed by signal 9 (SIGKILL)")
    record.write(place / f"record-{seed}.json")
    return place / f"model-{seed}", place / f"record-{seed}.json"
