"""What the benchmark computes from its measurements, against values worked out by hand."""

import json

import numpy as np
import pytest

from benchmarks import experiment_rows, growth, results, synthetic_records, whole_experiment
from benchmarks.image_folders import ImageFolders
from benchmarks.results import Entry
from benchmarks.timing import Failed, python, run_measured
from benchmarks.training_speed import network_operations
from headstart.components.reporting.report import write_report


def test_a_ratio_above_one_means_that_ours_is_better() -> None:
    seconds = Entry("a", "s", "w", "s", [1.0, 2.0], [3.0, 8.0], target=">= 3.5")
    assert seconds.ratios == [3.0, 4.0]
    assert seconds.holds
    throughput = Entry("b", "s", "w", "images/s", [900.0], [300.0], faster_is="more", target=">= 3.1")
    assert throughput.ratios == [3.0]
    assert throughput.holds is False


def test_repeats_that_do_not_pair_are_taken_against_the_median() -> None:
    assert Entry("a", "s", "w", "s", [2.0], [4.0, 6.0, 20.0]).ratios == [3.0]


def test_without_a_peer_the_target_is_for_ours() -> None:
    assert Entry("a", "s", "w", "s", [0.2, 9.0, 0.3], target="<= 0.5").holds
    assert Entry("a", "s", "w", "s", [0.2]).holds is None


def test_later_figures_replace_earlier_ones_and_leave_the_others(tmp_path) -> None:
    file = tmp_path / "results.json"
    results.merge(file, [Entry("a", "s", "first", "s", [1.0]), Entry("b", "s", "second", "s", [2.0])])
    results.merge(file, [Entry("a", "s", "first", "s", [5.0, 7.0, 6.0])])
    found = results.read(file)
    assert found["a"].ours == [5.0, 7.0, 6.0]
    assert found["b"].ours == [2.0]
    assert "| first | 6 s (5 to 7) |" in file.with_suffix(".md").read_text()


@pytest.mark.parametrize("power", [0.0, 1.0, 2.0])
def test_the_exponent_of_a_power_is_found_where_a_constant_is_small(power: float) -> None:
    sizes = [1, 10, 100, 1000]
    assert growth.exponent(sizes, [3 * size**power for size in sizes]) == pytest.approx(power)


def test_operations_of_the_network() -> None:
    # Table 1 of the paper: weights of a layer times the places it is applied at, a multiply and an add each.
    convolutions = 48 * 48 * 1200 + 22 * 22 * 4608 + 9 * 9 * 18432 + 7 * 7 * 73728
    dense = 1152 * 512 + 512 * 512 + 512 * 3
    assert network_operations(52, 3) == 2 * (convolutions + dense)


def test_a_failing_process_is_no_measurement(tmp_path) -> None:
    with pytest.raises(Failed, match="no such part"):
        (tmp_path / "s.json").write_text(json.dumps({"part": "dance", "arguments": {}}))
        run_measured(python("benchmarks.ours", tmp_path / "s.json"), tmp_path / "log")


def test_a_measurement_holds_processor_time_of_grandchildren(tmp_path) -> None:
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'sum(range(10**7))'])"
    found = run_measured([python("x")[0], "-c", code], tmp_path / "log")
    assert found.cpu > 0.1
    assert found.wall > 0
    assert found.peak_bytes > 5_000_000


def test_synthetic_records_are_reported_as_sound(tmp_path) -> None:
    summary = write_report(synthetic_records.experiment(10), tmp_path)
    assert summary.arms["baseline"].succeeded == 10
    assert [finding for finding in summary.findings if finding.severity == "error"] == []


def test_the_peak_of_the_notebook_is_looked_up_in_ours(tmp_path) -> None:
    rows = [(10.0, 0.2), (20.0, 0.4), (30.0, 0.3)]
    book = [
        {"epoch": n + 1, "elapsed": at, "elapsed_cpu": 2 * at, "validation_accuracy": score}
        for n, (at, score) in enumerate(rows)
    ]
    ours = [
        {"epoch": 1, "elapsed": 3.0, "cpu_seconds": 4.0, "validation_accuracy": 0.39},
        {"epoch": 2, "elapsed": 5.0, "cpu_seconds": 4.0, "validation_accuracy": 0.41},
    ]
    record = {"epochs": ours, "prefix_seconds": 1.0, "train_cpu_seconds": 10.0, "phases": {"train": 5.0}}
    (tmp_path / "notebook-finetune.json").write_text(json.dumps({"result": {"runs": [{"epochs": book}]}}))
    (tmp_path / "ours-finetune.json").write_text(json.dumps({"result": record}))
    options = whole_experiment.Options(ImageFolders(tmp_path, tmp_path, "x"), tmp_path)
    reached = experiment_rows.Outcome(tmp_path, options).to_peak("finetune")
    assert reached is not None
    assert reached == ((5.0, 10.0), (20.0, 40.0), 0.4)
    # Keras's 5788 of 5789 is three units in float32's last place above the quotient; it is the same accuracy.
    book[1]["validation_accuracy"], ours[1]["validation_accuracy"] = 0.9998274445533752, 5788 / 5789
    record["epochs"] = ours
    (tmp_path / "notebook-finetune.json").write_text(json.dumps({"result": {"runs": [{"epochs": book}]}}))
    (tmp_path / "ours-finetune.json").write_text(json.dumps({"result": record}))
    reached = experiment_rows.Outcome(tmp_path, options).to_peak("finetune")
    assert reached is not None
    assert reached[0] == (5.0, 10.0)
    ours[1]["validation_accuracy"] = 5787 / 5789
    (tmp_path / "ours-finetune.json").write_text(json.dumps({"result": record}))
    assert experiment_rows.Outcome(tmp_path, options).to_peak("finetune") is None


def test_random_records_differ() -> None:
    first, second = synthetic_records.record("baseline", 1), synthetic_records.record("baseline", 2)
    assert not np.isclose(first.phases.train, second.phases.train, rtol=1e-9)
