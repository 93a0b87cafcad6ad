"""The tables of the report as rows of text, for HTML, Markdown and CSV alike."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from headstart.components.foreign_text import csv_cell
from headstart.components.records import RunRecord
from headstart.components.reporting import units
from headstart.components.reporting.experiment import PHASES, Experiment, succeeded, total_seconds
from headstart.components.reporting.summary import Interval, Summary, finite
from headstart.components.reporting.time_to_accuracy import best_validation_accuracy, time_to
from headstart.components.stages import STAGES

# More rows than this are for a spreadsheet, not for a page; runs.csv has them all.
MOST_ROWS = 200


@dataclass(frozen=True)
class Table:
    """A heading line, rows of text, and which columns hold numbers (those are aligned right)."""

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str]]
    numeric: frozenset[int] = field(default_factory=frozenset)
    note: str = ""
    totals: int = 0  # how many rows at the end are totals
    minor: frozenset[int] = field(default_factory=frozenset)  # columns that a phone leaves out


def with_interval(content: Interval, render: Callable[[float | None], str]) -> str:
    """`7.1 (6.4–7.9)`; an end that is open in words, an estimate alone where there is no interval."""
    ends = interval(content, render)
    return f"{render(content.estimate)} ({ends})" if ends else render(content.estimate)


def interval(content: Interval, render: Callable[[float | None], str]) -> str:
    """`6.4–7.9`, with signs `−0.1 to +0.5`; nothing where there is no interval."""
    signed = any(render(end)[:1] in "+−" for end in (content.low, content.high))
    return units.ends(content.low, content.high, render, " to " if signed else "–")


def runs_table(experiment: Experiment, summary: Summary, arm: str) -> Table:
    """One row per run of an arm, then mean, median and standard deviation of those that succeeded."""
    records = experiment.arms[arm]
    found = summary.arms[arm]
    rows = [_run_row(record, summary.target_accuracy) for record in records[:MOST_ROWS]]
    for name in ("mean", "median", "std"):
        label = "standard deviation" if name == "std" else name
        rows.append(
            [
                label,
                units.seconds(getattr(found.train_seconds, name)),
                units.percent(getattr(found.accuracy, name), 2),
                units.number(getattr(found.epochs, name)),
                "",
                units.number(getattr(found.seconds_per_epoch, name), 3),
                units.seconds(found.time_to_accuracy_median) if name == "median" else "",
                units.percent(getattr(found.best_validation_accuracy, name), 2),
            ]
        )
    note = f"{found.succeeded} of {found.runs} runs succeeded."
    if len(records) > MOST_ROWS:
        note += f" The first {MOST_ROWS} are shown; runs.csv has all of them."
    target = units.percent(summary.target_accuracy) if summary.target_accuracy is not None else "the target"
    return Table(
        caption=f"{STAGES[arm].title}: {STAGES[arm].caption}",
        columns=["run", "train s", "test accuracy", "epochs", "ended", "s/epoch", f"s to {target}", "best validation"],
        rows=rows,
        numeric=frozenset({1, 2, 3, 5, 6, 7}),
        minor=frozenset({4, 5, 6, 7}),
        note=note,
        totals=3,
    )


def _run_row(record: RunRecord, target: float | None) -> list[str]:
    reached = finite(time_to(record, target)) if target is not None else None
    if record.status == "succeeded":
        ended = {"early_stopping": "stop rule", "max_epochs": "maximum of epochs", "target_reached": "target"}.get(
            record.stop_reason, record.stop_reason
        )
    else:
        ended = f"{record.status}: {record.reason}" if record.reason else record.status
    return [
        record.name.removeprefix(f"{record.arm}-"),
        units.seconds(record.phases.train or None),
        units.percent(record.result.test_accuracy, 2),
        str(len(record.epochs)) if record.epochs else units.MISSING,
        ended,
        units.number(record.phases.train / len(record.epochs), 3) if record.epochs else units.MISSING,
        units.seconds(reached) if reached is not None else "never" if record.epochs else units.MISSING,
        units.percent(best_validation_accuracy(record), 2),
    ]


def preparation_table(experiment: Experiment) -> Table:
    """The stages that are no arm's, and what they took."""
    several = any(record.preparation for record in experiment.once)
    rows = [
        [
            STAGES[record.arm].title + (f" {record.preparation + 1}" if several else ""),
            units.duration(record.phases.train or None),
            units.percent(record.result.test_accuracy, 2),
            str(len(record.epochs)) if record.epochs else units.MISSING,
            units.duration(total_seconds(record) or None),
            units.percent(best_validation_accuracy(record), 2),
            record.status if record.status == "succeeded" else f"{record.status}: {record.reason}",
        ]
        for record in experiment.once
    ]
    return Table(
        caption="Preparation and final model",
        columns=["stage", "training", "test accuracy", "epochs", "all phases", "best validation", "status"],
        rows=rows,
        numeric=frozenset({1, 2, 3, 4, 5}),
        minor=frozenset({4, 5}),
        note=f"Preparation is {' and '.join(STAGES[stage].title.lower() for stage in experiment.preparation)} together."
        if experiment.preparation
        else "",
    )


def class_accuracy_table(experiment: Experiment) -> Table | None:
    """Share of each class's test images that is found, mean over the runs of every arm; None where no record knows."""
    shown = {**experiment.arms, **({"final model": experiment.final} if experiment.final else {})}
    found = {name: class_accuracy(records) for name, records in shown.items()}
    found = {name: shares for name, shares in found.items() if shares}
    classes = list(dict.fromkeys(label for shares in found.values() for label in shares))
    if not classes:
        return None
    return Table(
        caption="Accuracy by class",
        columns=["class", *found],
        rows=[
            [label, *(units.percent(shares.get(label)) for shares in found.values())] for label in classes[:MOST_ROWS]
        ],
        numeric=frozenset(range(1, len(found) + 1)),
        note="Share of a class's test images that is found, mean over the runs.",
    )


def class_accuracy(records: Sequence[RunRecord]) -> dict[str, float]:
    """Mean over the runs that succeeded of the share of each class that is found, a fraction."""
    shares: dict[str, list[float]] = {}
    for record in succeeded(records):
        matrix = record.result.confusion or []
        if record.data is None or any(len(row) != len(record.data.classes) for row in matrix):
            continue
        for index, (label, row) in enumerate(zip(record.data.classes, matrix, strict=False)):
            if sum(row):
                shares.setdefault(label, []).append(row[index] / sum(row))
    return {label: sum(each) / len(each) for label, each in shares.items()}


def to_csv(experiment: Experiment, target: float | None) -> str:
    """`runs.csv`: one row per run of every stage and arm, numbers unrounded, empty where not known."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        ["arm", "seed", "run_id", "preparation", "draw", "status", "reason", "stop_reason"]
        + ["preset", "epochs", "train_seconds"]
        + [f"{phase}_seconds" for phase in PHASES if phase != "train"]
        + ["total_seconds", "train_cpu_seconds", "seconds_to_target", "best_validation_accuracy", "test_accuracy"]
        + ["trainable_parameters", "peak_memory_bytes", "attempts", "data_digest", "device", "image", "started_at"]
        + ["size_per_class", "training_images"]
    )
    for record in experiment.every:
        reached = finite(time_to(record, target)) if target is not None else None
        environment = record.environment
        cells: list[object] = [record.arm, record.seed, record.run_id, record.preparation, record.draw]
        cells += [record.status, record.reason, record.stop_reason]
        cells += [record.preset, len(record.epochs), record.phases.train]
        cells += [getattr(record.phases, phase) for phase in PHASES if phase != "train"]
        cells += [total_seconds(record), record.train_cpu_seconds, reached, best_validation_accuracy(record)]
        cells += [record.result.test_accuracy, record.trainable_parameters, record.peak_memory_bytes]
        cells += [len(record.attempts), record.data.digest if record.data else "", environment.device_name]
        cells += [environment.image, record.started_at]
        cells += [record.subset.size_per_class, record.subset.images] if record.subset else [None, None]
        writer.writerow([csv_cell(cell) if isinstance(cell, str) else cell for cell in cells])
    return out.getvalue()
