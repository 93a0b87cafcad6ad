"""The tables of the report as rows of text, for HTML, Markdown and CSV alike."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from headstart.components.foreign_text import csv_cell
from headstart.components.records import RunRecord
from headstart.components.reporting import units
from headstart.components.reporting.experiment import PHASES, Experiment, total_seconds
from headstart.components.reporting.summary import Interval, Summary
from headstart.components.reporting.time_to_accuracy import best_validation_accuracy, finite, time_to
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


def with_interval(content: Interval, render: Callable[[float | None], str]) -> str:
    """`7.1 (6.4–7.9)`; an end that is open in words, an estimate alone where there is no interval."""
    low, high = content.low, content.high
    if low is None and high is None:
        return render(content.estimate)
    if high is None:
        return f"{render(content.estimate)} ({render(low)} or more)"
    if low is None:
        return f"{render(content.estimate)} (at most {render(high)})"
    joiner = " to " if low < 0 else "–"
    return f"{render(content.estimate)} ({render(low)}{joiner}{render(high)})"


def runs_table(experiment: Experiment, summary: Summary, arm: str) -> Table:
    """One row a run of an arm, then mean, median and standard deviation of those that succeeded."""
    records = experiment.arms[arm]
    found = summary.arms[arm]
    rows = [_run_row(record, summary.target_accuracy) for record in records[:MOST_ROWS]]
    for name in ("mean", "median", "std"):
        label = "standard deviation" if name == "std" else name
        rows.append(
            [
                label,
                units.seconds(getattr(found.train_seconds, name)),
                units.number(getattr(found.epochs, name)),
                units.number(getattr(found.seconds_per_epoch, name), 3),
                units.seconds(found.time_to_accuracy_median) if name == "median" else "",
                units.percent(getattr(found.best_validation_accuracy, name), 2),
                units.percent(getattr(found.accuracy, name), 2),
                "",
            ]
        )
    note = f"{found.succeeded} of {found.runs} runs succeeded."
    if len(records) > MOST_ROWS:
        note += f" The first {MOST_ROWS} are shown; runs.csv has all of them."
    target = units.percent(summary.target_accuracy) if summary.target_accuracy is not None else "the target"
    return Table(
        caption=f"{STAGES[arm].title}: {STAGES[arm].caption}",
        columns=["run", "train s", "epochs", "s/epoch", f"s to {target}", "best validation", "test accuracy", "ended"],
        rows=rows,
        numeric=frozenset(range(1, 7)),
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
        str(len(record.epochs)) if record.epochs else units.MISSING,
        units.number(record.phases.train / len(record.epochs), 3) if record.epochs else units.MISSING,
        units.seconds(reached) if reached is not None else "never" if record.epochs else units.MISSING,
        units.percent(best_validation_accuracy(record), 2),
        units.percent(record.result.test_accuracy, 2),
        ended,
    ]


def preparation_table(experiment: Experiment) -> Table:
    """The stages that are no arm's, and what they took."""
    several = any(record.preparation for record in experiment.once)
    rows = [
        [
            STAGES[record.arm].title + (f" {record.preparation + 1}" if several else ""),
            units.duration(record.phases.train or None),
            units.duration(total_seconds(record) or None),
            str(len(record.epochs)) if record.epochs else units.MISSING,
            units.percent(best_validation_accuracy(record), 2),
            units.percent(record.result.test_accuracy, 2),
            record.status if record.status == "succeeded" else f"{record.status}: {record.reason}",
        ]
        for record in experiment.once
    ]
    return Table(
        caption="Preparation and final model",
        columns=["stage", "training", "all phases", "epochs", "best validation", "test accuracy", "status"],
        rows=rows,
        numeric=frozenset({1, 2, 3, 4, 5}),
        note=f"Preparation is {' and '.join(STAGES[stage].title.lower() for stage in experiment.preparation)} together."
        if experiment.preparation
        else "",
    )


def to_csv(experiment: Experiment, target: float | None) -> str:
    """`runs.csv`: one row a run of every stage and arm, numbers unrounded, empty where not known."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(
        [
            "arm",
            "seed",
            "run_id",
            "preparation",
            "draw",
            "status",
            "reason",
            "stop_reason",
            "preset",
            "epochs",
            "train_seconds",
        ]
        + [f"{phase}_seconds" for phase in PHASES if phase != "train"]
        + ["total_seconds", "train_cpu_seconds", "seconds_to_target", "best_validation_accuracy", "test_accuracy"]
        + ["trainable_parameters", "peak_memory_bytes", "attempts", "data_digest", "device", "image", "started_at"]
    )
    for record in experiment.records:
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
        writer.writerow([csv_cell(cell) if isinstance(cell, str) else cell for cell in cells])
    return out.getvalue()
