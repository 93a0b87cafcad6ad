"""The whole experiment on both sides, part by part and alternating, so that neighbours on the machine slow both alike.

Every part is a process of its own and leaves FOLDER/parts/<side>-<part>.json; a part whose file is there is not run
again, so the same command goes on where it was stopped.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.image_folders import ImageFolders
from benchmarks.timing import python, run_measured
from headstart.components.atomic_files import write_json
from headstart.components.training.stages import place_of

IMAGE_SIZE = 52
CHUNK = 2
"""Runs of each arm that one side makes before it is the other's turn."""


@dataclass
class Options:
    """What is run.

    Attributes:
        images: both sets as class folders.
        runs: runs of each arm.
        preset: recipe of ours; the notebook has its own.
        orchestration: seconds a task that the local runner adds, see `benchmarks.orchestration`; counted against ours.
    """

    images: ImageFolders
    work: Path
    runs: int = 10
    preset: str = "fast"
    orchestration: float = 0.0

    def folder(self) -> Path:
        sets = [str(self.images.source), str(self.images.intermediate)]
        identity = ["forked runs, one folder", *sets, self.runs, self.preset, IMAGE_SIZE]
        return self.work / f"experiment-{hashlib.sha256(json.dumps(identity).encode()).hexdigest()[:8]}"


class Parts:
    """Runs parts and keeps what they measured."""

    def __init__(self, options: Options) -> None:
        self.options, self.folder = options, options.folder()
        self.results = self.folder / "parts"
        self.results.mkdir(parents=True, exist_ok=True)

    def run(self, side: str, part: str, command: Callable[[], list[str]], result: Callable[[], Any]) -> None:
        file = self.results / f"{side}-{part}.json"
        if file.exists():
            return
        measured = run_measured(command(), self.folder / f"{side}.log")
        write_json(file, {"process": asdict(measured), "result": result()})
        print(f"  {side} {part}: {measured.wall:.1f} s, processor {measured.cpu:.1f} s", flush=True)

    def notebook(self, part: str, name: str, *more: object) -> None:
        images, work = self.options.images, self.folder / "notebook"
        sources = ("--source", images.source, "--intermediate", images.intermediate, "--work", work)
        command = python("benchmarks.notebook", *sources, "--parts", part, "--name", name, *more)
        self.run("notebook", name, lambda: command, lambda: read(work / f"{name}.json"))

    def ours(self, part: str, name: str, result: Path | None, **arguments: Any) -> None:
        def command() -> list[str]:
            # A part that was cut off begins again: what it left would be taken up and its time be too short.
            for each in arguments.get("each", [arguments]):
                if each.get("checkpoints"):
                    left = place_of(each["arm"], each["seed"], 0, 0)
                    shutil.rmtree(Path(each["checkpoints"], each["run_id"], left), ignore_errors=True)
            specification = self.folder / "ours" / f"{name}.specification.json"
            write_json(specification, {"part": part, "arguments": arguments})
            return python("benchmarks.ours", specification)

        (self.folder / "ours").mkdir(exist_ok=True)
        self.run("ours", name, command, lambda: read(result) if result else None)

    def how(self) -> dict[str, Any]:
        """What is the same for all that trains."""
        where = {"accelerators": 0, "image": ""}
        return {"run_id": "benchmark", "preset": self.options.preset, "settings": {}, **where}

    def arguments(self, arm: str, dataset: str, initial: str | None, seed: int | None = None) -> dict[str, Any]:
        """Arguments of `run_stage`; a stage without a seed of its own keeps its model."""
        place, name = self.folder / "ours", arm if seed is None else f"{arm}-{seed}"
        return {
            "arm": arm,
            "dataset": str(place / dataset),
            "initial_model": str(place / initial) if initial else None,
            "seed": seed or 0,
            **self.how(),
            "checkpoints": str(place / "checkpoints"),  # one folder, in which runs keep features for one another
            "precision": str(place / "precision.json"),
            "record": str(place / f"{name}.json"),
            "model": str(place / f"{name}-model") if seed is None else None,
            "saved_model": str(place / "saved-model") if arm == "final" else None,
        }

    def stage(self, arm: str, dataset: str, initial: str | None) -> None:
        arguments = self.arguments(arm, dataset, initial)
        self.ours("stage", arm, Path(arguments["record"]), **arguments)

    def runs(self, seeds: Sequence[int]) -> None:
        """Both arms of each seed, forked from one process as in `headstart run`."""
        starts = {"baseline": None, "transfer": "finetune-model"}
        each = [self.arguments(arm, "target", initial, seed) for seed in seeds for arm, initial in starts.items()]
        output = self.folder / "ours" / f"runs-{seeds[0]}.json"
        self.ours("runs", f"runs-{seeds[0]}", output, each=each, output=str(output))


def read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def run(options: Options) -> Path:
    """Run what has not been run yet and return the folder of the parts."""
    parts = Parts(options)
    place, images = parts.folder / "ours", options.images
    importing = {"image_size": IMAGE_SIZE, "incomplete_classes": "drop"}
    parts.ours("import", "import-source", None, uri=str(images.source), folder=str(place / "source"), **importing)
    chosen = str(place / "precision.json")
    dataset = str(place / "source")
    parts.ours("precision", "precision", None, dataset=dataset, checkpoints="", output=chosen, **parts.how())
    parts.stage("pretrain", "source", None)
    parts.notebook("pretrain", "pretrain")
    folder = str(place / "intermediate")
    parts.ours("import", "import-intermediate", None, uri=str(images.intermediate), folder=folder, **importing)
    parts.stage("finetune", "intermediate", "pretrain-model")
    parts.notebook("finetune", "finetune")
    parts.ours("select", "select", None, packed=folder, folder=str(place / "target"))
    parts.stage("final", "target", "finetune-model")
    seeds_of_all = range(1, options.runs + 1)
    for seeds in (seeds_of_all[start : start + CHUNK] for start in range(0, options.runs, CHUNK)):
        parts.notebook("runs", f"runs-{seeds[0]}", "--seeds", *seeds)
        parts.runs(seeds)
    runs = [f"{arm}-{seed}" for arm in ("baseline", "transfer") for seed in seeds_of_all]
    records = [str(place / f"{name}.json") for name in ("pretrain", "finetune", "final", *runs)]
    parts.ours("report", "report", place / "report" / "summary.json", records=records, output=str(place / "report"))
    return parts.results
