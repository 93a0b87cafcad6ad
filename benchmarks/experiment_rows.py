"""What the parts of a whole experiment measured, put together as rows of the table."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.results import Entry
from benchmarks.whole_experiment import Options, read

SECTION = "experiment"
MEBI = 2**20
COUNTED_RUNS = 10  # of each arm, as `headstart run` has them
# Keras averages over batches in float32, so that the same number of right answers differs in the seventh digit.
SAME_ACCURACY = 1e-6
Seconds = tuple[float, float]  # wall, processor


class Outcome:
    """What the parts measured, put together; parts that have not been run yet are missing from it."""

    def __init__(self, results: Path, options: Options) -> None:
        self.options = options
        found = {file.stem: read(file) for file in sorted(results.glob("*.json"))}
        self.ours, self.book = (
            {name.removeprefix(side): part for name, part in found.items() if name.startswith(side)}
            for side in ("ours-", "notebook-")
        )
        self.own_chunks = [part for name, part in self.ours.items() if name.startswith("runs-")]
        self.ours |= {run["name"]: run for part in self.own_chunks for run in part["result"]}
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

        The notebook is one process: its imports count once, the target images are loaded once. The process that our
        runs are forked from is one as well. Where fewer than COUNTED_RUNS were run, their mean counts for the others.
        """
        imports = ("import-source", "import-intermediate", "select")
        once = (*imports, "precision", "pretrain", "finetune", "final", "report")
        arms = {arm: self.runs(arm) for arm in ("baseline", "transfer")}
        prepared = all(name in self.ours for name in once) and {"pretrain", "finetune"} <= set(self.book)
        if not prepared or not all(arms.values()):
            return None
        own = {"wall": "seconds", "cpu": "cpu_seconds"}[clock]
        first = self.chunks[0]["result"]
        ours = sum(self.ours[name]["process"][clock] for name in once)
        parent = self.own_chunks[0]
        ours += parent["process"][clock] - sum(run["process"][clock] for run in parent["result"])
        theirs = sum(self.book[stage]["result"][own] for stage in ("pretrain", "finetune")) + first["import_seconds"]
        theirs += first[own] - sum(run[own] for run in first["runs"])
        for pairs in arms.values():
            ours += COUNTED_RUNS * statistics.mean(mine["process"][clock] for mine, _ in pairs)
            theirs += COUNTED_RUNS * statistics.mean(peer[own] for _, peer in pairs)
        # Beside these: preflight and verify.
        tasks = len(once) + 2 * COUNTED_RUNS + 2
        return ours + tasks * self.options.orchestration, theirs

    def to_peak(self, stage: str) -> tuple[Seconds, Seconds, float] | None:
        """`to_best_validation` of a stage."""
        return to_best_validation(self.ours[stage]["result"], self.book[stage]["result"]["runs"][0])


def to_best_validation(ours: dict[str, Any], theirs: dict[str, Any]) -> tuple[Seconds, Seconds, float] | None:
    """Training (wall, processor) seconds, ours and theirs, to the best validation accuracy of the notebook's run.

    `ours` is a record, `theirs` a run of the notebook. None where ours never got there; the third value is that
    accuracy.
    """
    peak = max(theirs["epochs"], key=lambda row: row["validation_accuracy"])
    cpu = ours["prefix_seconds"] * (ours["train_cpu_seconds"] / max(ours["phases"]["train"], 1e-9))
    for row in ours["epochs"]:
        cpu += row["cpu_seconds"]
        if row["validation_accuracy"] >= peak["validation_accuracy"] - SAME_ACCURACY:
            return (row["elapsed"], cpu), (peak["elapsed"], peak["elapsed_cpu"]), peak["validation_accuracy"]
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
            target = ">= 6" if clock == "wall" else ""
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
        ("pretrain", "pretrain", "stage 1"),
        ("finetune", "finetune", "stage 2"),
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
    reached = [found for mine, peer in pairs if (found := to_best_validation(mine["result"], peer))]
    if reached:
        what = f"{arm} run to the notebook's best validation accuracy"
        note = f"reached in {len(reached)} of {len(pairs)}"
        for number, (key, label) in enumerate((("wall", ""), ("cpu", ", processor seconds"))):
            ours, theirs = [one[0][number] for one in reached], [one[1][number] for one in reached]
            add(f"{arm}-peak-{key}", f"{what}{label}", "s", ours, theirs, note=note)
    records, peers = [mine["result"] for mine, _ in pairs], [peer for _, peer in pairs]
    ours, theirs = (statistics.median(len(one["epochs"]) for one in each) for each in (records, peers))
    epochs = {"target": ">= 10" if arm == "transfer" else "", "note": f"{ours:g} epochs beside {theirs:g}"}
    forked = {"note": "ours forks a process for each run, the notebook does not"}
    training, whole = f"{arm} run, training", f"{arm} run, from start to result"
    for key, what, mine, name, more in (
        ("train", training, [one["phases"]["train"] for one in records], "train_seconds", epochs),
        ("train-cpu", training, [one["train_cpu_seconds"] for one in records], "train_cpu_seconds", {}),
        ("whole", whole, [one["process"]["wall"] for one, _ in pairs], "seconds", forked),
        ("whole-cpu", whole, [one["process"]["cpu"] for one, _ in pairs], "cpu_seconds", {}),
    ):
        label = ", processor seconds" if key.endswith("-cpu") else ""
        add(f"{arm}-{key}", f"{what}{label}", "s", mine, [one[name] for one in peers], **more)
    tested = [100 * one["result"]["test_accuracy"] for one in records], [100 * one["test_accuracy"] for one in peers]
    add(f"{arm}-accuracy", f"{arm} runs, test accuracy", "%", *tested, faster_is="more", target=">= 1")
