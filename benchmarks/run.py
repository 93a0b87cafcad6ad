"""`make bench`: run sections of the benchmark and put their figures into results.json and results.md.

    python -m benchmarks.run [--data FOLDER] [--only import,report] [--repeats 5]

Sections that are not run keep the figures they had; each row says when, on what and how often it was measured.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import (
    experiment_rows,
    gpu,
    growth,
    image_folders,
    import_rows,
    orchestration,
    report_rendering,
    results,
    serving,
    training_speed,
    training_start,
    whole_experiment,
)
from benchmarks.timing import REPOSITORY

DESCRIPTIONS = {
    "import": "reading, decoding and resizing beside image_dataset_from_directory; whole imports",
    "training": "training beside model.fit: throughput, a baseline run, a transfer run",
    "pytorch": "training beside PyTorch, where it is installed",
    "start-up": "everything of a training component's process outside training",
    "orchestration": "what the local runner costs a task",
    "serving": "latency of the SavedModel, and predict beside its decoder",
    "report": "rendering 23 and 10,000 records",
    "growth": "cost by images, runs and classes",
    "experiment": "both sides' whole experiment: stages, runs, accuracies, memory (long on real data)",
}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="sections:\n" + "\n".join(f"  {name:14} {text}" for name, text in DESCRIPTIONS.items()),
    )
    parser.add_argument("--data", type=Path, help="folder with cifar100 and fruits360 as class folders; default: drawn")
    parser.add_argument("--only", type=lambda text: text.split(","), default=list(DESCRIPTIONS), metavar="SECTION,…")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--runs", type=int, default=10, help="runs of each arm in the experiment")
    parser.add_argument("--preset", default="fast", help="recipe of ours in the experiment")
    parser.add_argument("--work", type=Path, default=REPOSITORY / "outputs" / "benchmarks", help="folder for scratch")
    parser.add_argument("--results", type=Path, default=REPOSITORY / "benchmarks" / "results.json")
    options = parser.parse_args()
    unknown = sorted(set(options.only) - set(DESCRIPTIONS))
    if unknown:
        parser.error(f"--only {','.join(unknown)}: there is {', '.join(DESCRIPTIONS)}")
    options.work = options.work.resolve()
    return options


def main() -> None:
    options = parse()
    options.work.mkdir(parents=True, exist_ok=True)

    def images() -> image_folders.ImageFolders:
        return (
            image_folders.find(options.data.resolve()) if options.data else image_folders.draw(options.work / "drawn")
        )

    def experiment() -> list[results.Entry]:
        whole = whole_experiment.Options(images(), options.work, runs=options.runs, preset=options.preset)
        known = results.read(options.results).get("orchestration/whole")
        whole.orchestration = sorted(known.ours)[len(known.ours) // 2] if known else 0.0
        return experiment_rows.entries(whole_experiment.run(whole), whole)

    sections: dict[str, Callable[[], list[results.Entry]]] = {
        "import": lambda: import_rows.measure(images(), options.work, options.repeats),
        "training": lambda: training_speed.measure(options.repeats),
        "pytorch": lambda: gpu.measure_processor(options.repeats),
        "start-up": lambda: training_start.measure(options.work / "start-up", options.repeats),
        "orchestration": lambda: orchestration.measure(options.work, options.repeats),
        "serving": lambda: serving.measure(options.work, options.repeats),
        "report": lambda: report_rendering.measure(options.work, options.repeats),
        "growth": lambda: growth.measure(options.work, lambda rows: results.merge(options.results, rows)),
        "experiment": experiment,
    }
    measured: list[results.Entry] = []
    for name, description in DESCRIPTIONS.items():
        if name not in options.only:
            continue
        began = time.monotonic()
        print(f"{name}: {description}", flush=True)
        rows = sections[name]()
        results.merge(options.results, rows)
        measured += rows
        print(f"  {time.monotonic() - began:.0f} s", flush=True)
    results.show(measured)
    print(f"\n{options.results.with_suffix('.md')}")


if __name__ == "__main__":
    main()
