"""A run's records as MLflow runs: one parent for the experiment, one child for each record, the report as artifacts."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from headstart.components.errors import SettingError
from headstart.components.foreign_text import printable
from headstart.components.records import RunRecord
from headstart.components.reporting.collecting import find_records, group
from headstart.components.reporting.report import measure
from headstart.components.reporting.summary import Interval, Summary, read_summary
from headstart.pipelines.mlflow_server import Metric, Run, TrackingServer
from headstart.pipelines.own_files import REPORT_FILES

RUN_ID, RECORD, CONTENT = "headstart.run_id", "headstart.record", "headstart.content"
_EPOCH = ("loss", "accuracy", "validation_loss", "validation_accuracy", "train_seconds", "evaluate_seconds")
_STATUS = {"succeeded": "FINISHED", "failed": "FAILED", "diverged": "FAILED"}


@dataclass
class Exported:
    """What became of one experiment; `state` and, for each record, `runs` are `created`, `updated` or `unchanged`.

    `left_out` says why the files were not stored; empty: they were.
    """

    experiment_id: str
    run_id: str
    url: str
    state: str
    runs: dict[str, str] = field(default_factory=dict)
    left_out: str = ""


@dataclass
class _Entry:
    """What is sent of the experiment, or of one record."""

    record: str
    label: str
    status: str
    start: int
    end: int
    tags: dict[str, str]
    parameters: dict[str, str]
    metrics: list[Metric]
    files: dict[str, bytes]

    @property
    def content(self) -> str:
        """A digest of everything that is sent, by which a later export knows it again."""
        return hashlib.sha256(repr(asdict(self)).encode()).hexdigest()


def export(folder: Path, server: TrackingServer, experiment: str) -> Exported:
    """Send the run in `folder` (an output folder, or a folder of records); what the server has stays as it is.

    A record that changed since an earlier export replaces its run there. SettingError where there is no record or
    those of several experiments.
    """
    groups = group(find_records([folder]))
    if len(groups) > 1:
        raise SettingError(f"{folder}: holds {len(groups)} experiments: {', '.join(groups)}.", "Name one of them.")
    ((name, records),) = groups.items()
    # A search term between quotes.
    key = re.sub(r"[^\w.:-]", "-", records[0].run_id) or "run"
    number = server.experiment(experiment)
    there: dict[str, list[Run]] = {}
    for run in server.runs(number, RUN_ID, key):
        there.setdefault(run.tag(RECORD) or "", []).append(run)
    parent, state = _send(server, number, _experiment(folder, name, records), {RUN_ID: key}, there.get("", []))
    number_of_run = parent.info.run_id
    url = f"{server.uri}/#/experiments/{number}/runs/{number_of_run}"
    done = Exported(number, number_of_run, url, state, left_out=server.artifacts_problem(parent))
    identity = {RUN_ID: key, "mlflow.parentRunId": number_of_run}
    for entry in map(_record, sorted(records, key=lambda one: one.name)):
        _, done.runs[entry.record] = _send(server, number, entry, identity, there.get(entry.record, []))
    return done


def _send(
    server: TrackingServer,
    experiment: str,
    entry: _Entry,
    identity: dict[str, str],
    there: Sequence[Run],
) -> tuple[Run, str]:
    """Bring one run up to date; return it, and what was done.

    The tag with its content is set last, so that a run whose export was interrupted is sent again. The experiment's
    own run is updated, since others name it as their parent; that of a record is replaced, since the parameters of a
    run cannot change.
    """
    for run in there:
        if run.tag(CONTENT) == entry.content:
            return run, "unchanged"
    update = there[0] if there and not entry.record else None
    run = update or server.create_run(experiment, entry.label, entry.start, {**identity, RECORD: entry.record})
    server.log(run.info.run_id, entry.metrics, entry.parameters)
    if not server.artifacts_problem(run):
        for name, content in entry.files.items():
            server.put_artifact(run, name, content)
    server.finish(run.info.run_id, entry.status, entry.end)
    server.tag(run.info.run_id, {**entry.tags, CONTENT: entry.content})
    for outdated in there if update is None else []:
        server.delete(outdated.info.run_id)
    return run, "updated" if there else "created"


def _milliseconds(moment: str) -> int:
    try:
        return int(datetime.fromisoformat(moment).timestamp() * 1000)
    except (ValueError, OverflowError):
        return 0


def _flat(prefix: str, value: Any) -> dict[str, str]:
    if isinstance(value, dict):
        inner = [_flat(f"{prefix}.{name}" if prefix else str(name), item) for name, item in value.items()]
        return {name: text for part in inner for name, text in part.items()}
    # MLflow takes letters, digits and these in a name.
    return {re.sub(r"[^\w.:/ -]", "_", prefix)[:250]: printable(value)}


def _known(values: dict[str, Any], at: int) -> list[Metric]:
    return [Metric(key, float(value), at) for key, value in values.items() if value is not None]


def _record(record: RunRecord) -> _Entry:
    start = _milliseconds(record.started_at)
    attempts = [_milliseconds(one.started_at) + int(one.wall_seconds * 1000) for one in record.attempts]
    end = max([start, *attempts])
    metrics = [
        Metric(name, value, start + int(row.elapsed * 1000), row.epoch)
        for row in record.epochs
        for name in _EPOCH
        if (value := getattr(row, name)) is not None
    ]
    result, environment, data = record.result, record.environment, record.data
    last = {name: getattr(result, name) for name in ("test_accuracy", "test_loss", "best_validation_accuracy")}
    last |= {f"{phase}_seconds_total": seconds for phase, seconds in record.phases.model_dump().items()}
    metrics += _known({**last, "peak_memory_bytes": record.peak_memory_bytes or None}, end)
    known: dict[str, Any] = {name: getattr(record, name) for name in ("arm", "seed", "preparation", "draw", "preset")}
    known |= {"network": record.network or "paper", "recipe": record.recipe, "stage": record.stage}
    if record.subset:
        known["subset"] = record.subset.model_dump()
    if data:
        known["data"] = {"digest": data.digest, "image_size": data.image_size, "classes": len(data.classes)}
        known["data"] |= data.counts
    tags = {
        "status": record.status,
        "reason": record.reason,
        "stop_reason": record.stop_reason,
        "device": environment.device_name or environment.device_kind,
        "processor": environment.processor,
        "image": environment.image,
        "source": data.source if data else "",
        **{f"version.{name}": version for name, version in environment.versions.items()},
    }
    return _Entry(
        record=record.name,
        label=record.name,
        status=_STATUS[record.status],
        start=start,
        end=end,
        tags={name: printable(value) for name, value in tags.items() if value},
        parameters=_flat("", known),
        metrics=metrics,
        files={"record.json": record.model_dump_json(indent=1).encode()},
    )


def _experiment(folder: Path, name: str, records: Sequence[RunRecord]) -> _Entry:
    files = {file: (folder / file).read_bytes() for file in REPORT_FILES if (folder / file).is_file()}
    summary = read_summary(folder) if "summary.json" in files else measure(records).summary
    runs = [_record(record) for record in records]
    end = max(run.end for run in runs)
    tags = {
        # MLflow shows it as the description of the run.
        "mlflow.note.content": summary.answer,
        "sound": str(summary.sound).lower(),
        "findings": ", ".join(sorted({finding.rule for finding in summary.findings})),
        "records": ", ".join(sorted(run.record for run in runs)),
        "data_digest": summary.data_digest,
        "hardware": summary.hardware,
        "command": summary.command,
        "version.headstart": summary.headstart_version,
    }
    return _Entry(
        record="",
        label=name,
        status="FINISHED",
        start=min(run.start for run in runs),
        end=end,
        tags={key: printable(value) for key, value in tags.items() if value},
        parameters={},
        metrics=[*_known(_figures(summary), end), *_learning_curve(summary, end)],
        files=files,
    )


def _figures(summary: Summary) -> dict[str, float | None]:
    """The figures of a summary that runs are compared by."""
    figures: dict[str, float | None] = {
        "preparation_seconds": summary.preparation_seconds,
        "final_accuracy": summary.final_accuracy,
    }
    for arm, values in summary.arms.items():
        figures |= {f"{arm}.test_accuracy": values.accuracy.mean, f"{arm}.train_seconds": values.train_seconds.median}
    for one in summary.comparisons:
        pair = f"{one.treatment}_over_{one.control}"
        figures |= _interval(f"{pair}.speedup", one.speedup.train) | _interval(f"{pair}.accuracy_gain", one.gain)
        figures[f"{pair}.break_even_models"] = one.break_even.models
    if (saved := summary.labels_saved) is not None:
        figures |= {"labels_saved": saved.estimate, "labels_saved_low": saved.low, "labels_saved_high": saved.high}
    return figures


def _learning_curve(summary: Summary, at: int) -> list[Metric]:
    """Accuracy of each arm with the number of training images as step, of which MLflow draws the learning curve."""
    return [
        Metric(f"{point.arm}.accuracy_by_training_images", point.accuracy.estimate, at, point.size)
        for point in summary.curve
        if point.accuracy.estimate is not None
    ]


def _interval(name: str, interval: Interval) -> dict[str, float | None]:
    return {name: interval.estimate, f"{name}_low": interval.low, f"{name}_high": interval.high}
