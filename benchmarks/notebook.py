"""What a competent user would write today: the whole experiment as one Keras notebook, here as a script.

    python -m benchmarks.notebook --source SOURCE --intermediate FRUITS --work FOLDER

`SOURCE` and `FRUITS` hold a training and a test folder with one folder of images per class. It follows the usual
advice: images are decoded in parallel, cached in memory as bytes, reshuffled each epoch and prefetched; early stopping
watches the validation accuracy and puts the best weights back. Each part writes FOLDER/<part>.json; with `--parts` they
can be run one at a time, as one would run cells, and go on from the models that earlier ones left in FOLDER.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import resource
import shutil
import time
from pathlib import Path
from typing import Any

BEGAN = time.perf_counter()
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras  # noqa: E402
import tensorflow as tf  # noqa: E402

IMPORT_SECONDS = time.perf_counter() - BEGAN
IMAGE_SIZE = 52
PATIENCE = 8
SPLITS = {"train": ("train", "Training", "training"), "test": ("test", "Test")}


# ---------------------------------------------------------------- data


def split_folder(root: Path, split: str) -> Path:
    for name in SPLITS[split]:
        if (root / name).is_dir():
            return root / name
    raise SystemExit(f"{root}: no folder {' or '.join(SPLITS[split])}")


def common_classes(root: Path, work: Path) -> tuple[Path, Path]:
    """Return training and test folders with the classes that have both (copies are not always whole)."""
    folders = {split: split_folder(root, split) for split in SPLITS}
    names = [{child.name for child in folder.iterdir() if child.is_dir()} for folder in folders.values()]
    for split, folder in folders.items():
        (work / split).mkdir(parents=True)
        for name in sorted(names[0] & names[1]):
            (work / split / name).symlink_to(folder.resolve() / name)
    return work / "train", work / "test"


def class_of(name: str) -> str:
    words = re.findall(r"[a-z]+", name.lower())
    if "apple" in words or "apples" in words:
        return "apple"
    return "pears" if "pear" in words or "pears" in words else "noise"


def draw(files: dict[str, list[Path]], count: int) -> list[Path]:
    """Draw files so that every variety gives about as many."""
    drawn: list[Path] = []
    turn = 0
    while len(drawn) < count and any(turn < len(paths) for paths in files.values()):
        drawn += [paths[turn] for paths in files.values() if turn < len(paths)]
        turn += 1
    return drawn[:count]


def target_folders(train: Path, test: Path, work: Path, images_per_class: int) -> dict[str, Path]:
    """Link apple, pears and noise: `images_per_class` to train on, a tenth of that to validate, the balanced test."""
    rng = random.Random(0)
    found: dict[str, dict[str, dict[str, list[Path]]]] = {}
    for split, folder in (("train", train), ("test", test)):
        groups: dict[str, dict[str, list[Path]]] = {"apple": {}, "pears": {}, "noise": {}}
        for variety in sorted(folder.iterdir()):
            paths = sorted(variety.resolve().iterdir())
            rng.shuffle(paths)
            groups[class_of(variety.name)][variety.name] = paths
        found[split] = groups
    tests = min(sum(map(len, varieties.values())) for varieties in found["test"].values())
    held_back = max(1, round(0.1 * images_per_class))
    for name in ("apple", "pears", "noise"):
        paths = draw(found["train"][name], images_per_class + held_back)
        rng.shuffle(paths)
        cut = max(1, len(paths) * held_back // (images_per_class + held_back))
        parts = {"validation": paths[:cut], "train": paths[cut:], "test": draw(found["test"][name], tests)}
        for split, chosen in parts.items():
            (work / split / name).mkdir(parents=True)
            for number, path in enumerate(chosen):
                (work / split / name / f"{number:05d}{path.suffix}").symlink_to(path)
    return {split: work / split for split in ("train", "validation", "test")}


def from_folder(folder: Path, **options: Any) -> Any:
    return keras.utils.image_dataset_from_directory(
        folder, image_size=(IMAGE_SIZE, IMAGE_SIZE), batch_size=None, verbose=False, **options
    )


def in_memory(dataset: Any) -> Any:
    """Decode once and keep the images as bytes: a quarter of what float32 takes."""
    parallel = tf.data.AUTOTUNE
    return dataset.map(lambda image, label: (tf.cast(image, tf.uint8), label), num_parallel_calls=parallel).cache()


def for_training(dataset: Any, batch_size: int) -> Any:
    shuffled = in_memory(dataset).shuffle(int(dataset.cardinality()), reshuffle_each_iteration=True)
    return shuffled.batch(batch_size).prefetch(tf.data.AUTOTUNE)


def for_evaluation(dataset: Any, batch_size: int = 512) -> Any:
    return in_memory(dataset).batch(batch_size).prefetch(tf.data.AUTOTUNE)


# ---------------------------------------------------------------- model


def build_model(classes: int) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((IMAGE_SIZE, IMAGE_SIZE, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(16, 5, activation="relu", name="conv2d_1"),
            layers.BatchNormalization(name="batch_normalization_1"),
            layers.MaxPooling2D(),
            layers.Conv2D(32, 3, activation="relu", name="conv2d_2"),
            layers.BatchNormalization(name="batch_normalization_2"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 3, activation="relu", name="conv2d_3"),
            layers.Conv2D(128, 3, activation="relu", name="conv2d_4"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(512, activation="relu", name="dense_1"),
            layers.Dropout(0.5),
            layers.Dense(512, activation="relu", name="dense_2"),
            layers.Dropout(0.5),
            layers.Dense(classes, activation="softmax", name="dense_3"),
        ]
    )


def from_saved(path: Path, classes: int, frozen: tuple[str, ...]) -> Any:
    """Take over all but the last layer from a saved model and freeze the named layers."""
    model = build_model(classes)
    for old, new in zip(keras.models.load_model(path).layers[:-1], model.layers[:-1], strict=True):
        new.set_weights(old.get_weights())
    for name in frozen:
        model.get_layer(name).trainable = False
    return model


THREE_CONVOLUTIONS = ("conv2d_1", "batch_normalization_1", "conv2d_2", "batch_normalization_2", "conv2d_3")
ALL_BUT_THE_LAST_TWO = (*THREE_CONVOLUTIONS, "conv2d_4", "dense_1")


# ---------------------------------------------------------------- training


class Stopwatch(keras.callbacks.Callback):
    """One row per epoch: seconds of training and of validation, processor seconds, accuracies."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[dict[str, float]] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.wall, self.cpu = time.perf_counter(), time.process_time()

    def on_test_begin(self, logs: Any = None) -> None:
        self.trained = time.perf_counter()
        self.trained_cpu = time.process_time()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        now = time.perf_counter()
        before = self.rows[-1] if self.rows else {"elapsed": 0.0, "elapsed_cpu": 0.0}
        row = {
            "epoch": epoch + 1,
            "train_seconds": self.trained - self.wall,
            "train_cpu_seconds": self.trained_cpu - self.cpu,
            "validation_seconds": now - self.trained,
            "loss": float(logs["loss"]),
            "accuracy": float(logs["accuracy"]),
            "validation_accuracy": float(logs["val_accuracy"]),
        }
        row["elapsed"] = before["elapsed"] + row["train_seconds"]
        row["elapsed_cpu"] = before["elapsed_cpu"] + row["train_cpu_seconds"]
        self.rows.append(row)


def train(model: Any, training: Any, validation: Any, test: Any, epochs: int) -> dict[str, Any]:
    model.compile(keras.optimizers.Adam(1e-3), "sparse_categorical_crossentropy", metrics=["accuracy"])
    stopwatch = Stopwatch()
    stop = keras.callbacks.EarlyStopping(
        "val_accuracy", mode="max", patience=PATIENCE, restore_best_weights=True, verbose=0
    )
    wall, cpu = time.perf_counter(), time.process_time()
    model.fit(training, validation_data=validation, epochs=epochs, callbacks=[stop, stopwatch], verbose=0)
    fitted, fitted_cpu = time.perf_counter() - wall, time.process_time() - cpu
    wall = time.perf_counter()
    accuracy = float(model.evaluate(test, verbose=0)[1])
    return {
        "fit_seconds": fitted,
        "fit_cpu_seconds": fitted_cpu,
        "train_seconds": stopwatch.rows[-1]["elapsed"],
        "train_cpu_seconds": stopwatch.rows[-1]["elapsed_cpu"],
        "evaluate_seconds": time.perf_counter() - wall,
        "test_accuracy": accuracy,
        "best_validation_accuracy": max(row["validation_accuracy"] for row in stopwatch.rows),
        "epochs": stopwatch.rows,
    }


# ---------------------------------------------------------------- the cells


def large_sets(root: Path, work: Path, batch_size: int) -> tuple[Any, Any, Any, int]:
    train_folder, test_folder = common_classes(root, work)
    training, validation = from_folder(train_folder, validation_split=0.1, subset="both", seed=0)
    classes = len(training.class_names)
    test = for_evaluation(from_folder(test_folder, shuffle=False))
    return for_training(training, batch_size), for_evaluation(validation), test, classes


def pretrain(options: argparse.Namespace, work: Path) -> list[dict[str, Any]]:
    keras.utils.set_random_seed(0)
    training, validation, test, classes = large_sets(options.source, work / "links-pretrain", options.batch_size)
    model = build_model(classes)
    result = train(model, training, validation, test, options.epochs)
    model.save(work / "pretrained.keras")
    return [{"arm": "pretrain", "seed": 0, **result}]


def finetune(options: argparse.Namespace, work: Path) -> list[dict[str, Any]]:
    keras.utils.set_random_seed(0)
    training, validation, test, classes = large_sets(options.intermediate, work / "links-finetune", options.batch_size)
    model = from_saved(work / "pretrained.keras", classes, THREE_CONVOLUTIONS)
    result = train(model, training, validation, test, options.epochs)
    model.save(work / "finetuned.keras")
    return [{"arm": "finetune", "seed": 0, **result}]


def runs(options: argparse.Namespace, work: Path) -> list[dict[str, Any]]:
    folders = target_folders(
        *common_classes(options.intermediate, work / "links-common"), work / "links-target", options.images_per_class
    )
    training = for_training(from_folder(folders["train"]), options.target_batch_size)
    validation, test = (for_evaluation(from_folder(folders[name], shuffle=False)) for name in ("validation", "test"))
    results: list[dict[str, Any]] = []
    for seed in options.seeds:
        for arm in ("baseline", "transfer"):
            began, cpu = time.perf_counter(), time.process_time()
            keras.utils.set_random_seed(seed)
            model = build_model(3)
            if arm == "transfer":
                model = from_saved(work / "finetuned.keras", 3, ALL_BUT_THE_LAST_TWO)
            result = train(model, training, validation, test, options.target_epochs)
            spent = {"seconds": time.perf_counter() - began, "cpu_seconds": time.process_time() - cpu}
            results.append({"arm": arm, "seed": seed, **spent, **result})
    return results


PARTS = {"pretrain": pretrain, "finetune": finetune, "runs": runs}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", type=Path, required=True, help="folder of the source set (CIFAR-100)")
    parser.add_argument("--intermediate", type=Path, required=True, help="folder of the intermediate set (Fruits-360)")
    parser.add_argument("--work", type=Path, required=True, help="folder for results and models")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=list(PARTS))
    parser.add_argument("--name", help="name of the result file where one part is run")
    parser.add_argument("--seeds", type=int, nargs="+", default=list(range(1, 11)))
    parser.add_argument("--epochs", type=int, default=100, help="the most, stages 1 and 2")
    parser.add_argument("--target-epochs", type=int, default=100, help="the most, baseline and transfer")
    parser.add_argument("--batch-size", type=int, default=128, help="stages 1 and 2")
    parser.add_argument("--target-batch-size", type=int, default=32)
    parser.add_argument("--images-per-class", type=int, default=400)
    return parser.parse_args()


def main() -> None:
    options = parse()
    for part in options.parts:
        for stale in ("links-pretrain", "links-finetune", "links-common", "links-target"):
            shutil.rmtree(options.work / stale, ignore_errors=True)
        options.work.mkdir(parents=True, exist_ok=True)
        wall, cpu = time.perf_counter(), time.process_time()
        results = PARTS[part](options, options.work)
        content = {
            "part": part,
            "import_seconds": IMPORT_SECONDS,
            "seconds": time.perf_counter() - wall,
            "cpu_seconds": time.process_time() - cpu,
            "peak_memory_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
            "runs": results,
        }
        file = options.work / f"{options.name or part}.json"
        file.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        for run in results:
            print(
                f"{run['arm']} {run['seed']}: {len(run['epochs'])} epochs, {run['fit_seconds']:.1f} s, "
                f"test accuracy {run['test_accuracy']:.4f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
