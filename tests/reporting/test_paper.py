"""The paper's own tables: what they average to, and what they give away."""

import statistics
from pathlib import Path

import builders
import numpy as np
import pytest
from scipy import stats

from headstart.components.records import RunRecord
from headstart.components.reporting import beside_paper, paper
from headstart.components.reporting.experiment import experiment
from headstart.components.reporting.measurement import summarise
from headstart.components.reporting.report import write_report
from headstart.components.reporting.settings import report_settings


def test_audit_agrees_with_what_was_worked_out_by_hand() -> None:
    found = paper.audit()
    assert found.speedup.estimate == pytest.approx(12.39, abs=0.001)
    # A whole second is half a second more or less: 12.39 × 259.5/260 × 8/8.5 and 12.39 × 260.5/260 × 8/7.5.
    assert found.speedup_by_rounding == (pytest.approx(11.64, abs=0.01), pytest.approx(13.24, abs=0.01))
    assert found.break_even == pytest.approx(18.1, abs=0.01)
    assert (found.baseline_epoch_seconds, found.transfer_epoch_seconds, found.epoch_ratio) == (260, 8, 32.5)
    assert found.baseline_epochs == (27, 24, 14, 27, 19, 21, 36, 30, 23, 23)
    assert found.transfer_epochs == (61, 79, 81, 45, 81, 44, 60, 43, 67, 79)
    assert (found.common_images, found.baseline_fits) == (2249, False)
    assert found.finetune_correct == 20350
    assert found.transfer_accuracy_mean == pytest.approx(paper.PRINTED_TRANSFER_ACCURACY, abs=5e-6)


def test_the_eleventh_run() -> None:
    missing = paper.audit().missing
    assert missing is not None
    assert (missing.runs, missing.epochs) == (11, 22)
    assert missing.minutes == pytest.approx(95.3333, abs=1e-4)
    assert missing.accuracy == pytest.approx(0.94793, abs=6e-5)
    eleven = [*paper.BASELINE_MINUTES, missing.minutes]
    assert np.mean(eleven) == pytest.approx(paper.PRINTED_BASELINE_MINUTES)
    assert np.mean(eleven) == pytest.approx(3458 / 33)
    # The transfer table gives its printed average alone.
    assert (
        paper.missing_run(
            paper.TRANSFER_MINUTES,
            paper.TRANSFER_ACCURACY,
            paper.PRINTED_TRANSFER_MINUTES,
            paper.PRINTED_TRANSFER_ACCURACY,
        )
        is None
    )


def test_smallest_set_by_hand() -> None:
    assert paper.smallest_set([0.5, 0.25]) == 4
    assert paper.smallest_set([0.33333]) == 3
    assert paper.smallest_set([0.12345], most=50) is None


def test_numbers_without_a_common_denominator_fit_no_set_as_small_as_transfers() -> None:
    rng = np.random.default_rng(5)
    smallest = [paper.smallest_set(rng.integers(93892, 97421, 10) / 1e5, most=20_000) for _ in range(20)]
    assert smallest == [None] * 20


def test_intervals_of_the_papers_figures() -> None:
    """Welch's interval by SciPy, Fieller's by the t statistic at its two ends."""
    found = paper.audit()
    a, b = np.array(paper.BASELINE_ACCURACY), np.array(paper.TRANSFER_ACCURACY)
    welch = stats.ttest_ind(b, a, equal_var=False).confidence_interval(0.95)
    assert (found.gain.low, found.gain.high) == (pytest.approx(welch.low), pytest.approx(welch.high))
    assert (round(100 * welch.low, 2), round(100 * welch.high, 2)) == (0.93, 1.94)
    assert found.speedup.low is not None and found.speedup.high is not None
    x, y = np.array(paper.BASELINE_MINUTES), np.array(paper.TRANSFER_MINUTES)
    v, w = x.var(ddof=1) / 10, y.var(ddof=1) / 10
    ratio = x.mean() / y.mean()
    freedom = (v + ratio**2 * w) ** 2 / (v**2 / 9 + (ratio**2 * w) ** 2 / 9)
    for end in (found.speedup.low, found.speedup.high):
        t = abs(x.mean() - end * y.mean()) / np.sqrt(v + end**2 * w)
        assert t == pytest.approx(stats.t.ppf(0.975, freedom), rel=1e-3)


def test_the_papers_runs_as_records_give_its_numbers() -> None:
    runs = experiment(builders.paper_records())
    found = summarise(runs, report_settings({}))
    assert found.speedup.train_of_means.estimate == pytest.approx(12.39, abs=0.001)
    assert found.break_even_models == pytest.approx(18.1, abs=0.01)
    assert found.break_even.first_model == 19
    assert found.arms["baseline"].train_seconds.mean == pytest.approx(105.733 * 60, rel=1e-5)
    assert found.arms["baseline"].accuracy.mean == pytest.approx(0.950416, abs=1e-6)
    assert found.arms["transfer"].epochs.mean == 64.0
    assert found.accuracy_gain.estimate == pytest.approx(0.96474 - 0.950416, abs=1e-5)
    # The median of the hundred ratios of two runs.
    pairs = [a / b for a in paper.BASELINE_MINUTES for b in paper.TRANSFER_MINUTES]
    assert found.speedup.train.estimate == pytest.approx(statistics.median(pairs), rel=1e-3)
    means, gain = found.speedup.train_of_means, found.accuracy_gain
    assert (means.low, means.high) == (pytest.approx(9.8, abs=0.05), pytest.approx(15.7, abs=0.05))
    assert (gain.low, gain.high) == (pytest.approx(0.0093, abs=5e-5), pytest.approx(0.0194, abs=5e-5))
    assert found.preparation_seconds == pytest.approx((1449.7 + 310) * 60)


def test_epochs_and_pace_multiply_to_the_speedup() -> None:
    runs = experiment(builders.paper_records())
    summary = summarise(runs, report_settings({}))
    rows = {row[0]: row[1:] for row in beside_paper.comparison_table(summary).rows}
    # On the paper's own runs both columns must agree, number by number.
    for name in ("training time, means", "epochs, means", "time per epoch", "breaks even from the"):
        assert rows[name][0] == rows[name][1], name
    assert rows["time per epoch"][0] == "32.5"


def test_notes_name_what_the_numbers_show() -> None:
    text = " ".join(beside_paper.notes(summarise(experiment(builders.experiment(5)), report_settings({}))))
    for fact in ("260 s", "8 s", "2,249", "11 runs", "95.33", "12.39", "18.1", "fits 20,350 of 20,622", "training acc"):
        assert fact in text, fact
    # Nothing is read out of the baseline's accuracies, whose smallest set is chance.
    assert "37,162" not in text and "16.5" not in text


def papers_data(record: RunRecord, source: str = "") -> RunRecord:
    classes = {
        "pretrain": ["aquarium_fish", "lawn_mower", "pickup_truck", "sweet_pepper", "willow_tree", "worm"],
        "finetune": ["Apple Golden 1", "Banana 1", "Cactus fruit 1", "Carambula 1", "Physalis with Husk 1"],
    }.get(record.arm, builders.FRUIT)
    assert record.data is not None
    changes = {"classes": classes, "source": source or "/data"}
    return record.model_copy(update={"data": record.data.model_copy(update=changes)})


def test_the_paper_is_shown_beside_its_own_data_sets_alone(tmp_path: Path) -> None:
    runs = builders.experiment(3)
    own = [papers_data(record) for record in runs]
    drawn = [papers_data(record, "demo:fruits") for record in runs]
    without = [record for record in own if record.arm != "pretrain"]
    for name, records, shown in (("other", runs, 0), ("own", own, 1), ("drawn", drawn, 0), ("without", without, 0)):
        assert beside_paper.applies(experiment(records)) == bool(shown)
        write_report(records, tmp_path / name)
        html = (tmp_path / name / "report.html").read_text(encoding="utf-8")
        markdown = (tmp_path / name / "report.md").read_text(encoding="utf-8")
        assert (html.count("Beside the paper"), markdown.count("Beside the paper")) == (shown, shown)
        assert ("Apeināns" in html) == bool(shown)
