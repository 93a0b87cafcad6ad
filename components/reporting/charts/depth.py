"""Transfer by depth (arms `transfer@N`): accuracy and training time against the number of frozen blocks.

The question is J. Yosinski, J. Clune, Y. Bengio and H. Lipson's, *How transferable are features in deep neural
networks?*, NIPS 2014, arXiv 1411.1792.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from markupsafe import Markup

from headstart.components.records import RunRecord
from headstart.components.reporting import units
from headstart.components.reporting.charts.axes import Scale, left_axis, log_span, per_cent, plain, span, time_unit
from headstart.components.reporting.charts.svg import WIDTH, Drawing, Figure
from headstart.components.reporting.experiment import (
    Experiment,
    Report,
    succeeded,
    test_accuracy,
    train_seconds,
    values,
)
from headstart.components.reporting.tables import Table
from headstart.components.stages import DEEPENED, STAGES, frozen_blocks

TOP, BOTTOM, LEFT, RIGHT = 48.0, 196.0, 50.0, WIDTH - 12


def arms(experiment: Experiment) -> dict[int, list[RunRecord]]:
    """Return the runs by number of frozen blocks, ascending; empty unless there are two numbers or more."""
    found = {depth: records for arm, records in experiment.arms.items() if (depth := frozen_blocks(arm)) is not None}
    return dict(sorted(found.items())) if len(found) > 1 else {}


def rest(report: Report) -> Report:
    """Return the report without the arms by depth, for pictures that have a column or colour for each arm.

    What the headline compares stays.
    """
    first = report.summary.first
    left = {arm for arm in report.experiment.arms if frozen_blocks(arm) is None or arm == first.treatment}
    experiment, summary = report.experiment, report.summary
    runs = {stage: each for stage, each in experiment.by_stage.items() if stage in left or not STAGES[stage].is_arm}
    kept = {arm: each for arm, each in summary.arms.items() if arm in left}
    compared = [each for each in summary.comparisons if each.treatment in left]
    return replace(
        report,
        experiment=replace(experiment, by_stage=runs),
        summary=summary.model_copy(update={"arms": kept, "comparisons": compared}),
    )


def table(experiment: Experiment) -> Table | None:
    """A row for each number of frozen blocks, and one for the arm transfer where it was run; None without such arms."""
    by_depth = arms(experiment)
    if not by_depth:
        return None
    plain = experiment.arms.get(DEEPENED)
    rows = []
    for depth, records in [*by_depth.items(), *([(f"as {DEEPENED}", plain)] if plain else [])]:
        done = succeeded(records)
        accuracies, times = values(records, test_accuracy), values(records, train_seconds)
        rows.append(
            [
                str(depth),
                units.percent(float(np.mean(accuracies)) if accuracies else None, 2),
                units.seconds(float(np.median(times)) if times else None),
                f"{done[0].trainable_parameters:,}" if done else units.MISSING,
                f"{len(done)} of {len(records)}",
            ]
        )
    return Table(
        caption="Transfer by depth",
        columns=["frozen blocks", "test accuracy, mean", "train s, median", "parameters trained", "succeeded"],
        rows=rows,
        numeric=frozenset({0, 1, 2, 3, 4}),
        minor=frozenset({3, 4}),
        note="0: transferred weights, everything trained. All of them share the recipe, its learning rate too, and so "
        "differ from one another in nothing but what is frozen."
        + (f" As {DEEPENED}: that arm, which freezes what its own settings say." if plain else ""),
    )


def draw(experiment: Experiment, control: str, identity: str) -> Figure | None:
    """Two panels over the number of frozen blocks, with the mean of `control` as a line; None without such arms."""
    by_depth = arms(experiment)
    accuracies = {depth: values(records, test_accuracy) for depth, records in by_depth.items()}
    times = {depth: values(records, train_seconds) for depth, records in by_depth.items()}
    if not any(accuracies.values()) or not any(times.values()):
        return None
    of_control = experiment.of(control)
    unit, name = time_unit(max(value for each in times.values() for value in each))
    panels = [
        _panel("test accuracy", accuracies, values(of_control, test_accuracy), per_cent, identity, control),
        _panel(
            f"training time, {name} (logarithmic)",
            {depth: [value / unit for value in each] for depth, each in times.items()},
            [value / unit for value in values(of_control, train_seconds)],
            plain,
            f"{identity}-time",
            control,
            logarithmic=True,
        ),
    ]
    return Figure(
        "Accuracy and training time by depth",
        Markup("").join(panels),
        "Transferred weights, by how many of the network's first blocks keep them. Small: a run; the line joins the "
        f"means. Dotted: the mean of {control}. The axes of accuracy and time do not begin at zero. A step between two "
        "neighbours is no finding where their runs overlap.",
        wide=True,
    )


def _panel(
    title: str,
    by_depth: dict[int, list[float]],
    control: list[float],
    label: Callable[[float], str],
    identity: str,
    control_name: str,
    *,
    logarithmic: bool = False,
) -> Markup:
    everything = [*(value for each in by_depth.values() for value in each), *control]
    low, high = log_span(everything) if logarithmic else span(everything, 0.08)
    y = Scale(low, high, BOTTOM, TOP, logarithmic)
    depths = list(by_depth)
    x = Scale(depths[0], depths[-1], LEFT + 16, RIGHT - 16)
    drawing = Drawing(BOTTOM + 40)
    left_axis(drawing, y, LEFT, title, label, right=RIGHT)
    drawing.line((LEFT, BOTTOM), (RIGHT, BOTTOM), "axis")
    spread = (x.end - x.start) / max(1, depths[-1] - depths[0])
    for depth in depths:
        if spread * depth // 22 != spread * (depth - 1) // 22 or spread >= 22:
            drawing.text((x(depth), BOTTOM + 16), str(depth), "tick", "middle")
    drawing.text((RIGHT, BOTTOM + 32), "frozen blocks", "axis-title", "end")
    if control:
        level = y(float(np.mean(control)))
        drawing.line((LEFT, level), (RIGHT, level), "target")
        drawing.text((RIGHT, level - 5), control_name, "note", "end")
    means = [(x(depth), y(float(np.mean(each)))) for depth, each in by_depth.items() if each]
    drawing.path(means, "thick treatment")
    for depth, each in by_depth.items():
        for value in each[:60]:
            drawing.mark((x(depth), y(value)), "transfer", 2.6)
    for at in means:
        drawing.mark(at, "transfer", 4.4)
    texts = [f"{depth} frozen: {label(float(np.mean(each)))}" for depth, each in by_depth.items() if each]
    return drawing.render(identity, f"{title} by number of frozen blocks", f"{'; '.join(texts)}.")
