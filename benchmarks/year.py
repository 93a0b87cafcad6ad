"""A year of nightly retrainings on real images, decided by the code that decides in production.

`python -m benchmarks.year FOLDER` takes Fruits-360 (folders Training and Test), retrains on 365 nights, which takes
about a quarter of an hour on one core, and replaces the table between the markers in docs/retraining.md and the picture
docs/images/year.svg; `--nights 20` is shorter and only prints.

Import, selection of classes, check of the data, comparison, evidence, store, export and retention are the product's.
Only the network is small, so that a year is affordable: one frozen convolution, whose features are computed once, and a
softmax layer that is trained in a fraction of a second, saved as the Keras model that the gate then loads and asks.

* Each night a delivery of training images of apples, pears and everything else, 240 per class, drawn from the folder
  Training with weights per variety that move with the season.
* The same 900 test images until the report asks for new ones, out of images that are put aside and never delivered.
* Nights 90 to 94: half of the pears are labelled apple. Nights 180 to 184: the lamp fails, images are dark.
* From night 240 on twice as many images are delivered: the one genuine improvement.
* Reserved, and never shown to the gate: the folder Test.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.results import DOCUMENTS, write_between
from benchmarks.year_page import DARK, IMPROVED, MISLABELLED, Nights, picture, table
from headstart.components.atomic_files import write_text
from headstart.components.datasets.importing import import_dataset
from headstart.components.datasets.packed import Groups, PackedDataset, Pixels, write_packed
from headstart.components.datasets.selection import assign_classes
from headstart.components.datasets.settings import PAPER_CLASSES
from headstart.components.promotion.check import check_data
from headstart.components.promotion.gate import Rules, decide
from headstart.components.promotion.promote import promote
from headstart.components.promotion.retraining_report import files
from headstart.components.promotion.store import ModelStore, open_store
from headstart.components.records import Result, RunRecord

PAGE = DOCUMENTS / "retraining.md"
PICTURE = DOCUMENTS / "images" / "year.svg"
BEGIN, END = "<!-- year: begin -->", "<!-- year: end -->"
SIZE, FILTERS, SEEDS = 24, 64, 3
DELIVERED, MORE, TESTED = 240, 480, 300
TEST_SETS = 8  # put aside before anything is delivered, for whenever new test images are asked for


Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.intp]
Labels = npt.NDArray[np.int32]


@dataclass
class Pool:
    """Images with their class, variety and film, and their frozen features."""

    pixels: Pixels
    labels: Labels
    varieties: Labels
    films: Groups
    features: Floats


def frozen() -> Any:
    """Return the frozen part: one convolution with fixed random weights, pooled to 4 × 4."""
    import keras

    return keras.Sequential(
        [
            keras.Input((SIZE, SIZE, 3)),
            keras.layers.Rescaling(1 / 127.5, offset=-1),
            keras.layers.Conv2D(FILTERS, 5, activation="relu", kernel_initializer=keras.initializers.GlorotNormal(7)),
            keras.layers.AveragePooling2D(5),
            keras.layers.Flatten(),
        ]
    )


def pools(packed: PackedDataset, network: Any) -> tuple[list[str], Pool, Pool]:
    """Return the class names, what may be delivered or tested on, and what is reserved."""
    taken = assign_classes(packed.classes, PAPER_CLASSES)
    new = np.array(
        [list(taken).index(name) for own in packed.classes for name in taken if own in taken[name]], np.int32
    )

    def pool(splits: tuple[str, ...]) -> Pool:
        pixels = np.concatenate([packed.split(split)[0] for split in splits])
        varieties = np.concatenate([packed.split(split)[1] for split in splits])
        films = np.concatenate([packed.groups(split) for split in splits])
        return Pool(pixels, new[varieties], varieties, films, features(network, pixels))

    return list(taken), pool(("train", "validation")), pool(("test",))


def features(network: Any, pixels: Pixels) -> Floats:
    """Return the frozen features of uint8 images."""
    parts = [network.predict_on_batch(pixels[at : at + 512].astype(np.float32)) for at in range(0, len(pixels), 512)]
    return np.concatenate(parts)


def draw(
    pool: Pool, label: int, count: int, rng: np.random.Generator, among: npt.NDArray[np.bool_], night: int
) -> Rows:
    """Draw rows of a class; each variety's weight moves with the season between 0.2 and 1.8."""
    rows = np.flatnonzero((pool.labels == label) & among)
    season = 1 + 0.8 * np.sin(2 * np.pi * (night / 365 + pool.varieties[rows] * 0.381966))
    return rng.choice(rows, min(count, len(rows)), replace=False, p=season / season.sum())


def test_rows(pool: Pool, rng: np.random.Generator, fresh: npt.NDArray[np.bool_]) -> Rows:
    """Draw one set of test images out of the `fresh` ones, as many of each class, all varieties alike."""
    return _of_each(pool, rng, fresh, TESTED, 1.0)


def _of_each(pool: Pool, rng: np.random.Generator, among: npt.NDArray[np.bool_], count: int, most: float) -> Rows:
    """Draw `count` rows of each class, but no more than the share `most` of those that there are."""
    rows = [np.flatnonzero((pool.labels == label) & among) for label in range(3)]
    return np.concatenate([rng.choice(each, min(count, int(most * len(each))), replace=False) for each in rows])


def train_head(x: Floats, y: Labels, seed: int) -> tuple[Floats, Floats]:
    """Train a softmax layer by stochastic gradient descent with momentum; return weights and bias."""
    rng = np.random.default_rng(seed)
    center, spread = x.mean(axis=0), x.std(axis=0) + 1e-3
    scaled = (x - center) / spread
    weights = rng.normal(0, 0.01, (x.shape[1], 3)).astype(np.float32)
    bias = np.zeros(3, np.float32)
    moved = [np.zeros_like(weights), np.zeros_like(bias)]
    for _ in range(12):
        for rows in np.array_split(rng.permutation(len(y)), max(1, len(y) // 32)):
            logits = scaled[rows] @ weights + bias
            chance = np.exp(logits - logits.max(axis=1, keepdims=True))
            wrong = chance / chance.sum(axis=1, keepdims=True) - np.eye(3, dtype=np.float32)[y[rows]]
            slopes = [scaled[rows].T @ wrong / len(rows) + 1e-3 * weights, wrong.mean(axis=0)]
            moved = [0.9 * before - 0.01 * slope for before, slope in zip(moved, slopes, strict=True)]
            weights, bias = weights + moved[0], bias + moved[1]
    weights = weights / spread[:, None]
    return weights.astype(np.float32), (bias - center @ weights).astype(np.float32)


def accuracy(head: tuple[Floats, Floats], pool: Pool) -> float:
    """Return the mean over the classes of the share that is recognised."""
    right = np.argmax(pool.features @ head[0] + head[1], axis=1) == pool.labels
    return float(np.mean([right[pool.labels == label].mean() for label in range(3)]))


def deliver(
    pool: Pool, night: int, rng: np.random.Generator, among: npt.NDArray[np.bool_]
) -> tuple[Rows, Labels, Pixels]:
    """Return the rows of one night's training images with the labels and pixels that are delivered."""
    count = MORE if night >= IMPROVED else DELIVERED
    rows = np.concatenate([draw(pool, label, count, rng, among, night) for label in range(3)])
    labels, pixels = pool.labels[rows].copy(), pool.pixels[rows]
    if night in MISLABELLED:
        labels[(labels == 1) & (rng.random(len(rows)) < 0.5)] = 0
    if night in DARK:
        pixels = (pixels * 0.35).astype(np.uint8)
    return rows, labels, pixels


def retrain(
    folder: Path,
    store: ModelStore,
    network: Any,
    classes: list[str],
    splits: dict[str, tuple[Pixels, Labels]],
    groups: dict[str, Groups],
    night: int,
) -> tuple[Any, dict[str, tuple[Floats, Floats]]]:
    """Run one night's retraining; return how it ended and each seed's softmax layer by the digest of its weights."""
    import keras

    from headstart.components.training.export import save_model

    (folder / "data").mkdir()
    write_packed(folder / "data", {"name": "delivery", "source": f"night {night}", "classes": classes}, splits, groups)
    data, rules, run_id = PackedDataset(folder / "data"), Rules(), f"night-{night:03}"
    stopped, remarks = check_data(data, store, rules, run_id)
    if stopped is not None:
        store.write_outcome(stopped, files(stopped))
        return stopped, {}
    x = {name: features(network, pixels) for name, (pixels, _) in splits.items() if name != "test"}
    heads, models, records = {}, [], []
    for seed in range(1, SEEDS + 1):
        head = train_head(x["train"], splits["train"][1], 1_000 * night + seed)
        layer = keras.layers.Dense(len(classes), activation="softmax")
        model = keras.Sequential([keras.Input((SIZE, SIZE, 3)), *network.layers, layer])
        layer.set_weights(head)
        right = np.argmax(x["validation"] @ head[0] + head[1], axis=1) == splits["validation"][1]
        models.append(folder / f"model-{seed}")
        digest = save_model(model, models[-1], {"classes": classes, "image_size": SIZE, "seed": seed})
        heads[digest] = head
        record = RunRecord(arm="final", seed=seed, run_id=run_id, status="succeeded", final_weights=digest,
                           result=Result(best_validation_accuracy=float(right.mean())))  # fmt: skip
        records.append(folder / f"record-{seed}.json")
        record.write(records[-1])
    return promote(data, models, records, store, rules, run_id, remarks), heads


def simulate(
    classes: list[str], pool: Pool, reserved: Pool, network: Any, place: Path, nights: Iterable[int]
) -> Nights:
    """Retrain on every night; `place` is an empty folder for the store."""
    import keras

    store, played = open_store(str(place / "store")), Nights()
    rng = np.random.default_rng(2024)
    everything = np.ones(len(pool.labels), dtype=np.bool_)
    fresh = ~everything
    fresh[_of_each(pool, rng, everything, TEST_SETS * TESTED, 0.7)] = True
    delivered = ~fresh
    tested = test_rows(pool, rng, fresh)
    fresh[tested] = False
    served: dict[int, float] = {}
    lax: tuple[Floats, Floats] | None = None
    for night in nights:
        began = time.monotonic()
        rows, labels, pixels = deliver(pool, night, rng, delivered)
        held = rng.random(len(rows)) < 0.2
        splits = {
            "train": (pixels[~held], labels[~held]),
            "validation": (pixels[held], labels[held]),
            "test": (pool.pixels[tested], pool.labels[tested]),
        }
        groups = {"train": pool.films[rows[~held]], "validation": pool.films[rows[held]], "test": pool.films[tested]}
        with tempfile.TemporaryDirectory(dir=place) as folder:
            outcome, heads = retrain(Path(folder), store, network, classes, splits, groups, night)
        pointer, _ = store.pointer()
        chosen = max(outcome.candidate.get("runs", []), key=lambda run: run["validation_accuracy"] or 0, default=None)
        candidate = list(heads.values())[int(chosen["seed"]) - 1] if chosen else None
        row: dict[str, Any] = {"night": night, "status": outcome.status, "title": outcome.title}
        if candidate is not None:
            row["candidate"] = accuracy(candidate, reserved)
            if outcome.status in ("promoted", "candidate") and outcome.version:
                served[outcome.version] = row["candidate"]
            answers = [
                np.argmax(pool.features[tested] @ head[0] + head[1], axis=1) for head in (candidate, lax) if head
            ]
            old = answers[1] if lax else None
            decision = decide(Rules(), classes, pool.labels[tested].astype(np.int64), answers[0], old, classes)
            row["lax_promoted"] = decision.promote
            lax = candidate if decision.promote else lax
        row["served"] = served[pointer.version] if pointer else None
        row["lax"] = accuracy(lax, reserved) if lax else None
        row["evidence"] = outcome.evidence
        row["asked"] = bool(outcome.evidence) and outcome.evidence["level"] == 0
        if row["asked"]:  # somebody brings new test images
            tested = test_rows(pool, rng, fresh)
            fresh[tested] = False
        played.append(row)
        keras.utils.clear_session(free_memory=True)
        print(f"{night:3} {time.monotonic() - began:4.1f} s  {row['served'] or 0:.4f}  {outcome.title}", flush=True)
    return played


def main() -> None:
    """Simulate, print the table, and put table and picture into the documentation."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="Fruits-360, with the folders Training and Test")
    parser.add_argument("--nights", type=int, default=365, help="fewer only print (default 365)")
    options = parser.parse_args()
    import tensorflow

    with tempfile.TemporaryDirectory(prefix="headstart-year-") as scratch:
        place = Path(scratch)
        import_dataset(
            str(options.folder),
            place / "packed",
            layout="fruits360",
            image_size=SIZE,
            near_duplicates=False,
            incomplete_classes="drop",
        )
        # Nothing is asked often enough that building a graph for it breaks even.
        tensorflow.config.run_functions_eagerly(True)
        network = frozen()
        classes, pool, reserved = pools(PackedDataset(place / "packed", checked=False), network)
        nights = simulate(classes, pool, reserved, network, place, range(1, options.nights + 1))
        text = table(nights, len(reserved.labels))
    print(text)
    if options.nights == parser.get_default("nights"):
        image = "![Accuracy on the reserved images, night by night](images/year.svg)\n"
        write_between(PAGE, BEGIN, END, f"{text}\n{image}")
        write_text(PICTURE, picture(nights))


if __name__ == "__main__":
    main()
