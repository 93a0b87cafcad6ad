"""The paper's own tables: what they average to, and what they give away."""

import statistics

import builders
import numpy as np
import pytest

from headstart.components.reporting import beside_paper, paper
from headstart.components.reporting.experiment import experiment
from headstart.components.reporting.measurement import summarise
from headstart.components.reporting.settings import report_settings


def test_audit_agrees_with_what_was_worked_out_by_hand() -> None:
    found = paper.audit()
    assert found.speedup == pytest.approx(12.39, abs=0.001)
    assert found.break_even == pytest.approx(18.1, abs=0.01)
    assert (found.baseline_epoch_seconds, found.transfer_epoch_seconds, found.epoch_ratio) == (260, 8, 32.5)
    assert found.baseline_epochs == (27, 24, 14, 27, 19, 21, 36, 30, 23, 23)
    assert found.transfer_epochs == (61, 79, 81, 45, 81, 44, 60, 43, 67, 79)
    assert (found.baseline_test_images, found.transfer_test_images) == (37162, 2249)
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


def test_smallest_test_set_by_hand() -> None:
    assert paper.smallest_test_set([0.5, 0.25]) == 4
    assert paper.smallest_test_set([0.33333]) == 3
    assert paper.smallest_test_set([0.12345], most=50) is None


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
    for name in ("training time, means", "epochs, means", "time an epoch", "preparation repaid from the"):
        assert rows[name][0] == rows[name][1], name
    assert rows["time an epoch"][0] == "32.5"


def test_notes_name_what_the_numbers_give_away() -> None:
    said = " ".join(beside_paper.notes(summarise(experiment(builders.experiment(5)), report_settings({}))))
    for fact in ("260 s", "8 s", "37,162", "2,249", "11 runs", "95.33", "12.39", "18.1", "20,350 of 20,622"):
        assert fact in said, fact
