"""The paper's tables with ours beside them, and its headline number taken apart."""

from __future__ import annotations

from itertools import zip_longest

import numpy as np

from headstart.components.records import RunRecord
from headstart.components.reporting import paper, units
from headstart.components.reporting.break_even import ordinal
from headstart.components.reporting.experiment import Experiment, succeeded
from headstart.components.reporting.summary import Compared, Summary
from headstart.components.reporting.tables import Table, with_interval
from headstart.components.stages import DEFAULT_ARMS, PREPARATION, STAGES

# The paper prints ten runs; as many rows of ours are set beside them, the rest is in the tables of runs.
MOST_ROWS = 12
_CONTROL, _TREATMENT = DEFAULT_ARMS
# Classes by which the paper's two data sets are recognised in every release; no class of apples or pears, since these
# can be held out.
_CIFAR_100 = frozenset({"aquarium_fish", "lawn_mower", "pickup_truck", "sweet_pepper", "willow_tree"})
_FRUITS_360 = ("Banana", "Cactus fruit", "Carambula", "Physalis")


def applies(experiment: Experiment) -> bool:
    """Whether this experiment ran the paper's arms and preparation on CIFAR-100 and Fruits-360.

    Beside other images the paper's figures say nothing.
    """
    source, intermediate = (_classes(experiment.of(stage)) for stage in PREPARATION[:2])
    return (
        set(DEFAULT_ARMS) <= set(experiment.by_stage)
        and source >= _CIFAR_100
        and all(any(name.startswith(fruit) for name in intermediate) for fruit in _FRUITS_360)
    )


def _classes(records: list[RunRecord]) -> set[str]:
    """Classes of the images that were read from files; drawn demonstration images have none."""
    return {
        name
        for record in records
        if record.data and not record.data.source.startswith("demo:")
        for name in record.data.classes
    }


def tables(experiment: Experiment, summary: Summary) -> list[Table]:
    """All tables, the headline taken apart first."""
    arms = [_arm_table(experiment, arm) for arm in DEFAULT_ARMS]
    return [comparison_table(summary), stage_table(experiment), *arms]


def _minutes(value: float | None) -> str:
    if value is None:
        return units.MISSING
    return f"{value:,.{3 if value < 2 else 2 if value < 1000 else 1}f}"


def _accuracy(value: float | None) -> str:
    return units.MISSING if value is None else f"{value:.5f}"


def stage_table(experiment: Experiment) -> Table:
    """The stages before the last: minutes and accuracy, the paper's and ours."""
    rows = []
    for label, stage, minutes, accuracy in (
        ("1: source set", PREPARATION[0], paper.PRETRAIN_MINUTES, paper.PRETRAIN_ACCURACY),
        ("2: intermediate set", PREPARATION[1], paper.FINETUNE_MINUTES, paper.FINETUNE_ACCURACY),
    ):
        ours = succeeded(experiment.of(stage))[-1:]
        took, reached = (ours[0].phases.train / 60, ours[0].result.test_accuracy) if ours else (None, None)
        rows.append([label, _minutes(minutes), _minutes(took), _accuracy(accuracy), _accuracy(reached)])
    return Table(
        caption="Preparation",
        columns=["stage", "paper, min", "ours, min", "paper, training accuracy", "ours, test accuracy"],
        rows=rows,
        numeric=frozenset({1, 2, 3, 4}),
        note="The paper's source is CIFAR-100, its intermediate set Fruits-360 with 120 classes.",
    )


def _arm_table(experiment: Experiment, arm: str) -> Table:
    """Runs of an arm, the paper's and ours, with averages; the paper's as printed and as its rows give it."""
    minutes: tuple[float, ...]
    if arm == _CONTROL:
        minutes, accuracies = paper.BASELINE_MINUTES, paper.BASELINE_ACCURACY
        printed = paper.PRINTED_BASELINE_MINUTES, paper.PRINTED_BASELINE_ACCURACY
    else:
        minutes, accuracies = paper.TRANSFER_MINUTES, paper.TRANSFER_ACCURACY
        printed = paper.PRINTED_TRANSFER_MINUTES, paper.PRINTED_TRANSFER_ACCURACY
    good = succeeded(experiment.of(arm))
    ours_minutes = [record.phases.train / 60 for record in good]
    ours_accuracy = [record.result.test_accuracy for record in good]
    beside = zip_longest(minutes, ours_minutes[:MOST_ROWS], accuracies, ours_accuracy[:MOST_ROWS])
    rows = [
        [str(index), _minutes(theirs), _minutes(own), _accuracy(reached), _accuracy(own_reached)]
        for index, (theirs, own, reached, own_reached) in enumerate(beside, start=1)
    ]
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
        columns=["run", "paper, min", "ours, min", "paper, training accuracy", "ours, test accuracy"],
        rows=rows,
        numeric=frozenset({1, 2, 3, 4}),
        note=f"{more} more of our runs are in the average." if more > 0 else "",
        totals=2,
    )


def comparison_table(summary: Summary) -> Table:
    """The headline, taken apart: epochs times time per epoch, the paper's and ours."""
    found = paper.audit()
    ours = _papers_comparison(summary)
    pays = ours.break_even
    ours_first = f"{ordinal(pays.first_model)} model" if pays.first_model else "never" if pays.never else "not known"
    return Table(
        caption="The speed-up taken apart",
        columns=[f"{_CONTROL} / {_TREATMENT}", "paper", "ours"],
        rows=[
            [
                "training time, means",
                with_interval(found.speedup, units.factor),
                with_interval(ours.speedup.train_of_means, units.factor),
            ],
            ["epochs, means", units.factor(found.epochs_ratio), units.factor(_epochs(summary))],
            ["time per epoch", units.factor(found.epoch_ratio), units.factor(_pace(summary))],
            [
                "accuracy gain, points (paper: training, ours: test)",
                with_interval(found.gain, units.hundredths),
                with_interval(ours.accuracy_gain.these_images, units.hundredths),
            ],
            ["breaks even from the", f"{ordinal(int(np.ceil(found.break_even)))} model", ours_first],
        ],
        numeric=frozenset({1, 2}),
        note="Epochs and time per epoch multiply to the training time. The paper's intervals are computed from its ten "
        "printed rows.",
    )


def _papers_comparison(summary: Summary) -> Compared:
    return next((each for each in summary.comparisons if (each.control, each.treatment) == DEFAULT_ARMS), summary.first)


def _epochs(summary: Summary) -> float | None:
    return _ratio(summary.arms[_CONTROL].epochs.mean, summary.arms[_TREATMENT].epochs.mean)


def _ratio(first: float | None, second: float | None) -> float | None:
    return first / second if first is not None and second else None


def _pace(summary: Summary) -> float | None:
    """Total time over total epochs, so that epochs × pace is the ratio of mean times exactly."""
    return _ratio(_papers_comparison(summary).speedup.train_of_means.estimate, _epochs(summary))


def notes(summary: Summary) -> list[str]:
    """What the paper's numbers show when they are checked, in sentences; every number in them is computed."""
    found = paper.audit()
    low, high = found.speedup_by_rounding
    lines = [
        "The paper's accuracies are training accuracies, ours are measured on test images: the columns cannot be "
        "compared digit by digit.",
        f"Every baseline time is a whole number of epochs of {found.baseline_epoch_seconds} s "
        f"({min(found.baseline_epochs)} to {max(found.baseline_epochs)} of them), every transfer time of "
        f"{found.transfer_epoch_seconds} s ({min(found.transfer_epochs)} to {max(found.transfer_epochs)}), which "
        f"suggests a stop rule. Transfer needed more epochs, not fewer: {np.mean(found.transfer_epochs):.0f} against "
        f"{np.mean(found.baseline_epochs):.0f} on average. Keras prints whole seconds per epoch, so that the "
        f"{units.factor(found.speedup.estimate)} times could be {units.factor(low)} to {units.factor(high)} by "
        "rounding alone.",
        f"An epoch of the baseline took {found.epoch_ratio:.1f} times as long. On the same images freezing layers "
        "saves at most the backward pass, unless the outputs of the frozen layers are computed once, which the paper's "
        "code does not do: the two arms can hardly have been trained on the same images.",
    ]
    if found.common_images and not found.baseline_fits:
        lines.append(
            f"All ten transfer accuracies fit {found.common_images:,} images; the baseline's do not, so the two were "
            "not measured on the same ones."
        )
    if found.missing:
        lines.append(
            f"The printed baseline averages are those of {found.missing.runs} runs: one of {found.missing.minutes:.2f} "
            f"min ({found.missing.epochs} epochs) with accuracy {found.missing.accuracy:.5f} is missing from the "
            f"table. The ten printed rows average {found.baseline_mean:.3f} min, {found.speedup.estimate:.2f} times "
            f"transfer's {found.transfer_mean:.3f}."
        )
    lines.append(
        f"Stage 2's accuracy fits {found.finetune_correct:,} of {paper.FRUITS_360_TEST_IMAGES:,} images, the size of "
        "the test split of the 120-class release. On the paper's own numbers preparation breaks even after "
        f"{found.break_even:.1f} models, so from the {ordinal(int(np.ceil(found.break_even)))}."
    )
    pace = _pace(summary)
    if pace is not None and not any(finding.rule == "same_data" for finding in summary.findings):
        lines.append(
            f"Here both arms train on the same images: an epoch of the baseline took {units.factor(pace)} times as "
            f"long as one of transfer, where the paper's took {found.epoch_ratio:.1f}. Where the outputs of "
            "frozen layers are computed once (see Runs), ours is larger for that reason; data, hardware and software "
            "differ too."
        )
    return lines
