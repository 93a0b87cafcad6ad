"""The paper's tables with ours beside them, and its headline number taken apart."""

from __future__ import annotations

from itertools import zip_longest

import numpy as np

from headstart.components.records import RunRecord
from headstart.components.reporting import paper, units
from headstart.components.reporting.break_even import ordinal
from headstart.components.reporting.experiment import Experiment, succeeded
from headstart.components.reporting.summary import Summary
from headstart.components.reporting.tables import Table
from headstart.components.stages import DEFAULT_ARMS, PREPARATION, STAGES

# The paper prints ten runs; so many rows of ours stand beside them, the rest is in the tables of runs.
MOST_ROWS = 12
_CONTROL, _TREATMENT = DEFAULT_ARMS


def _minutes(value: float | None) -> str:
    if value is None:
        return units.MISSING
    return f"{value:,.{3 if value < 2 else 2 if value < 1000 else 1}f}"


def _accuracy(value: float | None) -> str:
    return units.MISSING if value is None else f"{value:.5f}"


def stage_table(experiment: Experiment) -> Table:
    """The stages before the last: minutes and accuracy, the paper's and ours."""

    def ours(records: list[RunRecord]) -> tuple[str, str]:
        good = succeeded(records)
        if not good:
            return units.MISSING, units.MISSING
        return _minutes(good[-1].phases.train / 60), _accuracy(good[-1].result.test_accuracy)

    return Table(
        caption="Preparation",
        columns=["stage", "paper, min", "ours, min", "paper, accuracy", "ours, accuracy"],
        rows=[
            [
                label,
                _minutes(minutes),
                ours(records)[0],
                _accuracy(accuracy),
                ours(records)[1],
            ]
            for label, minutes, accuracy, records in (
                ("1: source set", paper.PRETRAIN_MINUTES, paper.PRETRAIN_ACCURACY, experiment.of(PREPARATION[0])),
                ("2: intermediate set", paper.FINETUNE_MINUTES, paper.FINETUNE_ACCURACY, experiment.of(PREPARATION[1])),
            )
        ],
        numeric=frozenset({1, 2, 3, 4}),
        note="The paper's source is CIFAR-100, its intermediate set Fruits-360 with 120 classes.",
    )


def arm_tables(experiment: Experiment) -> list[Table]:
    """Both arms of the paper beside ours."""
    return [_arm_table(experiment, arm) for arm in DEFAULT_ARMS]


def _arm_table(experiment: Experiment, arm: str) -> Table:
    """Runs of an arm, the paper's and ours, with averages; the paper's as printed and as its rows give it."""
    minutes = paper.BASELINE_MINUTES if arm == _CONTROL else paper.TRANSFER_MINUTES
    accuracies = paper.BASELINE_ACCURACY if arm == _CONTROL else paper.TRANSFER_ACCURACY
    printed = (
        (paper.PRINTED_BASELINE_MINUTES, paper.PRINTED_BASELINE_ACCURACY)
        if arm == _CONTROL
        else (paper.PRINTED_TRANSFER_MINUTES, paper.PRINTED_TRANSFER_ACCURACY)
    )
    good = succeeded(experiment.of(arm))
    ours_minutes = [record.phases.train / 60 for record in good]
    ours_accuracy = [record.result.test_accuracy for record in good]
    rows = []
    for index, cells in enumerate(
        zip_longest(minutes, ours_minutes[:MOST_ROWS], accuracies, ours_accuracy[:MOST_ROWS]), start=1
    ):
        theirs, own, their_accuracy, own_accuracy = cells
        rows.append([str(index), _minutes(theirs), _minutes(own), _accuracy(their_accuracy), _accuracy(own_accuracy)])
    known = [value for value in ours_accuracy if value is not None]
    rows.append(
        [
            "average",
            _minutes(float(np.mean(minutes))),
            _minutes(float(np.mean(ours_minutes)) if ours_minutes else None),
            _accuracy(float(np.mean(accuracies))),
            _accuracy(float(np.mean(known)) if known else None),
        ]
    )
    rows.append(["as printed", _minutes(printed[0]), "", _accuracy(printed[1]), ""])
    more = len(good) - MOST_ROWS
    return Table(
        caption=f"{STAGES[arm].title}, {STAGES[arm].caption}",
        columns=["run", "paper, min", "ours, min", "paper, accuracy", "ours, accuracy"],
        rows=rows,
        numeric=frozenset({1, 2, 3, 4}),
        note=f"{more} more of our runs are in the average." if more > 0 else "",
        totals=2,
    )


def comparison_table(summary: Summary) -> Table:
    """The headline, taken apart: epochs times time an epoch, the paper's and ours."""
    found = paper.audit()
    ours = summary.speedup
    return Table(
        caption="The speed-up taken apart",
        columns=[f"{_CONTROL} / {_TREATMENT}", "paper", "ours"],
        rows=[
            ["training time, means", units.factor(found.speedup), units.factor(ours.train_of_means.estimate)],
            [
                "epochs, means",
                units.factor(found.epochs_ratio),
                units.factor(_ratio(summary.control.epochs.mean, summary.treatment.epochs.mean)),
            ],
            ["time an epoch", units.factor(found.epoch_ratio), units.factor(_pace(summary))],
            [
                "test images",
                f"about {units.factor(found.test_ratio)}" if found.test_ratio else units.MISSING,
                "1 (the same images)" if _same_images(summary) else "not the same images",
            ],
            [
                "preparation repaid from the",
                f"{ordinal(int(np.ceil(found.break_even)))} model",
                f"{ordinal(summary.break_even.first_model)} model"
                if summary.break_even.first_model
                else ("never" if summary.break_even.never else "not known"),
            ],
        ],
        numeric=frozenset({1, 2}),
        note="Epochs and time an epoch multiply to the training time.",
    )


def _ratio(first: float | None, second: float | None) -> float | None:
    return first / second if first is not None and second else None


def _pace(summary: Summary) -> float | None:
    """Total time over total epochs, so that epochs × pace is the ratio of mean times exactly."""
    epochs = _ratio(summary.control.epochs.mean, summary.treatment.epochs.mean)
    return _ratio(summary.speedup.train_of_means.estimate, epochs)


def _same_images(summary: Summary) -> bool:
    return not any(finding.rule == "same_data" for finding in summary.findings)


def notes(summary: Summary) -> list[str]:
    """What the paper's numbers give away, in sentences; every number in them is computed."""
    found = paper.audit()
    said = [
        f"Every baseline time is a whole number of epochs of {found.baseline_epoch_seconds} s "
        f"({min(found.baseline_epochs)} to {max(found.baseline_epochs)} of them), every transfer time of "
        f"{found.transfer_epoch_seconds} s ({min(found.transfer_epochs)} to {max(found.transfer_epochs)}). "
        f"So training was ended by a stop rule, and transfer needed more epochs, not fewer: "
        f"{np.mean(found.transfer_epochs):.0f} against {np.mean(found.baseline_epochs):.0f} on average."
    ]
    if found.baseline_test_images and found.transfer_test_images and found.test_ratio:
        said.append(
            f"An epoch of the baseline took {found.epoch_ratio:.1f} times as long. Freezing layers saves at most the "
            "backward pass, so the two arms did not train on the same images. The accuracies say so too: the "
            f"baseline's fit no test set of fewer than {found.baseline_test_images:,} images, transfer's one of "
            f"{found.transfer_test_images:,}."
        )
        said.append(
            f"If the training sets differed as the test sets do ({found.test_ratio:.1f} times), then of the "
            f"{found.epoch_ratio:.1f} times an epoch {found.epoch_ratio / found.test_ratio:.1f} remain for the frozen "
            f"layers, and of the {found.speedup:.1f} times in all {found.speedup / found.test_ratio:.2f}."
        )
    if found.missing:
        said.append(
            f"The printed baseline averages are those of {found.missing.runs} runs: one of {found.missing.minutes:.2f} "
            f"min ({found.missing.epochs} epochs) with accuracy {found.missing.accuracy:.5f} is missing from the "
            f"table. The ten printed rows average {found.baseline_mean:.3f} min, {found.speedup:.2f} times transfer's "
            f"{found.transfer_mean:.3f}."
        )
    said.append(
        f"Stage 2's accuracy is {found.finetune_correct:,} of {paper.FRUITS_360_TEST_IMAGES:,} images, the test split "
        "of the 120-class release. On its own numbers, preparation is repaid after "
        f"{found.break_even:.1f} models, so from the {ordinal(int(np.ceil(found.break_even)))}."
    )
    pace = _pace(summary)
    if pace is not None and _same_images(summary):
        said.append(
            f"Here both arms saw the same images: an epoch of the baseline took {units.factor(pace)} times as long as "
            f"one of transfer, where the paper's took {found.epoch_ratio:.1f}. What of the paper's factor is "
            "beyond ours comes from its data, or from hardware and software that differ from ours."
        )
    return said
