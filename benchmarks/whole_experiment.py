"""The whole experiment on both sides, part by part and alternating, so that neighbours on the machine slow both alike.

Every part is a process of its own and leaves FOLDER/parts/<side>-<part>.json; a part whose file is there is not run
again, so the same command goes on where it was stopped.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.image_folders import ImageFolders
from benchmarks.results import Entry
from benchmarks.timing import python, run_measured
from components.atomic_files import write_json

SECTION = "experiment"
MEBI = 2**20
COUNTED_RUNS = 10  # of each arm, as `headstart run` has them


@dataclass
class Options:
    """What is run.

    Attributes:
        images: both sets as class folders.
        runs: runs of each arm.
        chunk: runs of each arm that one side makes before it is the other's turn.
        preset: recipe of ours; the notebook has its own.
        settings: settings of ours by name, put over the preset.
        notebook: further options of the notebook, for short trials.
        orchestration: seconds a task that the local runner adds, see `benchmarks.orchestration`; counted against ours.
    """

    images: ImageFolders
    work: Path
    runs: int = 10
    chunk: int = 2
    preset: str = "fast"
    settings: dict[str, Any] | None = None
    notebook: tuple[str, ...] = ()
    orchestration: float = 0.0
    image_size: int = 52

    def folder(self) -> Path:
        identity = [str(self.images.source), str(self.images.intermediate), self.runs, self.preset, self.settings]
        digest = hashlib.sha256(json.dumps([*identity, self.notebook, self.image_size]).encode()).hexdigest()
        return self.work / f"experiment-{digest[:8]}"


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
        write_json(file, {"process": measured.as_dict(), "result": result()})
        print(f"  {side} {part}: {measured.wall:.1f} s, processor {measured.cpu:.1f} s", flush=True)

    def notebook(self, part: str, name: str, *more: object) -> None:
        images, work = self.options.images, self.folder / "notebook"
        sources = ("--source", images.source, "--intermediate", images.intermediate, "--work", work)
        command = python(
            "benchmarks.notebook", *sources, "--parts", part, "--name", name, *self.options.notebook, *more
        )
        self.run("notebook", name, lambda: command, lambda: _read(work / f"{name}.json"))

    def ours(self, part: str, name: str, result: Path | None, **arguments: Any) -> None:
        def command() -> list[str]:
            # A part that was cut off begins again: what it left would be taken up and its time be too short.
            shutil.rmtree(self.folder / "ours" / "checkpoints" / name, ignore_errors=True)
            specification = self.folder / "ours" / f"{name}.specification.json"
            write_json(specification, {"part": part, "arguments": arguments})
            return python("benchmarks.ours", specification)

        (self.folder / "ours").mkdir(exist_ok=True)
        self.run("ours", name, command, lambda: _read(result) if result else None)

    def stage(
        self, arm: str, name: str, dataset: str, initial: str | None, seed: int = 0, *, keep: bool = False
    ) -> None:
        place = self.folder / "ours"
        record = place / f"{name}.json"
        self.ours(
            "stage",
            name,
            record,
            arm=arm,
            dataset=str(place / dataset),
            initial_model=str(place / initial) if initial else None,
            seed=seed,
            run_id="benchmark",
            preset=self.options.preset,
            settings=self.options.settings or {},
            checkpoints=str(place / "checkpoints" / name),
            accelerators=0,
            image="",
            record=str(record),
            model=str(place / f"{name}-model") if keep else None,
            saved_model=str(place / "saved-model") if arm == "final" else None,
        )


def _read(file: Path) -> Any:
    return json.loads(file.read_text(encoding="utf-8"))


def chunks(options: Options) -> Iterator[list[int]]:
    seeds = list(range(1, options.runs + 1))
    yield from (seeds[start : start + options.chunk] for start in range(0, len(seeds), options.chunk))


def run(options: Options) -> Path:
    """Run what has not been run yet and return the folder of the parts."""
    parts = Parts(options)
    place, images = parts.folder / "ours", options.images
    importing = {"image_size": options.image_size, "incomplete_classes": "drop"}
    parts.ours("import", "import-source", None, uri=str(images.source), folder=str(place / "source"), **importing)
    parts.stage("pretrain", "pretrain", "source", None, keep=True)
    parts.notebook("pretrain", "pretrain")
    folder = str(place / "intermediate")
    parts.ours("import", "import-intermediate", None, uri=str(images.intermediate), folder=folder, **importing)
    parts.stage("finetune", "finetune", "intermediate", "pretrain-model", keep=True)
    parts.notebook("finetune", "finetune")
    parts.ours("select", "select", None, packed=folder, folder=str(place / "target"))
    parts.stage("final", "final", "target", "finetune-model", keep=True)
    for seeds in chunks(options):
        parts.notebook("runs", f"runs-{seeds[0]}", "--seeds", *seeds)
        for seed in seeds:
            parts.stage("baseline", f"baseline-{seed}", "target", None, seed)
            parts.stage("transfer", f"transfer-{seed}", "target", "finetune-model", seed)
    names = [
        "pretrain",
        "finetune",
        "final",
        *(f"{a}-{s + 1}" for a in ("baseline", "transfer") for s in range(options.runs)),
    ]
    records = [str(place / f"{name}.json") for name in names]
    parts.ours("report", "report", place / "report" / "summary.json", records=records, output=str(place / "report"))
    return parts.results


class Outcome:
    """What the parts measured, put together; parts that have not been run yet are missing from it."""

    def __init__(self, results: Path, options: Options) -> None:
        self.options = options
        found = {file.stem: _read(file) for file in sorted(results.glob("*.json"))}
        self.ours = {name.removeprefix("ours-"): part for name, part in found.items() if name.startswith("ours-")}
        self.book = {
            name.removeprefix("notebook-"): part for name, part in found.items() if name.startswith("notebook-")
        }
        self.chunks = [part for name, part in self.book.items() if name.startswith("runs-")]

    def runs(self, arm: str) -> list[tuple[dict[str, Any], dict[str, Any]]]:
        """Our part and the notebook's run of each seed that both have."""
        theirs = {run["seed"]: run for part in self.chunks for run in part["result"]["runs"] if run["arm"] == arm}
        ours = {seed: self.ours.get(f"{arm}-{seed}") for seed in sorted(theirs)}
        return [(mine, theirs[seed]) for seed, mine in ours.items() if mine is not None]

    def both(self, stage: str) -> bool:
        return stage in self.ours and stage in self.book

    def whole(self, clock: str) -> tuple[float, float] | None:
        """Seconds of the whole experiment, ours and the notebook's, by `wall` or `cpu`; None where a part is missing.

        The notebook is one process: its imports count once, the target images are loaded once. Where fewer than
        COUNTED_RUNS were run, their mean counts for the others.
        """
        once = ("import-source", "pretrain", "import-intermediate", "finetune", "select", "final", "report")
        arms = {arm: self.runs(arm) for arm in ("baseline", "transfer")}
        prepared = all(name in self.ours for name in once) and {"pretrain", "finetune"} <= set(self.book)
        if not prepared or not all(arms.values()):
            return None
        own = {"wall": "seconds", "cpu": "cpu_seconds"}[clock]
        first = self.chunks[0]["result"]
        ours = sum(self.ours[name]["process"][clock] for name in once)
        theirs = sum(self.book[stage]["result"][own] for stage in ("pretrain", "finetune")) + first["import_seconds"]
        theirs += first[own] - sum(run[own] for run in first["runs"])
        for pairs in arms.values():
            ours += COUNTED_RUNS * statistics.mean(mine["process"][clock] for mine, _ in pairs)
            theirs += COUNTED_RUNS * statistics.mean(peer[own] for _, peer in pairs)
        # Beside these: preflight and verify.
        tasks = len(once) + 2 * COUNTED_RUNS + 2
        return ours + tasks * self.options.orchestration, theirs

    def to_peak(self, stage: str) -> tuple[tuple[float, float], tuple[float, float], float] | None:
        """Training (wall, processor) seconds, ours and theirs, to the best validation accuracy of the notebook's stage.

        None where ours never got there; the third value is that accuracy.
        """
        rows = self.book[stage]["result"]["runs"][0]["epochs"]
        peak = max(rows, key=lambda row: row["validation_accuracy"])
        record = self.ours[stage]["result"]
        cpu = 0.0
        for row in record["epochs"]:
            cpu += row["cpu_seconds"]
            if row["validation_accuracy"] >= peak["validation_accuracy"]:
                prefix = record["prefix_seconds"] * (record["train_cpu_seconds"] / max(record["phases"]["train"], 1e-9))
                ours = (row["elapsed"], cpu + prefix)
                return ours, (peak["elapsed"], peak["elapsed_cpu"]), peak["validation_accuracy"]
        return None


def entries(results: Path, options: Options) -> list[Entry]:
    """Turn what has been run of an experiment into rows."""
    outcome = Outcome(results, options)
    name = options.images.name
    shares = [part["process"]["others"] for part in (*outcome.ours.values(), *outcome.book.values())]
    others = statistics.mean([share for share in shares if share is not None] or [0.0])
    rows: list[Entry] = []

    def add(key: str, what: str, unit: str, ours: list[float], theirs: list[float], **more: Any) -> None:
        rows.append(Entry(f"{SECTION}/{name}/{key}", SECTION, what, unit, ours, theirs, on=name, others=others, **more))

    for clock, label in (("wall", ""), ("cpu", ", processor seconds")):
        if whole := outcome.whole(clock):
            target = ">= 3" if clock == "wall" else ""
            measured = len(outcome.runs("transfer"))
            note = f"{options.preset}; {COUNTED_RUNS} + {COUNTED_RUNS} runs, {measured} + {measured} measured"
            add(f"whole-{clock}", f"whole experiment{label}", "s", [whole[0]], [whole[1]], target=target, note=note)
    for stage, label in (("pretrain", "stage 1"), ("finetune", "stage 2")):
        if outcome.both(stage):
            _stage_rows(outcome, stage, label, add)
    for arm in ("baseline", "transfer"):
        if pairs := outcome.runs(arm):
            _run_rows(pairs, arm, add)
    for ours, theirs, label in (
        ("pretrain",) * 2 + ("stage 1",),
        ("finetune",) * 2 + ("stage 2",),
        ("baseline-1", "runs-1", "a run"),
    ):
        if ours in outcome.ours and theirs in outcome.book:
            peaks = [[part["process"]["peak_bytes"] / MEBI] for part in (outcome.ours[ours], outcome.book[theirs])]
            add(f"{ours}-memory", f"{label}, peak memory", "MiB", *peaks)
    return rows


def _stage_rows(outcome: Outcome, stage: str, label: str, add: Callable[..., None]) -> None:
    record, theirs = outcome.ours[stage]["result"], outcome.book[stage]["result"]["runs"][0]
    what = f"{label} to the notebook's best validation accuracy"
    if reached := outcome.to_peak(stage):
        ours, peer, accuracy = reached
        target, at = ">= 2.5" if stage == "pretrain" else "", f"{accuracy:.1%}"
        add(f"{stage}-peak-wall", what, "s", [ours[0]], [peer[0]], target=target, note=at)
        add(f"{stage}-peak-cpu", f"{what}, processor seconds", "s", [ours[1]], [peer[1]], note=at)
    else:
        best = record["result"]["best_validation_accuracy"]
        note = f"never reached: best {best:.1%}, the notebook's {theirs['best_validation_accuracy']:.1%}"
        add(f"{stage}-peak-wall", what, "s", [], [], note=note)
    train = [record["phases"]["train"]], [theirs["train_seconds"]]
    add(f"{stage}-train", f"{label}, all its training", "s", *train)
    cpu = [record["train_cpu_seconds"]], [theirs["train_cpu_seconds"]]
    add(f"{stage}-train-cpu", f"{label}, all its training, processor seconds", "s", *cpu)
    tested = [100 * record["result"]["test_accuracy"]], [100 * theirs["test_accuracy"]]
    add(f"{stage}-accuracy", f"{label}, test accuracy", "%", *tested, faster_is="more", target=">= 1")


def _run_rows(pairs: list[tuple[dict[str, Any], dict[str, Any]]], arm: str, add: Callable[..., None]) -> None:
    def row(
        key: str, what: str, unit: str, mine: Callable[[Any], float], peer: Callable[[Any], float], **more: Any
    ) -> None:
        add(f"{arm}-{key}", what, unit, [mine(one) for one, _ in pairs], [peer(other) for _, other in pairs], **more)

    target = ">= 10" if arm == "transfer" else ""
    row(
        "train",
        f"{arm} run, training",
        "s",
        lambda one: one["result"]["phases"]["train"],
        lambda other: other["train_seconds"],
        target=target,
    )
    row(
        "train-cpu",
        f"{arm} run, training, processor seconds",
        "s",
        lambda one: one["result"]["train_cpu_seconds"],
        lambda other: other["train_cpu_seconds"],
    )
    note = "ours starts a process for each run, the notebook does not"
    row(
        "whole",
        f"{arm} run, from start to result",
        "s",
        lambda one: one["process"]["wall"],
        lambda other: other["seconds"],
        note=note,
    )
    row(
        "whole-cpu",
        f"{arm} run, from start to result, processor seconds",
        "s",
        lambda one: one["process"]["cpu"],
        lambda other: other["cpu_seconds"],
    )
    row(
        "accuracy",
        f"{arm} runs, test accuracy",
        "%",
        lambda one: 100 * one["result"]["result"]["test_accuracy"],
        lambda other: 100 * other["test_accuracy"],
        faster_is="more",
        target=">= 1",
    )
