"""Transfer by depth in the report: a table, a picture, and no column more in the pictures of the other arms."""

from pathlib import Path

from builders import experiment as experiment_records
from builders import record

from headstart.components.reporting import html, markdown
from headstart.components.reporting.charts import depth
from headstart.components.reporting.report import measure, write_report

ACCURACIES = {0: 0.9, 1: 0.94, 3: 0.8}


def records(runs: int = 3) -> list:
    by_depth = [
        record(f"transfer@{frozen}", seed, accuracy=accuracy, seconds_per_epoch=2.0 - 0.5 * frozen)
        for frozen, accuracy in ACCURACIES.items()
        for seed in range(runs)
    ]
    return [*experiment_records(runs), *by_depth]


def test_every_depth_has_a_row_and_a_comparison(tmp_path: Path) -> None:
    summary = write_report(records(), tmp_path)
    assert [(each.control, each.treatment) for each in summary.comparisons[:4]] == [
        ("baseline", "transfer"),
        ("baseline", "transfer@0"),
        ("baseline", "transfer@1"),
        ("baseline", "transfer@3"),
    ]
    report = measure(records())
    found = depth.table(report.experiment)
    assert found is not None
    assert [row[0] for row in found.rows] == ["0", "1", "3", "as transfer"]
    assert {row[4] for row in found.rows} == {"3 of 3"}
    assert [round(float(row[1].removesuffix(" %"))) for row in found.rows[:3]] == [90, 94, 80]
    plain = [each.result.test_accuracy for each in records() if each.arm == "transfer"]
    assert found.rows[3][1] == f"{100 * sum(plain) / 3:.2f} %"
    without = depth.table(measure([each for each in records() if each.arm != "transfer"]).experiment)
    assert without is not None
    assert [row[0] for row in without.rows] == ["0", "1", "3"]
    assert "As transfer" in found.note
    assert "As transfer" not in without.note
    assert summary.sound
    assert "How much to freeze" in (tmp_path / "report.html").read_text()
    assert "Transfer by depth" in (tmp_path / "report.md").read_text()


def test_the_other_pictures_keep_their_columns() -> None:
    plain, deep = measure(experiment_records(3)), measure(records())
    for made, again in zip(html.figures(plain, "e"), html.figures(depth.rest(deep), "e"), strict=True):
        assert made.svg == again.svg
    assert depth.draw(plain.experiment, "baseline", "e") is None
    assert depth.table(plain.experiment) is None
    assert "How much to freeze" not in markdown.render(plain)


def test_depths_without_a_run_that_succeeded_are_drawn_as_nothing() -> None:
    failed = [record(f"transfer@{frozen}", 1, status="failed", reason="no", epochs=0) for frozen in (0, 1)]
    experiment = measure([*experiment_records(2), *failed]).experiment
    assert depth.draw(experiment, "baseline", "e") is None
    found = depth.table(experiment)
    assert found is not None
    assert found.rows[0] == ["0", "–", "–", "–", "0 of 1"]


def test_depths_alone_are_an_experiment_whose_headline_stays_in_the_pictures() -> None:
    only = [each for each in records() if each.arm != "transfer"]
    report = measure(only)
    assert report.summary.first.treatment == "transfer@0"
    assert "transfer@0" in depth.rest(report).experiment.arms
    assert "transfer@1" not in depth.rest(report).experiment.arms
    html.render([report])
