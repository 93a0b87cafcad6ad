"""What a training component costs besides training: `make bench ARGS='--only start-up'`.

Ours is the whole process that a pipeline starts for `train_runs` (KFP's executor with the component's own source,
the process that trains, record written, everything over), less the seconds within training's clock. The peer is what no
component can do without: a process that imports TensorFlow and does nothing, and KFP's executor with a component that
does nothing. Both are counted in wall seconds and in processor seconds; the latter say more on a busy machine.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import results
from benchmarks.timing import Measurement, run_measured
from headstart.components.datasets.packed import write_packed
from headstart.components.records import read_record

CLASSES, IMAGES, IMAGE_SIZE = 3, 256, 52
NOTHING = "from kfp import dsl\nfrom kfp.dsl import *\nfrom typing import *\n\ndef nothing(count: int):\n    pass\n"


def data_set(folder: Path) -> Path:
    """Write a small packed data set of random images."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)

    def split(count: int) -> Any:
        images = rng.integers(0, 256, (count, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
        return images, (np.arange(count) % CLASSES).astype(np.int32)

    described = {"name": "random", "source": "benchmark", "classes": [f"class {label}" for label in range(CLASSES)]}
    write_packed(folder, described, {"train": split(IMAGES), "validation": split(64), "test": split(64)})
    return folder


def executor(folder: Path, source: str, function: str, parameters: dict[str, Any], artifacts: dict[str, Any]) -> list:
    """Return the command with which KFP runs a lightweight component of `source`."""
    module = folder / f"{function}.py"
    module.write_text(source, encoding="utf-8")

    def listed(given: dict[str, Path]) -> dict[str, Any]:
        found = {}
        for name, path in given.items():
            title = "system.Metrics" if name == "metrics" else "system.Artifact"
            kind = {"schemaTitle": title, "schemaVersion": "0.0.1"}
            found[name] = {"artifacts": [{"name": name, "type": kind, "uri": str(path), "metadata": {}}]}
        return found

    inputs = {"parameterValues": parameters, "artifacts": listed(artifacts.get("inputs", {}))}
    outputs = {"artifacts": listed(artifacts.get("outputs", {})), "outputFile": str(folder / "executor_output.json")}
    given = json.dumps({"inputs": inputs, "outputs": outputs})
    options = ["--component_module_path", str(module), "--function_to_execute", function, "--executor_input", given]
    return [sys.executable, "-m", "kfp.dsl.executor_main", *options]


def component_source(component: Any) -> str:
    """Return the Python source that KFP puts into a component's command."""
    source: str = component.component_spec.implementation.container.command[-1]
    return source


def measure(work: Path, repeats: int) -> list[results.Entry]:
    """Measure and return the rows of the table."""
    from headstart.components.training.component import pretrain, train_runs

    work.mkdir(parents=True, exist_ok=True)
    dataset = data_set(work / "data")
    how = {
        "run_id": "start",
        "preset": "fast",
        "settings": {"epochs": 2},
        "checkpoints": "",
        "accelerators": 0,
        "image": "",
    }
    log = work / "log.txt"
    precision = work / "precision"
    precision.write_bytes(b"")  # none was chosen
    first = {
        "inputs": {"dataset": dataset, "precision": precision},
        "outputs": {"record": work / "first.json", "model": work / "models/0", "metrics": work / "metrics"},
    }
    start = {**how, "seed": 1, "preparation": 0}
    run_measured(executor(work, component_source(pretrain), "pretrain", start, first), log)
    inputs = {"dataset": dataset, "prepared": work / "models", "precision": precision}
    given = {"inputs": inputs, "outputs": {"records": work / "records", "metrics": work / "metrics"}}
    ours = executor(work, component_source(train_runs), "train_runs", {**how, "cells": "1/0/0:transfer"}, given)
    bare = executor(work, NOTHING, "nothing", {"count": 1}, {})
    wall: dict[str, list[float]] = {"ours": [], "peer": []}
    cpu: dict[str, list[float]] = {"ours": [], "peer": []}
    shares: list[float] = []
    for _ in range(repeats):
        whole = run_measured(ours, log)
        record = read_record(work / "records/transfer-01.json")
        if record.status != "succeeded":
            raise RuntimeError(f"the run that was to be measured {record.status}: {record.reason}")
        parts: list[Measurement] = [
            run_measured([sys.executable, "-c", "import tensorflow"], log),
            run_measured(bare, log),
        ]
        wall["ours"].append(whole.wall - record.phases.train)
        cpu["ours"].append(whole.cpu - record.train_cpu_seconds)
        wall["peer"].append(sum(part.wall for part in parts))
        cpu["peer"].append(sum(part.cpu for part in parts))
        shares += [measured.others for measured in (whole, *parts) if measured.others is not None]
    others = sum(shares) / len(shares) if shares else None
    return [
        results.Entry(
            key=f"start-up/{name}",
            section="start-up",
            what=f"everything of train_runs's process outside training, {what}",
            unit="s",
            ours=found["ours"],
            peer=found["peer"],
            against="import tensorflow + KFP's executor",
            # At most 1.3 times as long.
            target=">= 0.769",
            on="random bytes",
            others=others,
        )
        for name, what, found in (("wall", "wall time", wall), ("cpu", "processor time", cpu))
    ]
