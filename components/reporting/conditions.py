"""What an experiment ran on: images, recipe, hardware, software, runs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from headstart.components.errors import HeadstartError
from headstart.components.records import RunRecord
from headstart.components.reporting import units
from headstart.components.reporting.experiment import Experiment, by_key
from headstart.components.reporting.settings import ReportSettings
from headstart.components.reporting.summary import Summary
from headstart.components.reporting.tables import Table
from headstart.components.reporting.verify import RULES
from headstart.components.stages import ARMS, PREPARATION, PRODUCT, STAGES

# Stages that share a recipe are one column.
COLUMNS: tuple[tuple[str, tuple[str, ...]], ...] = (
    *((name, (name,)) for name in PREPARATION),
    (f"{PRODUCT} and arms", (PRODUCT, *ARMS)),
)
CHANGED = "◆"
MOST_CLASSES_NAMED = 12


def _grouped(experiment: Experiment, key: Callable[[RunRecord], Any]) -> list[tuple[RunRecord, list[RunRecord]]]:
    """Records of equal key, in the order of stages, with the first of each as their example."""
    return [(group[0], group) for group in by_key(experiment.records, key).values()]


def _used_by(records: Sequence[RunRecord]) -> str:
    arms = Counter(record.arm for record in records)
    return ", ".join(f"{n} {arm}" if STAGES[arm].is_arm or n > 1 else arm for arm, n in arms.items())


def data_table(experiment: Experiment) -> Table:
    """The data sets, one row each, with what was skipped and how much of the test is in training."""
    rows = []
    for example, records in _grouped(experiment, lambda record: record.data.digest if record.data else ""):
        data = example.data
        if data is None:
            rows.append([_used_by(records), "not known", *[units.MISSING] * 6])
            continue
        counts = [f"{data.counts.get(split, 0):,}" for split in ("train", "validation", "test")]
        leak = f"{data.duplicates_across_splits:,}"
        if data.near_duplicates_across_splits is not None:
            leak += f" (+ {data.near_duplicates_across_splits:,} near)"
        named = ", ".join(data.classes[:MOST_CLASSES_NAMED]) if len(data.classes) <= MOST_CLASSES_NAMED else ""
        classes = f"{len(data.classes)}: {named}" if named else str(len(data.classes))
        size = f"{data.image_size}×{data.image_size}"
        source = f"{data.source} (SHA-256 {data.digest[:12]})"
        rows.append([_used_by(records), source, classes, size, " / ".join(counts), f"{data.skipped:,}", leak])
    return Table(
        caption="Images",
        columns=["used by", "source", "classes", "pixels", "train / validation / test", "skipped", "test in training"],
        rows=rows,
        numeric=frozenset({4, 5, 6}),
        note=" ".join(_data_notes(experiment)),
    )


def _data_notes(experiment: Experiment) -> list[str]:
    found: dict[str, dict[str, None]] = {}
    for record in experiment.records:
        if record.data and record.data.notes:
            notes = [note if note.endswith(".") else f"{note}." for note in record.data.notes]
            found.setdefault(STAGES[record.arm].data, {}).update(dict.fromkeys(notes))
    return [f"The {role} set: {' '.join(notes)}" for role, notes in found.items()]


def recipe_table(experiment: Experiment) -> Table:
    """Every setting of training and freezing by stage; what differs from the preset is marked and the preset named."""
    examples = [
        next((record for record in experiment.records if record.arm in arms and (record.recipe or record.stage)), None)
        for _, arms in COLUMNS
    ]
    presets = [_preset_values(record) if record else {} for record in examples]
    names = list(dict.fromkeys(name for record in examples if record for name in record.recipe))
    rows = []
    for name in names:
        cells = []
        for record, preset in zip(examples, presets, strict=True):
            value = record.recipe.get(name) if record else None
            text = _setting(value) if record and name in record.recipe else units.MISSING
            if record and name in preset and preset[name] != value:
                text += f" {CHANGED} (preset: {_setting(preset[name])})"
            cells.append(text)
        rows.append([name, *cells])
    stages = [record.stage if record else {} for record in examples]
    for name in dict.fromkeys(name for stage in stages for name in stage):
        rows.append([name, *(_setting(stage[name]) if name in stage else units.MISSING for stage in stages)])
    parameters = [_parameters(experiment, arms) for _, arms in COLUMNS]
    rows.append(["trainable parameters", *parameters])
    used = sorted({record.preset for record in experiment.records if record.preset})
    changed = any(CHANGED in cell for row in rows for cell in row)
    note = f"Preset: {', '.join(used) or 'not named'}. "
    note += (
        f"{CHANGED} differs from the preset." if changed else "Nothing differs from the preset." if any(presets) else ""
    )
    if any(record and record.recipe.get("least_steps") for record in examples):
        note += " Where epochs are fewer steps than least_steps, runs train for more epochs."
    return Table(caption="Recipe", columns=["setting", *(label for label, _ in COLUMNS)], rows=rows, note=note.strip())


def _preset_values(record: RunRecord) -> dict[str, Any]:
    """What the preset of a record says today; empty where this version does not know the preset."""
    from headstart.components.training.recipes import recipe

    try:
        values = recipe(record.preset, record.arm).model_dump(mode="json")
    except HeadstartError:
        return {}
    # What auto came to does not differ from it.
    return values | {"precision": record.precision.chosen} if record.precision else values


def _setting(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, (list, tuple)):
        return ", ".join(str(item) for item in value) or "none"
    return str(value)


def _parameters(experiment: Experiment, arms: tuple[str, ...]) -> str:
    lines = dict.fromkeys(
        (f"{record.arm} " if len(arms) > 1 else "") + f"{record.trainable_parameters:,} of {record.total_parameters:,}"
        for record in experiment.records
        if record.arm in arms and record.total_parameters
    )
    return "; ".join(lines) or units.MISSING


def hardware_table(experiment: Experiment) -> Table:
    """Machines and software, one row for each that differs."""
    rows = []
    contained = any(record.environment.image for record in experiment.records)
    for example, records in _grouped(
        experiment,
        lambda record: record.environment.model_dump_json(exclude={"hostname", "memory_bytes"}),
    ):
        found = example.environment
        device = (
            f"{found.device_count} × {found.device_name or found.device_kind}" if found.device_count else "not known"
        )
        rows.append(
            [
                _used_by(records),
                device,
                found.processor or units.MISSING,
                f"{found.cores:g} / {found.threads}" if found.cores else units.MISSING,
                units.size(found.memory_bytes),
                ", ".join(f"{name} {version}" for name, version in found.versions.items()) or units.MISSING,
                *([found.image or "none"] if contained else []),
            ]
        )
    return Table(
        caption="Hardware and software",
        columns=["used by", "device", "processor", "cores / threads", "memory", "versions"]
        + (["container image"] if contained else []),
        rows=rows,
        numeric=frozenset({3, 4}),
    )


def _imported(experiment: Experiment) -> str:
    forked = sum(record.process == "forked" for record in experiment.records)
    if not forked:
        return "in the start-up of every run"
    rest = len(experiment.records) - forked
    shared = "once, before the runs that were forked from that process; it is in no run's start-up"
    return f"{shared}; in the start-up of {rest} of {len(experiment.records)} runs" if rest else shared


def runs_table(experiment: Experiment, summary: Summary) -> Table:
    """Identity of the run, and how disturbed it was."""
    times = sorted(record.started_at for record in experiment.records if record.started_at)
    hosts = sorted({record.environment.hostname for record in experiment.records if record.environment.hostname})
    stolen = [record.stolen_share for record in experiment.records if record.stolen_share is not None]
    peak = max((record.peak_memory_bytes for record in experiment.records), default=0)
    precisions = dict.fromkeys(str(record.precision) for record in experiment.records if record.precision)
    seeds = {arm: sorted(record.seed for record in records) for arm, records in experiment.arms.items()}
    rows = [
        ["pipeline run", experiment.run_id or units.MISSING],
        ["records", f"{len(experiment.records):,}"],
        *([f"seeds, {arm}", _ranges(found) or units.MISSING] for arm, found in seeds.items()),
        ["started", f"{times[0]} to {times[-1]}" if times else units.MISSING],
        ["machines", ", ".join(hosts[:6]) + (f" and {len(hosts) - 6} more" if len(hosts) > 6 else "") or units.MISSING],
        ["processor time taken by other processes, most", units.percent(max(stolen)) if stolen else "not measured"],
        ["peak memory of a run", units.size(peak)],
        ["interrupted and resumed", str(sum(len(record.attempts) > 1 for record in experiment.records))],
        ["TensorFlow imported", _imported(experiment)],
        ["outputs of frozen layers computed once", _ranges_of_prefix(experiment)],
        *(["precision, timed once for all runs", text] for text in precisions),
    ]
    if given := experiment.given:
        hours = "cost not known" if given.hours is None else units.duration(3600 * given.hours)
        text = f"{given.source}, {hours}" if given.source else "random weights"
        rows.append([f"in place of {' and '.join(given.left_out)}", text])
    if summary.headstart_version:
        rows.append(["Headstart", summary.headstart_version])
    return Table(caption="Runs", columns=["", ""], rows=rows)


def _ranges_of_prefix(experiment: Experiment) -> str:
    cached = [record for record in experiment.records if record.prefix_cached]
    return f"{_used_by(cached)}; their time for it counts as training" if cached else "no"


def _ranges(seeds: Sequence[int]) -> str:
    """`0–9, 12` for runs of whole numbers."""
    parts: list[list[int]] = []
    for seed in dict.fromkeys(seeds):
        if parts and seed == parts[-1][-1] + 1:
            parts[-1].append(seed)
        else:
            parts.append([seed])
    ranges = [f"{part[0]}–{part[-1]}" if len(part) > 2 else ", ".join(map(str, part)) for part in parts]
    return ", ".join(ranges[:12]) + (", …" if len(ranges) > 12 else "")


def rules_table(summary: Summary, settings: ReportSettings) -> Table:
    """Every rule of `verify`, whether it holds, and why it matters."""
    broken = {finding.rule: finding.severity for finding in summary.findings}
    rows = []
    for rule in RULES.values():
        severity = settings.rules.get(rule.name, rule.severity)
        state = "off" if severity == "off" else f"broken ({broken[rule.name]})" if rule.name in broken else "holds"
        rows.append([rule.name, state, severity, rule.why])
    return Table(
        caption="Rules of verify", columns=["rule", "state", "severity", "why"], rows=rows, minor=frozenset({2, 3})
    )
