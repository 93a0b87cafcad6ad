"""Latency of the SavedModel on image files, and `headstart predict` beside its decoder alone.

python -m benchmarks.serving WORK      measures once and prints the figures as JSON
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import sys
import time
from pathlib import Path

from benchmarks.image_folders import photographs
from benchmarks.results import Entry
from benchmarks.timing import answer

SECTION = "serving"
CALLS = {1: 200, 16: 60, 64: 30}
"""Calls of each batch size."""
PREDICTED = 2000
SIZE = 52


def _latencies(model: Path, content: bytes, batch: int, calls: int) -> list[float]:
    import tensorflow as tf

    serve = tf.saved_model.load(str(model)).signatures["serving_default"]
    files = tf.constant([content] * batch)
    for _ in range(3):  # traced and warm
        serve(image_bytes=files)
    seconds = []
    for _ in range(calls):
        began = time.perf_counter()
        serve(image_bytes=files)["probability"].numpy()
        seconds.append(time.perf_counter() - began)
    return seconds


def once(work: Path) -> dict[str, float]:
    """Return p50 and p95 in milliseconds by batch size and file, and images per second of predict and the decoder."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from headstart.components.datasets.decoding import decode_files
    from headstart.components.datasets.reading import Reading
    from headstart.components.training import export, prediction
    from headstart.components.training.networks.paper import build_network

    classes, reading = ["a", "b", "c"], Reading("apply")
    model = build_network(SIZE, len(classes))
    description = {"classes": classes, "image_size": SIZE, "reading": vars(reading)}
    export.save_model(model, work / "model", description)
    export.save_served(model, work / "served", classes, SIZE, reading)
    large = next(photographs(work.parent / "drawn").glob("*/0-0.jpg"))
    small = work / "small" / "0.jpg"
    small.parent.mkdir(exist_ok=True)
    from PIL import Image

    with Image.open(large) as image:
        image.resize((348, 348)).save(small, quality=92)
    figures = {}
    for name, file, batches in (("348 pixels", small, CALLS), ("12 megapixels", large, {1: 15})):
        for batch, calls in batches.items():
            seconds = sorted(_latencies(work / "served", file.read_bytes(), batch, calls))
            figures[f"{name}, {batch}/p50"] = 1e3 * statistics.median(seconds)
            figures[f"{name}, {batch}/p95"] = 1e3 * statistics.quantiles(seconds, n=20)[-1]
    list(prediction.classify(work / "model", [small] * 64))
    for name, loop in (
        ("predict", lambda: list(prediction.classify(work / "model", itertools.repeat(small, PREDICTED)))),
        ("decoder", lambda: decode_files(str(small.parent), [small.name] * PREDICTED, SIZE, reading)),
    ):
        began = time.perf_counter()
        loop()
        figures[name] = PREDICTED / (time.perf_counter() - began)
    return figures


def measure(work: Path, repeats: int) -> list[Entry]:
    """Measure in processes of their own."""
    folder = work / "serving"
    folder.mkdir(parents=True, exist_ok=True)
    found = [answer("benchmarks.serving", folder) for _ in range(repeats)]
    others = statistics.mean(one["others"] or 0.0 for one in found)
    rows = []
    for key in found[0]:
        if key not in ("predict", "decoder", "others"):
            name, _, quantile = key.rpartition("/")
            what = f"SavedModel, JPEG of {name.replace(', ', ', images per call: ')}, {quantile}"
            rows.append(Entry(f"{SECTION}/{key}", SECTION, what, "ms", [one[key] for one in found], others=others))
    mine, alone = ([one[name] for one in found] for name in ("predict", "decoder"))
    what = f"headstart predict, {PREDICTED:,} JPEGs of 348 pixels"
    more = {"faster_is": "more", "against": "its decoder alone, one thread", "others": others}
    rows.append(Entry(f"{SECTION}/predict", SECTION, what, "images/s", mine, alone, **more))
    return rows


if __name__ == "__main__":
    print(json.dumps(once(Path(sys.argv[1]))))
