"""What a reader sees first: every sentence and tile is true in the case in which it appears."""

import re
from pathlib import Path

import builders
import pytest

from headstart.components.records import RunRecord
from headstart.components.records import SeenBefore as Seen
from headstart.components.reporting import first_screen, html, regression, statistics_tables
from headstart.components.reporting.report import measure, write_report
from headstart.components.reporting.summary import Finding, SeenBefore, Summary
from headstart.components.stages import ARMS


def arms(
    control: tuple[float, float], treatment: tuple[float, float], runs: int = 6, spread: float = 0.002
) -> list[RunRecord]:
    """Runs of (seconds per epoch, accuracy) in each arm, which differ a little from run to run."""
    made = builders.preparation()
    for arm, (seconds, accuracy) in (("baseline", control), ("transfer", treatment)):
        for seed in range(runs):
            off = (seed - (runs - 1) / 2) / runs
            made.append(
                builders.record(
                    arm,
                    seed,
                    seconds_per_epoch=seconds * (1 + 0.2 * off),
                    accuracy=accuracy + spread * off,
                    jitter=0.01,
                )
            )
    return made


def summary(records: list[RunRecord]) -> Summary:
    found = measure(records, settings={"rules": {"few_runs": "off"}}).summary
    return found.model_copy(update={"sound": True, "findings": []})


def tile(found: Summary, label: str) -> first_screen.Tile:
    return next(each for each in first_screen.tiles(found) if each.label.startswith(label))


@pytest.mark.parametrize(
    ("control", "treatment", "words"),
    [
        (
            (1.5, 0.92),
            (0.2, 0.97),
            r"Preparing pays if you will train \d+ models or more( \(\d+ to \d+\))?; it gains 5\.0",
        ),
        ((1.5, 0.95), (0.2, 0.95), r"Preparing pays if you will train \d+ models or more( \(\d+ to \d+\))?\."),
        (
            (1.5, 0.97),
            (0.2, 0.90),
            r"faster, but worse: take it only where training time matters more than 7\.0 points",
        ),
        (
            (0.2, 0.97),
            (1.5, 0.90),
            r"Do without transfer: it costs 7\.0 points of accuracy and saves no time",
        ),
        ((0.2, 0.90), (1.5, 0.97), r"Prepare for the accuracy alone: in training time it never breaks even"),
        ((0.2, 0.95), (1.5, 0.95), r"Do not prepare: it never breaks even"),
        ((1.0, 0.95), (1.0, 0.95), r"Make more runs before deciding"),
        ((900.0, 0.92), (0.2, 0.97), r"Preparing pays from the first model; it gains 5\.0 points"),
    ],
)
def test_advice(control: tuple[float, float], treatment: tuple[float, float], words: str) -> None:
    assert re.search(words, first_screen.advice(summary(arms(control, treatment))))


def test_advice_says_when_a_loss_of_accuracy_is_not_ruled_out() -> None:
    wide = first_screen.advice(summary(arms((1.5, 0.95), (0.9, 0.94), spread=0.05)))
    assert re.search(r"models or more( \(\d+ to \d+\))?; whether that costs accuracy is undecided\.$", wide)


def test_advice_carries_the_interval_of_the_break_even() -> None:
    found = summary(arms((1.5, 0.95), (0.2, 0.95)))
    for low, high, words in (
        (3, 5, "pays if you will train 4 models or more (3 to 5)."),
        (4, 4, "pays if you will train 4 models or more."),
        (3, None, "Whether preparing pays is undecided: perhaps from the 4th model on, perhaps never."),
    ):
        pays = found.first.break_even.model_copy(
            update={
                "first_model": 4,
                "first_model_low": low,
                "first_model_high": high,
                "all_phases_models": 3.5,
                "method": "Fieller",
            }
        )
        first = found.first.model_copy(update={"break_even": pays})
        assert first_screen.advice(found.model_copy(update={"comparisons": [first]})).endswith(words)


def test_advice_says_when_every_phase_counted_says_otherwise() -> None:
    records = arms((0.05, 0.92), (0.02, 0.97))
    for each in records:
        if each.arm == "transfer":
            each.phases.compile += 9.0
    found = summary(records)
    words = r"models or more \(.*\) in training time, and is not shown to pay with every phase counted; it gains"
    assert re.search(words, first_screen.advice(found))
    assert tile(found, "breaks even from").detail == "not shown with every phase counted"
    pays = found.first.break_even.model_copy(update={"all_phases_models": 9_000.2})
    later = found.model_copy(update={"comparisons": [found.first.model_copy(update={"break_even": pays})]})
    assert "in training time, from the 9,001st on with every phase counted; it" in first_screen.advice(later)


def test_arms_that_answer_everything_alike_leave_no_accuracy_to_decide() -> None:
    records = arms((1.5, 0.95), (0.2, 0.95))
    for each in records:
        if each.arm in ("baseline", "transfer"):
            each.result.test_accuracy = 1.0
    assert "undecided" not in first_screen.advice(summary(records))


def test_without_a_run_of_an_arm_the_break_even_is_not_known() -> None:
    found = tile(
        summary([each for each in arms((1.5, 0.9), (0.2, 0.95)) if each.arm != "transfer"]), "breaks even from"
    )
    assert (found.value, found.undecided) == ("not known", False)


def test_a_confidence_is_not_rounded_to_certainty() -> None:
    report = measure(arms((1.5, 0.95), (0.2, 0.95)), settings={"confidence": 0.999})
    assert "(99.9 % interval " in report.summary.answer
    assert "100 % interval" not in html.render([report])


def test_advice_says_what_is_not_known_where_the_cost_of_preparation_is_not() -> None:
    found = summary(arms((1.5, 0.90), (0.2, 0.95)))
    pays = found.first.break_even.model_copy(update={"first_model": None, "never": False})
    first = found.first.model_copy(update={"break_even": pays})
    unknown = found.model_copy(update={"comparisons": [first], "preparation_seconds": None})
    assert first_screen.advice(unknown) == (
        "When preparing pays is not known, since its cost is not; it gains 5.0 points from the first model on."
    )
    for label in ("preparation", "breaks even from"):
        assert tile(unknown, label).value == "not known"
    measured = found.preparation.stages
    assert measured and tile(unknown, "preparation").detail.startswith("measured: ")


def test_advice_asks_for_what_there_is_little_of() -> None:
    found = summary(arms((1.0, 0.95), (1.0, 0.95)))
    for preparations, draws, words in (
        (1, 1, "Make more runs before"),
        (2, 1, "Make more runs, over more than 2 preparations, before"),
        (2, 3, "Make more runs, over more than 2 preparations and 3 draws, before"),
        (5, 10, "Make more runs before"),
    ):
        held = found.holds_over.model_copy(update={"preparations": preparations, "draws": draws})
        assert first_screen.advice(found.model_copy(update={"holds_over": held})).startswith(words)


def test_a_ratio_of_geometric_means_beside_medians_says_so() -> None:
    for runs, says in ((3, True), (6, False)):
        faster = tile(summary(arms((1.5, 0.95), (0.2, 0.95), runs=runs)), "training speed")
        assert ("geometric" in faster.detail) is says


def test_captions_carry_intervals_and_say_what_no_phase_counts(tmp_path: Path) -> None:
    for process, says in (("forked", True), ("separate", False)):
        records = [each.model_copy(update={"process": process}) for each in arms((1.5, 0.95), (0.2, 0.95))]
        write_report(records, tmp_path / process)
        html = (tmp_path / process / "report.html").read_text(encoding="utf-8")
        assert ("import, once for all runs, is counted in none" in html) is says
        assert re.search(r"[\d.]+ \([\d.]+–[\d.]+\) times the time per epoch", html)


@pytest.mark.parametrize(("confidence", "expected"), [(0.95, "about 5 show"), (0.9, "about 10 show")])
def test_how_many_classes_differ_by_chance_follows_the_confidence(confidence: float, expected: str) -> None:
    report = measure(arms((1.5, 0.95), (0.2, 0.95)), settings={"confidence": confidence})
    notes = [table.note for table in statistics_tables.tables(report.summary)]
    assert any(expected in note for note in notes)
    assert any("take all runs as independent" in note for note in notes)


def test_compare_says_that_it_takes_runs_as_independent_where_some_are_not() -> None:
    found = summary(arms((1.5, 0.95), (0.2, 0.95)))
    shared = found.model_copy(update={"holds_over": found.holds_over.model_copy(update={"preparations": 2})})
    assert regression.compare(found, found).notices == []
    (notice,) = regression.compare(found, shared).notices
    assert "independent" in notice


def test_no_advice_from_an_unsound_measurement_or_from_nothing() -> None:
    found = summary(arms((1.5, 0.92), (0.2, 0.97)))
    assert "errors below" in first_screen.advice(found.model_copy(update={"sound": False}))
    assert first_screen.advice(summary(builders.preparation())) == ""


def test_tiles_carry_their_interval_and_say_what_is_undecided() -> None:
    found = summary(arms((1.5, 0.95), (0.2, 0.95), spread=0.02))
    faster, gain = tile(found, "training speed"), tile(found, "test accuracy")
    assert (faster.undecided, gain.undecided) == (False, True)
    low, high = (float(end) for end in faster.interval.split("–"))
    assert low < found.speedup.train.estimate < high  # type: ignore[operator]
    assert re.fullmatch(r"−\d\.\d to \+\d\.\d", gain.interval)
    one = summary(arms((1.5, 0.95), (0.2, 0.95), runs=1))
    assert tile(one, "training speed").interval == one.speedup.train.note != ""


def test_a_worse_treatment_gets_no_break_even(tmp_path: Path) -> None:
    for name, accuracy, drawn in (("worse", 0.90, False), ("better", 0.99, True)):
        write_report(arms((1.5, 0.97), (0.2, accuracy)), tmp_path / name)
        html = (tmp_path / name / "report.html").read_text(encoding="utf-8")
        assert ("When preparation has paid for itself" in html) == drawn
    found = summary(arms((1.5, 0.97), (0.2, 0.90)))
    assert found.break_even.first_model is not None
    assert tile(found, "breaks even").value == "no gain"


def test_what_can_turn_the_answer_comes_before_details() -> None:
    findings = [
        Finding(rule="near_duplicates", severity="warning", message=""),
        Finding(rule="few_runs", severity="warning", message=""),
        Finding(rule="near_duplicates", severity="error", message=""),
    ]
    order = [(each.severity, each.rule) for each in first_screen.ordered(findings)]
    assert order == [("error", "near_duplicates"), ("warning", "few_runs"), ("warning", "near_duplicates")]


def test_details_are_rules_that_exist() -> None:
    from headstart.components.reporting.verify import RULES

    assert set(RULES) >= first_screen.DETAILS


def test_classes_and_counts() -> None:
    report = measure(builders.experiment(3))
    text = first_screen.images(report.experiment)
    assert text == "3 classes (apple, pears, noise): 1,080 training, 120 validation, 2,250 test images"
    assert first_screen.images(measure([]).experiment) == ""


@pytest.mark.parametrize(
    ("seen", "words"),
    [
        ((1600, 1080, 0), "on 1,080 of the 1,080 training images and on 1,600 labelled images of these classes"),
        ((0, 1080, 7), "on 1,080 of the 1,080 training images and on 7 of the test images."),
        ((90, 0, 0), "trained on 90 labelled images of these classes"),
        ((0, 0, 0), "had seen none of these images and no others of these classes"),
    ],
)
def test_what_the_weights_had_seen(seen: tuple[int, int, int], words: str) -> None:
    found = summary(builders.experiment(3))
    labelled, training, test = seen
    before = SeenBefore(labelled_images=labelled, training_images=training, test_images=test, of_training_images=1080)
    assert words in first_screen.seen(found.model_copy(update={"seen_before": before}))
    assert first_screen.seen(found.model_copy(update={"seen_before": None})) == ""


def test_every_arm_is_drawn_and_tabled(tmp_path: Path) -> None:
    records = builders.experiment(4)
    for arm in set(ARMS) - {"baseline", "transfer"}:
        records += [builders.record(arm, seed, epochs=20 + seed, accuracy=0.94 + 0.001 * seed) for seed in range(4)]
    write_report(records, tmp_path)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    estimation = re.findall(r"<svg.*?</svg>", html, re.S)[0]
    for arm in ARMS:
        assert f"{arm}: 4 runs" in estimation
    accuracy = html[html.index("Accuracy by class") :]
    header = re.findall(r"<th scope=\"col\"[^>]*>([^<]*)", accuracy[: accuracy.index("</tr>")])
    assert header == ["class", *ARMS, "final model"]


def test_accuracy_by_class_is_the_mean_over_the_runs() -> None:
    from headstart.components.reporting.tables import class_accuracy

    runs = [builders.record("baseline", seed) for seed in range(2)]
    matrices = [[[8, 2, 0], [0, 10, 0], [0, 0, 0]], [[6, 2, 2], [5, 5, 0], [0, 0, 0]]]
    runs = [
        run.model_copy(update={"result": run.result.model_copy(update={"confusion": matrix})})
        for run, matrix in zip(runs, matrices, strict=True)
    ]
    assert class_accuracy(runs) == {"apple": pytest.approx(0.7), "pears": pytest.approx(0.75)}


def test_a_container_image_is_named_only_where_one_ran(tmp_path: Path) -> None:
    records = builders.experiment(2)
    write_report(records, tmp_path / "without")
    contained = [
        record.model_copy(update={"environment": record.environment.model_copy(update={"image": "headstart:0.1.0"})})
        for record in records
    ]
    write_report(contained, tmp_path / "with")
    texts = {name: (tmp_path / name / "report.html").read_text(encoding="utf-8") for name in ("with", "without")}
    assert "container image" in texts["with"] and "container image" not in texts["without"]


def test_the_most_confident_mistakes_come_first(tmp_path: Path) -> None:
    records = builders.experiment(2)
    samples = builders.samples(3)
    wrong = [
        sample.model_copy(update={"truth": "apple", "predicted": "pears", "probability": probability})
        for sample, probability in zip(samples, (0.61, 0.99, 0.75), strict=True)
    ]
    records = [
        record.model_copy(
            update={"mistakes": wrong, "seen_before": Seen(class_images=0, training_images=0, test_images=0)}
        )
        if record.arm == "final"
        else record
        for record in records
    ]
    write_report(records, tmp_path)
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    gallery = html[html.index("Most confidently wrong") : html.index("Test images, chosen at random")]
    assert re.findall(r"pears (\d+) %", gallery) == ["99", "75", "61"]


def test_processor_time_beside_a_gpu_is_said_to_be_the_hosts() -> None:
    records = arms((2.0, 0.9), (1.0, 0.95))
    on_gpu = [
        record.model_copy(update={"environment": record.environment.model_copy(update={"device_kind": "gpu"})})
        for record in records
    ]
    for given, said in ((records, False), (on_gpu, True)):
        found = summary(given)
        (row,) = [
            row
            for row in statistics_tables.estimates_table(found, found.comparisons[0]).rows
            if row[0].startswith("processor time of training")
        ]
        assert ("without what the GPU computes" in row[-1]) is said


@pytest.mark.parametrize(("preparations", "said"), [(1, "one run"), (3, "a mean whose spread")])
def test_why_preparation_is_not_judged(preparations: int, said: str) -> None:
    found = summary(arms((1.5, 0.9), (0.2, 0.95)))
    held = found.holds_over.model_copy(update={"preparations": preparations})
    both = found.model_copy(update={"holds_over": held})
    note = next(each.note for each in regression.compare(both, both).judgements if each.quantity == "preparation")
    assert note.startswith(said)
