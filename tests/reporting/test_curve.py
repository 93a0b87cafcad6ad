"""Learning curves: inverse, interval, extrapolation, and what the report says of them, on drawn records."""

import csv
import io
import json
import math
from pathlib import Path

import numpy as np
import pytest
from builders import RUN_ID, data, preparation, record

from headstart.api import load_runs
from headstart.components import storage
from headstart.components.console import Console
from headstart.components.design import plan
from headstart.components.errors import SettingError
from headstart.components.records import Given, Result, RunRecord, Subset
from headstart.components.reporting.curve import (
    Curve,
    back_test,
    band,
    equal_size,
    extrapolated_size,
    inverse,
    isotonic,
    power_law,
    stops_paying,
)
from headstart.components.reporting.labels import _steps, curve_command
from headstart.components.reporting.labels_text import count
from headstart.components.reporting.regression import compare
from headstart.components.reporting.report import write_report
from headstart.components.reporting.summary import Summary, read_summary
from headstart.pipelines.commands.report import _planned
from headstart.pipelines.submission.connection import Connection
from headstart.pipelines.submission.records import report_here

SIZES = np.array([30.0, 60.0, 120.0, 240.0, 480.0, 960.0])
SLOW = 1 - 0.6 * (SIZES / 30) ** -0.5
FAST = 1 - 0.3 * (SIZES / 30) ** -0.5


def noisy(means: np.ndarray, seed: int, spread: float = 0.004, runs: int = 6) -> Curve:
    rng = np.random.default_rng(seed)
    return Curve(SIZES, means + spread * rng.standard_normal((runs, means.size)), (), [row % 3 for row in range(runs)])


def exact(means: np.ndarray) -> Curve:
    return Curve(SIZES, np.stack([means, means]))


def test_the_inverse_meets_the_known_curve_between_the_sizes() -> None:
    # 0.6 (m/30)^-0.5 = 0.3 where m = 120; 0.6 (m/30)^-0.5 = 0.25 where m = 30 (0.6 / 0.25)^2 = 172.8.
    curve = exact(SLOW)
    assert inverse(curve, 0.7) == pytest.approx(120, rel=1e-6)
    assert inverse(curve, 0.75) == pytest.approx(172.8, rel=0.01)
    assert inverse(curve, 0.39) == -math.inf
    assert inverse(curve, 0.99) == math.inf


def test_the_inverse_is_the_smallest_size_at_which_the_curve_is_as_high() -> None:
    random = np.random.default_rng(3)
    for _ in range(50):
        values = np.clip(np.cumsum(random.normal(0.08, 0.1, (3, 6)), axis=1), 0, 1)  # many fall in places
        curve = Curve(np.array([10.0, 20.0, 50.0, 70.0, 200.0, 210.0]), values)
        low, high = curve.at(10), curve.at(210)
        if high <= low:
            continue
        wanted = random.uniform(low, high)
        found = inverse(curve, wanted)
        assert curve.at(found) == pytest.approx(wanted, abs=1e-9)
        before = [curve.at(size) for size in np.linspace(10, found * (1 - 1e-6), 50)]
        assert max(before) < wanted
    flat = Curve(np.array([10.0, 20.0, 40.0]), np.array([[0.5, 0.5, 0.8]]))
    assert (inverse(flat, 0.5), inverse(flat, 0.8)) == (pytest.approx(10), pytest.approx(40))


def test_equal_size_and_its_interval() -> None:
    found = equal_size(noisy(SLOW, 1), noisy(FAST, 2), 1)  # the fast one needs a quarter: 60 are worth 240
    assert found.estimate == pytest.approx(240, rel=0.1)
    assert found.low is not None and found.high is not None
    assert found.low < 240 < found.high < 300
    assert found.method == "inverted mixed t"


def test_what_lies_beyond_the_measured_sizes_has_no_end_there() -> None:
    above = equal_size(noisy(SLOW, 1), noisy(FAST, 2), 5)
    assert (above.estimate, above.high) == (None, None)
    assert above.note == "more than the largest size"
    assert above.low is not None and above.low > 900
    below = equal_size(noisy(FAST, 1), noisy(SLOW, 2), 0)
    assert (below.estimate, below.low) == (None, None)
    assert below.note == "less than the smallest size"


def test_a_curve_that_falls_is_made_isotonic_and_that_is_said() -> None:
    falls = SLOW.copy()
    falls[3] = falls[2] - 0.03
    assert isotonic(falls)[2] == pytest.approx((falls[2] + falls[3]) / 2)
    found = equal_size(noisy(falls, 1), noisy(FAST, 2), 0)
    assert "isotonic regression" in found.note
    assert "bootstrap" in found.method


def test_equal_runs_give_an_estimate_without_an_interval() -> None:
    found = equal_size(exact(SLOW), exact(FAST), 1)
    assert found.estimate == pytest.approx(240, rel=1e-6)
    assert (found.method, found.low, found.high) == ("none", None, None)


def test_more_spread_makes_a_wider_interval() -> None:
    widths = []
    for spread in (0.002, 0.02):
        found = equal_size(noisy(SLOW, 1, spread), noisy(FAST, 2, spread), 0)
        widths.append((found.high or 1e9) / (found.low or 1.0))
    assert widths[0] < widths[1]


def test_an_accuracy_near_one_has_an_interval_that_ends_at_one() -> None:
    wide = Curve(SIZES[:1], np.array([[0.90], [0.99], [1.0], [0.97]]), (), [0, 1, 2, 0])
    found = band(wide, 0.95)
    assert found.estimate == pytest.approx(0.965)
    assert found.high == 1.0
    assert found.low is not None and 0 < found.low < 0.965


def test_where_transfer_stops_paying() -> None:
    # 0.62 + 0.09 log2(n/30) against 0.5 + 0.12 log2(n/30): equal where log2 is 4, at 480.
    steps = np.log2(SIZES / 30)
    found = stops_paying(noisy(0.40 + 0.10 * steps, 1, 0.001), noisy(0.54 + 0.06 * steps, 2, 0.001))
    assert found.estimate == pytest.approx(30 * 2**3.5, rel=0.02)
    assert found.low is not None and found.high is not None and found.low < 339 < found.high
    always = stops_paying(noisy(SLOW, 1), noisy(FAST, 2))
    assert always.estimate is None and always.note == "it pays at every size that was measured"
    never = stops_paying(noisy(FAST, 1), noisy(SLOW, 2))
    assert never.estimate is None and never.note == "it pays at no size that was measured"


def test_a_power_law_is_found_and_extrapolated_and_predicts_itself() -> None:
    floor, height, exponent = power_law(SIZES, 0.05 + 2.0 * SIZES**-0.5)
    assert (floor, height, exponent) == pytest.approx((0.05, 2.0, 0.5), rel=0.1)
    test = back_test(exact(SLOW), 0.95)
    assert test is not None and test.holds
    assert test.predicted == pytest.approx(SLOW[-1], abs=0.003)
    # 0.6 (m/30)^-0.5 = 0.075 where m = 1,920, within four times the largest size; 0.02 is far beyond it.
    assert extrapolated_size(exact(SLOW), 0.925) == pytest.approx(1920, rel=0.05)
    assert extrapolated_size(exact(SLOW), 0.98) is None


def test_a_curve_that_does_not_predict_itself_is_not_extrapolated() -> None:
    jumps = np.array([0.5, 0.55, 0.6, 0.62, 0.63, 0.9])
    test = back_test(exact(jumps), 0.95)
    assert test is not None and not test.holds


def runs(seeds: int = 4, sizes: tuple[int, ...] = (10, 20, 40, 80), ahead: float = 2.0) -> list[RunRecord]:
    """An error of 0.6 (n/30)^-0.5, in transfer that over `ahead`: it needs 1 / `ahead`^2 of the images."""
    made = []
    for seed in range(seeds):
        for size in sizes:
            for arm, factor in (("baseline", 1.0), ("transfer", ahead)):
                rng = np.random.default_rng([seed, size, len(arm)])
                accuracy = float(1 - 0.6 * (size / 10) ** -0.5 / factor + 0.003 * rng.standard_normal())
                images = data().model_copy(update={"counts": {"train": 3 * size, "validation": size, "test": 2000}})
                right = rng.random(2000) < accuracy
                result = Result(test_accuracy=float(right.mean()), best_validation_accuracy=accuracy, best_epoch=1)
                result.set_correct(right)
                subset = Subset(size_per_class=size, images=3 * size)
                made.append(
                    record(arm, seed, draw=seed % 2, data=images, subset=subset, result=result, accuracy=accuracy)
                )
    return made


@pytest.fixture(scope="module")
def reported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Summary, Path]:
    folder = tmp_path_factory.mktemp("curve")
    write_report([*preparation(), *runs()], folder, settings={"price_per_label": 0.5})
    return read_summary(folder), folder


def test_the_summary_holds_labels_saved_and_a_row_per_size_and_arm(reported: tuple[Summary, Path]) -> None:
    summary, folder = reported
    assert [(point.arm, point.size, point.runs) for point in summary.curve if point.arm == "baseline"] == [
        ("baseline", size, 4) for size in (30, 60, 120, 240)
    ]
    curve = summary.learning_curve
    assert curve is not None and curve.labels_saved_measured is not None
    # 60 images are worth 240 from scratch, which is the largest size; 30 are worth 120 for sure.
    measured = curve.labels_saved_measured
    assert measured.size in (30, 60)
    assert measured.estimate == pytest.approx(3 * measured.size, rel=0.25)
    assert measured.money == pytest.approx(0.5 * measured.estimate)
    assert summary.labels_saved is not None and summary.labels_saved.size == 240
    assert summary.labels_saved.high is None
    raw = json.loads((folder / "summary.json").read_text())
    assert {"estimate", "low", "high", "size", "unit"} <= raw["labels_saved"].keys()
    assert summary.curve_offer is None


def test_a_curve_whose_largest_size_lacks_an_arm_is_that_of_the_other_sizes(tmp_path: Path) -> None:
    lost = [run for run in runs() if run.subset and run.subset.size_per_class == 80 and run.arm == "transfer"]
    kept = [run for run in runs() if run.subset and (run.subset.size_per_class < 80 or run.arm == "baseline")]
    failed = [run.model_copy(update={"status": "failed", "reason": "killed"}) for run in lost]
    for number, records in enumerate((kept, [*kept, *failed])):
        write_report([*preparation(), *records], tmp_path / str(number))
        summary = read_summary(tmp_path / str(number))
        assert {(point.arm, point.size) for point in summary.curve} == {
            (arm, size) for arm in ("baseline", "transfer") for size in (30, 60, 120)
        }
        assert summary.answer.startswith("For 120 images transfer")
        assert "No answer at the largest size: no run of the transfer arm succeeded there." in summary.answer
        assert summary.learning_curve is not None and summary.learning_curve.left_out == 4


def test_curves_are_compared_at_the_same_size(reported: tuple[Summary, Path], tmp_path: Path) -> None:
    whole, _ = reported
    write_report([*preparation(), *runs(sizes=(10, 20, 40))], tmp_path)
    shorter = read_summary(tmp_path)
    with pytest.raises(SettingError, match=r"A's learning curve ends at 240 training images, B's at 120\."):
        compare(whole, shorter)
    found = compare(whole, shorter, anyway=True)
    assert any(each.quantity == "transfer test accuracy" and each.verdict == "worse" for each in found.judgements)
    assert "Of a learning curve its largest size is compared, 240 training images." in compare(whole, whole).notices


def test_the_first_line_speaks_of_labels_and_the_speed_is_that_of_the_largest_size(
    reported: tuple[Summary, Path],
) -> None:
    summary, _ = reported
    assert summary.answer.startswith("For 240 images transfer is more accurate than training from scratch on as many: ")
    assert "it saves about" in summary.answer
    assert summary.arms["baseline"].runs == 4


def test_report_files_show_every_size(reported: tuple[Summary, Path]) -> None:
    _, folder = reported
    page = (folder / "report.html").read_text()
    assert "Accuracy against the number of labelled images" in page
    assert "training images (logarithmic)" in page
    assert "Learning curves" in (folder / "report.md").read_text()
    with (folder / "runs.csv").open() as file:
        rows = [row for row in csv.DictReader(file) if row["arm"] == "transfer"]
    assert sorted({row["size_per_class"] for row in rows}, key=int) == ["10", "20", "40", "80"]
    assert len(rows) == 16


def test_transfer_that_is_worse_costs_labels(tmp_path: Path) -> None:
    summary = write_report([*preparation(), *runs(ahead=0.75)], tmp_path)
    assert "costs about" in summary.answer or "saves no labels" in summary.answer
    assert "it saves about" not in summary.answer


def test_curves_that_do_not_differ_decide_nothing(tmp_path: Path) -> None:
    flat = []
    for run in runs(ahead=1.0):
        right = np.random.default_rng([run.seed, run.subset.images if run.subset else 0, ord(run.arm[0])])
        result = Result(best_validation_accuracy=0.9, best_epoch=1)
        answers = right.random(2000) < 0.9
        result.test_accuracy = float(answers.mean())
        result.set_correct(answers)
        flat.append(run.model_copy(update={"result": result}))
    summary = write_report([*preparation(), *flat], tmp_path)
    assert summary.answer.startswith("For 240 images whether transfer saves labels is undecided.")
    assert summary.learning_curve is not None
    assert summary.learning_curve.stops_paying.note in (
        "it is ahead at the largest size, but not beyond doubt",
        "it is ahead at every size, but not beyond doubt",
        "it is not shown to pay at any size",
        "",
    )


def test_a_curve_that_falls_at_its_end_does_not_predict_itself() -> None:
    means = np.array([0.905, 0.885, 0.870, 0.852])
    test = back_test(Curve(SIZES[:4], np.stack([means - 0.001, means + 0.001])), 0.95)
    # What the isotonic regression makes of all four is near what is predicted, what was measured is not.
    assert test is not None and test.predicted == pytest.approx(0.887, abs=0.005) and not test.holds


def test_a_fault_at_a_smaller_size_is_found(tmp_path: Path) -> None:
    records = runs()
    broken = next(i for i, each in enumerate(records) if each.subset and each.subset.size_per_class == 20)
    changed = records[broken].model_copy(update={"recipe": {**records[broken].recipe, "batch_size": 7}})
    records[broken] = changed
    summary = write_report([*preparation(), *records], tmp_path)
    assert any(finding.message.startswith("With 20 training images per class: ") for finding in summary.findings)


def test_without_a_curve_its_price_in_minutes_and_its_command_are_offered(tmp_path: Path) -> None:
    records = [
        record(arm, seed, epochs=10, seconds_per_epoch=seconds, jitter=0.0)
        for arm, seconds in (("baseline", 6.0), ("transfer", 1.0))
        for seed in range(3)
    ]
    settings = {"command": "headstart run --fruits360 /f.zip --runs 3 --seeds=1,2 --output /out --hold-out-target"}
    offer = write_report([*preparation(), *records], tmp_path, settings=settings).curve_offer
    assert offer is not None
    assert offer.command == "headstart curve --prepared /out --fruits360 /f.zip"
    # Six sizes, 1/32 to 1: the training of all is 63/32 of one run's, six times for each arm.
    assert offer.runs == 72
    training = 6 * (60 + 10) * (11 + 22 + 45 + 90 + 180 + 360) / 360
    # All other phases of both arms' runs, 11.6 s and 6.6 s, are paid at each size.
    assert offer.seconds == pytest.approx(training + 36 * (11.6 + 6.6), rel=0.02)
    assert "How many labels it saves was not measured" in (tmp_path / "report.md").read_text()


def test_the_price_of_a_curve_counts_the_steps_that_small_sizes_have() -> None:
    # 1,080 images, 33 steps; of 33 (1 step), 66 (2) and 135 (4) images 100 steps; of 270 80 → 104, 540 160, 1,080 330.
    steps = [
        _steps({"epochs": 10, "least_steps": 100, "batch_size": 32}, 3 * size) for size in (11, 22, 45, 90, 180, 360)
    ]
    assert steps == [100, 100, 100, 104, 160, 330]


@pytest.mark.parametrize(("sizes", "source"), [((40, 80), "no run's summary"), ((80,), "--preparation-hours")])
def test_what_a_given_model_took_is_asked_for_only_where_it_can_be_said(
    sizes: tuple[int, ...], source: str, tmp_path: Path
) -> None:
    given = Given(left_out=["pretrain", "finetune"], source="/weights.keras", hours=None)
    records = [run if run.arm == "baseline" else run.model_copy(update={"given": given}) for run in runs(sizes=sizes)]
    if len(sizes) == 1:
        records = [run.model_copy(update={"subset": None}) for run in records]
    summary = write_report(records, tmp_path)
    # A curve on models that were there ships none.
    assert any(finding.rule == "final_model" for finding in summary.findings) == (len(sizes) == 1)
    answer = summary.answer
    assert f"{source} says what /weights.keras took" in answer
    assert ("--preparation-hours" in answer) == (len(sizes) == 1)


@pytest.mark.parametrize(("hours", "mean"), [((1.0, 3.0), 2.0), ((1.0, None), None)])
def test_of_several_given_models_each_counts(
    hours: tuple[float | None, ...], mean: float | None, tmp_path: Path
) -> None:
    records = []
    for run in runs(sizes=(40, 80)):
        number = run.seed % 2
        given = Given(left_out=["pretrain", "finetune"], source=f"/{number}.keras", hours=hours[number])
        records.append(
            run.model_copy(update={"preparation": number, "given": given if run.arm == "transfer" else None})
        )
    summary = write_report(records, tmp_path)
    assert summary.preparation_seconds == (None if mean is None else 3600 * mean)
    assert "/0.keras and 1 more" in (tmp_path / "report.md").read_text()


def test_the_command_of_a_curve_leaves_out_what_it_has_not() -> None:
    assert curve_command("headstart run --restart --target /mine --draws 2 --preset fast") == (
        "headstart curve --prepared FOLDER --target /mine --preset fast"
    )
    # What was prepared elsewhere is in the output, and what is offered is the price of the first two arms.
    elsewhere = "--prepared /weights.keras --preparation-hours=3 --arms baseline,head --frozen 0..2 --output /out"
    assert curve_command(f"headstart run {elsewhere}") == "headstart curve --prepared /out"
    assert curve_command("headstart run --output /out", ("baseline", "head")).endswith(" --arms baseline,head")
    assert curve_command("headstart run --config f.yaml").endswith(" --config f.yaml --arms baseline,transfer")
    photos = "--source /s --intermediate /i --intermediate-layout csv --target /t"
    assert curve_command(f"headstart run {photos} -o /out") == "headstart curve --prepared /out --target /t"
    assert curve_command("headstart run -o/out") == "headstart curve --prepared /out"
    assert curve_command("") == "headstart curve --prepared FOLDER"
    assert curve_command("headstart run 'unfinished") == "headstart curve --prepared FOLDER"


def test_again_a_report_asks_for_the_runs_on_the_models_that_there_were(tmp_path: Path) -> None:
    asked = {"prepared": ["/weights.keras"], "preset": "fast", "seeds": [1, 2, 3], "draws": 3}  # fast prepares three
    for cell in plan({**asked, "preparations": 1}).cells:
        made = record("transfer", cell.seed, preparation=cell.preparation, draw=cell.draw)
        made.write(tmp_path / "records" / f"{made.name}.json")
    run = {"state": "finished", "run_id": "r", "request": {"parameters": asked}}
    (tmp_path / "run.json").write_text(json.dumps(run))
    assert {(cell.preparation, cell.draw) for cell in _planned((tmp_path,))} == {(0, 0), (0, 1), (0, 2)}


@pytest.mark.parametrize("missing", ["", "baseline-n20-p1-d0-04"])
def test_a_curve_on_prepared_models_whose_pipeline_made_no_report_is_reported_here(
    tmp_path: Path, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = {"prepared": ["/a.keras", "/b.keras"], "preset": "paper", "seeds": [1, 2, 3, 4], "sizes": [10, 20]}
    plain = {(run.arm, run.subset.size_per_class): run for run in runs(1, (10, 20)) if run.subset}
    stored = {}
    for cell in plan({**asked, "preparations": 2}).cells:
        for (arm, _), run in plain.items():
            own = {"data": run.data, "subset": run.subset, "result": run.result}
            made = record(arm, cell.seed, preparation=cell.preparation, draw=cell.draw, **own)
            stored[f"gs://bucket/p/{RUN_ID}/train-runs/1/records/{made.name}.json"] = made.model_dump_json().encode()
    lost = [uri for uri in stored if uri.endswith(f"/{missing}.json")]
    assert len(lost) == bool(missing)
    kept = {uri: content for uri, content in stored.items() if uri not in lost}
    out = io.StringIO()
    run = {"run_id": RUN_ID, "runtime_config": {"pipeline_root": "gs://bucket", "parameters": asked}}
    monkeypatch.setattr(storage, "read_bytes", lambda uri, _: kept[uri])
    monkeypatch.setattr(storage, "list", lambda _: kept)
    console, connection = Console(file=out, width=200), Connection("http://localhost")
    report_here(console, connection, None, run, tmp_path, "")  # type: ignore[arg-type]
    assert ("It is complete: all 16 runs that are compared have succeeded." in out.getvalue()) == (not missing)
    summary = read_summary(tmp_path)
    assert ["complete" in finding.rule for finding in summary.findings].count(True) == bool(missing)


@pytest.mark.parametrize(("value", "text"), [(37.4, "37"), (4912.0, "4,900"), (-120.0, "−120"), (None, "–")])
def test_numbers_of_images(value: float | None, text: str) -> None:
    assert count(value) == text


def test_the_runs_of_a_curve_are_one_table_with_their_sizes(tmp_path: Path) -> None:
    for each in [*preparation(), *runs(seeds=2)]:
        each.write(tmp_path / f"{each.arm}-{each.subset.size_per_class if each.subset else 0}-{each.seed}.json")
    table = load_runs(tmp_path)
    sizes = table[table.arm == "transfer"].groupby("images_per_class").training_images.agg(["count", "first"])
    assert sizes.to_dict("index") == {size: {"count": 2, "first": 3 * size} for size in (10, 20, 40, 80)}
    assert table[table.arm == "pretrain"].images_per_class.isna().all()
