"""Planted inconsistencies in times, processor time and attempts."""

from __future__ import annotations

from planted.edits import (
    Change,
    Plant,
    Records,
    both,
    clock,
    everything,
    long_epoch,
    named,
    plus,
    put,
    times,
)

TRANSFER, BASELINE = "transfer-01", "baseline-01"
BASELINES, TRANSFERS, ARMS = "baseline-*", "transfer-*", "*-0?"


def no_processor(names: str, *, total: bool = True) -> Change:
    """Leave out the processor time of the epochs; `total`: and of the whole training."""

    def change(records: Records) -> None:
        for name in named(records, names):
            for row in records[name]["epochs"]:
                row["cpu_seconds"] = 0.0
            if total:
                records[name]["train_cpu_seconds"] = 0.0

    return change


CLOCKS = [
    Plant(
        "ten times the training time, epochs unchanged", "consistent_clock", put(BASELINE, "phases.train", times(10))
    ),
    Plant(
        "a tenth of the training time, epochs unchanged", "consistent_clock", put(TRANSFER, "phases.train", times(0.1))
    ),
    Plant(
        "half of the training time moved to compiling",
        "consistent_clock",
        both(put(TRANSFER, "phases.train", times(0.5)), put(TRANSFER, "phases.compile", plus(0.1))),
    ),
    Plant(
        "the pass through the frozen layers left out of the training time",
        "consistent_clock",
        lambda r: r[TRANSFER]["phases"].update(train=r[TRANSFER]["phases"]["train"] - r[TRANSFER]["prefix_seconds"]),
    ),
    Plant("the pass through the frozen layers took no time", "consistent_clock", put(TRANSFER, "prefix_seconds", 0.0)),
    Plant("a pass through frozen layers that was not made", "consistent_clock", put(TRANSFER, "prefix_cached", False)),
    Plant("frozen layers passed once in the baseline", "same_network", put(BASELINE, "prefix_cached", True)),
    Plant(
        "every training time a tenth, processor time unchanged",
        "consistent_clock",
        clock("pretrain", 0.1, processor=False),
    ),
    Plant("every training time of pretraining a tenth, processor time too", "consistent_clock", clock("pretrain", 0.1)),
    Plant("every training time ten times as long, attempt unchanged", "consistent_clock", clock("pretrain", 10)),
    Plant("training 40 times as long in one run, in all places", "plausible_speed", everything(BASELINE, 40)),
    Plant("training a fifth as long in one run, in all places", "plausible_speed", everything(BASELINE, 0.2)),
    Plant("training a fifth as long in one transfer run, in all places", "plausible_speed", everything(TRANSFER, 0.2)),
    Plant("one epoch a minute longer, in all places", "no_stalled_epoch", long_epoch("pretrain", 3, 60.0)),
    Plant("elapsed time going back", "consistent_clock", put(BASELINE, "epochs.2.elapsed", times(0.1))),
    Plant("elapsed time halved", "consistent_clock", put(BASELINE, "epochs.0.elapsed", times(0.5))),
    Plant(
        "elapsed time of all epochs from the last",
        "consistent_clock",
        lambda r: [row.update(elapsed=r[BASELINE]["epochs"][-1]["elapsed"]) for row in r[BASELINE]["epochs"]],
    ),
    Plant("one epoch in half the time", "consistent_clock", put(BASELINE, "epochs.1.train_seconds", times(0.5))),
    Plant("one epoch in no time", "consistent_clock", put(BASELINE, "epochs.1.train_seconds", 0.0)),
    Plant("one epoch in twice the time", "consistent_clock", put(TRANSFER, "epochs.1.train_seconds", times(2))),
    Plant(
        "more processor time than there are processors",
        "consistent_clock",
        put("pretrain", "train_cpu_seconds", times(10)),
    ),
    Plant(
        "more processor time in an epoch than there are processors",
        "consistent_clock",
        put("pretrain", "epochs.1.cpu_seconds", times(20)),
    ),
    Plant("half of the processor time", "consistent_clock", put(BASELINE, "train_cpu_seconds", times(0.5))),
    Plant("processor time of one epoch left out", "consistent_clock", put(BASELINE, "epochs.1.cpu_seconds", 0.0)),
    Plant(
        "a third of the processor time per epoch, in all places",
        "plausible_speed",
        lambda r: (
            [row.update(cpu_seconds=row["cpu_seconds"] * 0.1) for row in r[BASELINE]["epochs"]],
            r[BASELINE].update(train_cpu_seconds=r[BASELINE]["train_cpu_seconds"] * 0.1),
        ),
    ),
    Plant("less evaluation than the epochs had", "consistent_clock", put("pretrain", "phases.evaluate", times(0.1))),
    Plant("no evaluation at all", "consistent_clock", put(BASELINE, "phases.evaluate", 0.0)),
    Plant("no training time in a run that succeeded", "consistent_clock", put(BASELINE, "phases.train", 0.0)),
    Plant("the compiling left out", "consistent_clock", put("baseline-p0-d1-03", "phases.compile", 0.0)),
    Plant("no attempt", "consistent_clock", put(BASELINE, "attempts", [])),
    Plant(
        "fewer epochs in the attempt than in the record",
        "consistent_clock",
        put(BASELINE, "attempts.0.epochs", plus(-1)),
    ),
    Plant(
        "more epochs in the attempt than in the record", "consistent_clock", put(BASELINE, "attempts.0.epochs", plus(3))
    ),
    Plant("first attempt missing", "consistent_clock", put(BASELINE, "attempts.0.number", 2)),
    Plant(
        "attempt shorter than its training", "consistent_clock", put("pretrain", "attempts.0.wall_seconds", times(0.1))
    ),
    Plant(
        "attempt much longer than its phases", "consistent_clock", put("pretrain", "attempts.0.wall_seconds", times(10))
    ),
    Plant(
        "killed attempt in a run that succeeded",
        "consistent_clock",
        put(BASELINE, "attempts.0.ended", "killed by signal 9"),
    ),
    Plant(
        "started at another time than its first attempt",
        "consistent_clock",
        put(BASELINE, "started_at", "2026-11-24T10:00:00+00:00"),
    ),
    Plant(
        "completed twice",
        "consistent_clock",
        lambda r: r[BASELINE]["attempts"].append({**r[BASELINE]["attempts"][0], "number": 2, "epochs": 0}),
    ),
    Plant(
        "interrupted run",
        "uninterrupted",
        lambda r: r[BASELINE].update(
            attempts=[
                {**r[BASELINE]["attempts"][0], "epochs": 1, "ended": "killed by signal 9"},
                {**r[BASELINE]["attempts"][0], "number": 2, "epochs": 2},
            ]
        ),
    ),
    Plant("work done again in a run of one attempt", "consistent_clock", put(BASELINES, "phases.repeated", 100.0)),
    Plant("an attempt on another machine than the run", "consistent_clock", put(TRANSFER, "attempts.0.host", "node-b")),
    Plant("processor time left out of one arm", "consistent_clock", no_processor(TRANSFERS)),
    Plant("processor time left out of the epochs of one run", "consistent_clock", no_processor(BASELINE, total=False)),
    Plant(
        "how long the attempts took left out of one arm",
        "consistent_clock",
        put(TRANSFERS, "attempts.0.wall_seconds", 0.0),
    ),
    Plant(
        "when it began left out of one arm",
        "consistent_clock",
        both(put(TRANSFERS, "started_at", ""), put(TRANSFERS, "attempts.0.started_at", "")),
    ),
    Plant(
        "the machine left out of one arm",
        "consistent_clock",
        both(put(TRANSFERS, "environment.hostname", ""), put(TRANSFERS, "attempts.0.host", "")),
    ),
    Plant(
        "kept outputs of frozen layers in the baseline", "consistent_clock", put(BASELINES, "kept_features", ["test"])
    ),
    Plant(
        "checkpoints of the baseline a hundred times as long",
        "one_at_a_time",
        put(BASELINES, "phases.checkpoint", times(100)),
    ),
    Plant("compiling of the baseline five times as long", "one_at_a_time", put(BASELINES, "phases.compile", times(5))),
    Plant("images of the baseline read in 100 s", "one_at_a_time", put(BASELINES, "phases.data", 100.0)),
    Plant(
        "start-up of the baseline twenty times as long", "one_at_a_time", put(BASELINES, "phases.startup", times(20))
    ),
    Plant("every time of one pretraining a tenth", "plausible_speed", everything("pretrain", 0.1)),
    Plant(
        "two runs on one machine at a time",
        "one_at_a_time",
        lambda r: [
            r[TRANSFER].update(started_at=r["pretrain"]["started_at"]),
            r[TRANSFER]["attempts"][0].update(started_at=r["pretrain"]["started_at"]),
        ],
    ),
    Plant("other work on the machine", "undisturbed", put(BASELINE, "stolen_share", 0.99)),
    Plant("other work unknown in one arm", "disturbance_known", put(BASELINES, "stolen_share", None)),
    Plant(
        "times of another run",
        "not_cached",
        lambda r: r[BASELINE].update(
            {
                key: r["baseline-p0-d1-03"][key]
                for key in ("epochs", "phases", "attempts", "train_cpu_seconds", "started_at")
            }
        ),
    ),
]

CONSISTENT = [
    Plant(
        "every time of all pretrainings a tenth",
        None,
        everything("pretrain pretrain-p1", 0.1),
        "their images and recipe are others than the arms'; what a step of theirs takes follows from none of these",
    ),
    Plant(
        "evaluation left out of the epochs of a run",
        None,
        lambda r: [row.update(evaluate_seconds=0.0) for row in r[BASELINE]["epochs"]],
        "the rest of the evaluation may be that of the test images",
    ),
    Plant(
        "start-up of one arm a tenth",
        None,
        put(TRANSFERS, "phases.startup", times(0.1)),
        "between two runs there may be any time",
    ),
    Plant(
        "half of every duration in all runs of an arm",
        None,
        everything(TRANSFERS, 0.5),
        "a machine twice as fast gives the same records",
    ),
    Plant(
        "start-up time left out of one arm",
        None,
        put(TRANSFERS, "phases.startup", 0.0),
        "it lies before the attempt that begins to count; it is not part of the training time",
    ),
    Plant(
        "less processor time taken by other work",
        None,
        put(ARMS, "stolen_share", lambda v: v / 2),
        "nothing else on the record depends on it",
    ),
    Plant("another peak of memory", None, put(BASELINE, "peak_memory_bytes", times(2)), "no second place holds it"),
]
