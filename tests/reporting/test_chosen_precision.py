"""What the report says of a precision that was chosen by timing."""

import builders

from headstart.components.records import Precision
from headstart.components.reporting import conditions
from headstart.components.reporting.report import measure

CHOICE = Precision(
    chosen="float32", float32_seconds=0.0123, bfloat16_seconds=0.0154, ratio=1.25, rounds=25, faster_rounds=1,
    stage="baseline", batch_size=32, image_size=52,
)  # fmt: skip


def test_the_report_gives_choice_and_times_and_calls_it_no_change_of_the_preset() -> None:
    records = builders.experiment(3)
    for record in records:
        record.preset, record.recipe = "fast", {**record.recipe, "precision": "float32"}
    before = measure(records)
    rows = {row[0]: row[1:] for row in conditions.recipe_table(before.experiment).rows}
    assert all("preset: auto" in cell for cell in rows["precision"])  # it was set
    assert "timed" not in str(conditions.runs_table(before.experiment, before.summary).rows)

    for record in records:
        record.precision = CHOICE
    after = measure(records)
    rows = {row[0]: row[1:] for row in conditions.recipe_table(after.experiment).rows}
    assert set(rows["precision"]) == {"float32"}
    (said,) = (
        row[1]
        for row in conditions.runs_table(after.experiment, after.summary).rows
        if row[0] == "precision, timed once for all runs"
    )
    for part in (
        "12.3 ms in float32",
        "15.4 ms in bfloat16",
        "1.25 times as long",
        "of 25 rounds",
        "in 1 it took less",
    ):
        assert part in said
