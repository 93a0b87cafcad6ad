"""The first line: what it says, and that it says no more than the intervals carry."""

from typing import Any

import builders
import numpy as np
import pytest

from headstart.components.records import RunRecord, SeenBefore
from headstart.components.reporting.answer import answer, verdict
from headstart.components.reporting.experiment import experiment
from headstart.components.reporting.measurement import summarise
from headstart.components.reporting.settings import report_settings
from headstart.components.reporting.summary import (
    Arm,
    BreakEven,
    Description,
    Finding,
    HoldsOver,
    Interval,
    Preparation,
    Speedup,
    Summary,
)

NONE = Interval()
NOTHING = HoldsOver()


def summary(
    train: Interval,
    gain: Interval,
    pays: BreakEven,
    preparation: float | None = 730.0,
    every: Interval = NONE,
    held: HoldsOver = NOTHING,
) -> Summary:
    return Summary(
        speedup=Speedup(
            train=train,
            train_of_means=NONE,
            time_to_accuracy=NONE,
            epochs=NONE,
            seconds_per_epoch=NONE,
            all_phases=every,
        ),
        accuracy_gain=gain,
        holds_over=held,
        arms={"baseline": Arm(train_seconds=Description(n=10)), "transfer": Arm(train_seconds=Description(n=10))},
        preparation_seconds=preparation,
        preparation=Preparation(train_seconds=preparation, reason="" if preparation else "pretrain failed"),
        break_even=pays,
    )


FASTER = Interval(estimate=7.1, low=6.4, high=7.9, method="Mann–Whitney")
BETTER = Interval(estimate=0.052, low=0.041, high=0.063, method="Mann–Whitney")
PAYS = BreakEven(models=25.2, first_model=26, text="from the 26th model")
NEVER = BreakEven(never=True, text="never")


def test_the_answer_in_the_form_that_was_asked_for() -> None:
    every = Interval(estimate=4.6, low=4.0, high=5.2, method="Mann–Whitney")
    held = HoldsOver(seeds=10, preparations=3, draws=3, test_images=450)
    assert answer(summary(FASTER, BETTER, PAYS, every=every, held=held)) == (
        "Transfer trains 7.1 times as fast as the baseline (95 % interval 6.4–7.9; 4.6 counting every phase) and is "
        "5.2 points more accurate (4.1–6.3); preparing it took 12 min 10 s and breaks even from the 26th model. "
        "Holds over 3 preparations, 3 draws of training images and test images like these."
    )


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (
            HoldsOver(seeds=10, preparations=1, draws=1),
            "Holds over 10 seeds, for one preparation, one draw of training images and these test images only.",
        ),
        (
            HoldsOver(seeds=10, preparations=1, draws=10, test_images=90),
            "Holds over 10 draws of training images and test images like these, for one preparation only.",
        ),
        (
            HoldsOver(seeds=1, preparations=3, draws=1),
            "Holds over 3 preparations, for one draw of training images and these test images only.",
        ),
    ],
)
def test_it_says_what_there_was_only_one_of(held: HoldsOver, words: str) -> None:
    assert answer(summary(FASTER, BETTER, PAYS, held=held)).endswith(words)


def test_one_run_in_each_arm_holds_over_nothing() -> None:
    one = answer(summary(FASTER, BETTER, PAYS, held=HoldsOver(seeds=1, preparations=1, draws=1)))
    assert "Holds" not in one


def ends(estimate: float, low: float | None, high: float | None, seen: float | None = None) -> Interval:
    return Interval(estimate=estimate, low=low, high=high, method="Welch t", could_have_seen=seen)


@pytest.mark.parametrize(
    ("train", "gain", "pays", "preparation", "words"),
    [
        (
            ends(0.5, 0.4, 0.8),
            BETTER,
            NEVER,
            730.0,
            "takes 2.0 times as long to train as the baseline (95 % interval 1.25–2.5) and is 5.2 points more",
        ),
        (
            ends(1.1, 0.8, 1.4, 1.6),
            BETTER,
            PAYS,
            730.0,
            "Whether transfer trains faster is undecided: it trains 1.10 times as fast as the baseline (95 % interval "
            "0.80–1.40; a true ratio of 1.60 would have shown in four of five experiments); it is 5.2 points more",
        ),
        (Interval(estimate=3.0), BETTER, PAYS, 730.0, "Transfer trains 3.0 times as fast as the baseline and is 5.2"),
        (ends(9.0, 2.0, None), BETTER, PAYS, 730.0, "(95 % interval 2.0 or more)"),
        (
            FASTER,
            ends(-0.148, -0.17, -0.12),
            PAYS,
            730.0,
            "Transfer is faster, but worse: it trains 7.1 times as fast as the baseline (95 % interval 6.4–7.9), and "
            "is 14.8 points less accurate (12.0–17.0); preparing it took 12 min 10 s, for a worse model.",
        ),
        (FASTER, ends(0.001, -0.004, 0.005), PAYS, 730.0, "and is about as accurate: +0.1 points (−0.4 to +0.5)"),
        (
            FASTER,
            ends(0.01, -0.04, 0.05, 0.034),
            PAYS,
            730.0,
            "(95 % interval 6.4–7.9), and whether it is more accurate is undecided: +1.0 points (−4.0 to +5.0; a true "
            "difference of 3.4 points would have shown in four of five experiments); preparing",
        ),
        (FASTER, Interval(estimate=0.0), PAYS, 730.0, "and is as accurate;"),
        (FASTER, Interval(), PAYS, 730.0, ", and its accuracy is not known; preparing"),
        (FASTER, BETTER, NEVER, 730.0, "took 12 min 10 s and never breaks even."),
        (FASTER, BETTER, BreakEven(text="not shown"), 730.0, "took 12 min 10 s, and it is not shown to break even."),
        (
            FASTER,
            BETTER,
            BreakEven(models=25.2, first_model=26, method="Welch t, inverted"),
            730.0,
            "breaks even from the 26th model, or perhaps never.",
        ),
        (
            FASTER,
            BETTER,
            BreakEven(text="not known, because pretrain failed"),
            None,
            "what preparing it costs is not known, because pretrain failed.",
        ),
    ],
)
def test_what_it_says_where_the_numbers_differ(
    train: Interval, gain: Interval, pays: BreakEven, preparation: float | None, words: str
) -> None:
    assert words in answer(summary(train, gain, pays, preparation))


def test_without_any_run_there_is_no_answer() -> None:
    found = summarise(experiment(builders.preparation()), report_settings({}))
    assert found.answer.startswith("No answer: no run of either arm succeeded. Preparing it took")
    assert summarise(experiment([]), report_settings({})).answer == (
        "No answer: no run of either arm succeeded. What preparing it costs is not known, because there is no record "
        "of pretrain and there is no record of finetune."
    )


def test_failed_preparation_leaves_the_speedup_and_takes_the_break_even() -> None:
    records = [
        r.model_copy(update={"status": "failed", "reason": "killed"}) if r.arm == "pretrain" else r
        for r in builders.experiment()
    ]
    found = summarise(experiment(records), report_settings({}))
    assert found.speedup.train.estimate is not None
    assert (found.break_even_models, found.preparation_seconds, found.sound) == (None, None, False)
    assert found.break_even.text == "not known, because pretrain failed"


def test_verdicts() -> None:
    good = summary(FASTER, BETTER, PAYS).model_copy(update={"sound": True})
    warning = Finding(rule="few_runs", severity="warning", message="")
    error = Finding(rule="own_run", severity="error", message="")
    assert verdict(good) == "sound"
    assert verdict(good.model_copy(update={"findings": [warning]})) == "sound, with 1 warning"
    assert verdict(good.model_copy(update={"findings": [warning, warning]})) == "sound, with 2 warnings"
    assert verdict(good.model_copy(update={"findings": [error, warning]})) == "not sound: 1 error, 1 warning"


def test_failed_runs_are_counted_listed_and_left_out_of_the_times() -> None:
    records = [
        builders.record("baseline", 3, epochs=2, status="failed", reason="killed by signal 9 (SIGKILL); out of memory?")
        if r.name == "baseline-03"
        else r
        for r in builders.experiment()
    ]
    found = summarise(experiment(records), report_settings({}))
    arm = found.arms["baseline"]
    assert (arm.runs, arm.succeeded, arm.failed, arm.train_seconds.n, found.arms["transfer"].succeeded) == (
        10,
        9,
        1,
        9,
        10,
    )
    assert [(f.run, f.reason) for f in found.failures] == [
        ("baseline-03", "killed by signal 9 (SIGKILL); out of memory?")
    ]
    assert found.sound
    # The seed that failed has no partner.
    assert found.accuracy_tests.pairs == 9


def test_price_turns_time_into_cost() -> None:
    records = builders.experiment()
    found = summarise(experiment(records), report_settings({"price_per_hour": 3.6, "currency": "EUR"}))
    assert found.cost is not None
    # 3.6 an hour is a thousandth a second; every phase counts.
    assert found.preparation.total_seconds is not None
    assert found.cost.preparation == pytest.approx(found.preparation.total_seconds / 1000)
    assert found.cost.baseline_per_model == pytest.approx((found.arms["baseline"].total_seconds.mean or 0) / 1000)
    assert summarise(experiment(records), report_settings({})).cost is None


def sampled(arm: str, preparation: int, draw: int, seed: int, accuracy: float, **changes: Any) -> RunRecord:
    """A run of one of several preparations and draws, with its answers to the test images."""
    made = builders.record(
        arm, seed, accuracy=accuracy, seconds_per_epoch=0.2 if arm == "transfer" else 1.5, **changes
    ).model_copy(update={"preparation": preparation, "draw": draw})
    assert made.data is not None
    made.data.digest = builders.digest(f"draw {draw}")
    made.result.test_accuracy = accuracy
    # Some images are hard for every run of an arm.
    hard, luck = (np.random.default_rng(key).random(2250) for key in ([len(arm)], [len(arm), seed]))
    made.result.set_correct(np.argsort(np.argsort(hard + 0.2 * luck)) < round(accuracy * 2250))
    return made


def several(**changes: Any) -> list[RunRecord]:
    """Three preparations and three draws, each with each; the first preparation is the worst."""
    chains = [
        r.model_copy(
            update={
                "preparation": number,
                "phases": r.phases.model_copy(update={"train": r.phases.train * (1 + 0.1 * number)}),
            }
        )
        for number in range(3)
        for r in builders.preparation()
        if r.arm != "final" or number == 0
    ]
    arms = [
        sampled(arm, number % 3, number // 3, number, level, **changes)
        for number in range(9)
        for arm, level in (("baseline", 0.92), ("transfer", 0.95 + 0.01 * (number % 3)))
    ]
    return [*chains, *arms]


def test_draws_that_share_most_of_their_images_say_so_and_those_that_share_all_are_one() -> None:
    records = several()
    for pool, said in (
        ([3600, 3600, 3600], "3 draws of training images and"),
        ([450, 400, 3600], "3 draws of training images that share about 60 % and"),
        ([400, 400, 400], "3 draws of training images that share about 90 % and"),
        ([360, 360, 360], "for one draw of training images only."),
    ):
        for each in records:
            if each.data and each.arm in ("baseline", "transfer"):
                each.data.training_pool = pool
        found = summarise(experiment(records), report_settings({}))
        assert said in found.answer, found.answer
        assert ("draws_differ" in [finding.rule for finding in found.findings]) == (pool[0] == 360)


def test_several_preparations_and_draws_are_what_the_answer_holds_over() -> None:
    found = summarise(experiment(several()), report_settings({}))
    assert found.holds_over == HoldsOver(seeds=9, preparations=3, draws=3, test_images=2250)
    assert found.answer.endswith("Holds over 3 preparations, 3 draws of training images and test images like these.")
    gain = found.first.accuracy_gain
    assert (gain.these_images.method, gain.new_images.method) == ("mixed t", "crossed t")
    # Means of the preparations are 0.95, 0.96 and 0.97 and nothing else varies: ± t · 0.01 / √3, t two thirds of
    # the way from t(0.975, 4) to t(0.975, 2) on a logarithmic scale.
    t = 4.302653 ** (2 / 3) * 2.776445 ** (1 / 3)
    assert gain.these_images.estimate == pytest.approx(0.04)
    assert gain.these_images.high == pytest.approx(0.04 + t * 0.01 / 3**0.5, rel=1e-5)
    assert sum(found.variance.values()) == pytest.approx(1)
    assert found.variance["preparations"] > 0.5 and found.variance["test_images"] > 0.01
    assert found.speedup.train.method == "mixed t on logarithms"
    assert found.break_even.method == "Fieller"
    assert set(found.first.gain_by_class) == set(builders.FRUIT)
    one = [record for record in several() if record.preparation == 0 and record.draw == 0]
    assert summarise(experiment(one), report_settings({})).holds_over.preparations == 1


def test_films_widen_the_interval_for_new_images() -> None:
    def width(groups: list[int | None] | None) -> float:
        records = several()
        rows = [np.random.default_rng(5).random(75) < 0.9, np.random.default_rng(6).random(75) < 0.97]
        for record in records:
            if record.data and record.arm in ("baseline", "transfer"):
                record.data.test_groups = groups
                # Thirty images of a film are all right or all wrong, in every run of an arm.
                record.result.set_correct(np.repeat(rows[record.arm == "transfer"], 30))
        gain = summarise(experiment(records), report_settings({})).first.accuracy_gain.new_images
        assert gain.low is not None and gain.high is not None
        return gain.high - gain.low

    apart = width(None)
    assert width([None] * 2250) == pytest.approx(apart)
    assert width([index // 30 for index in range(2250)]) > 1.5 * apart


def test_more_arms_are_more_comparisons_and_the_first_stays() -> None:
    records = several()
    records += [sampled("finetuned", n % 3, n // 3, n, 0.97) for n in range(9)]
    records += [sampled("frozen-random", 0, n // 3, n, 0.80) for n in range(9)]
    found = summarise(experiment(records), report_settings({}))
    assert [(each.control, each.treatment) for each in found.comparisons] == [
        ("baseline", "transfer"),
        ("baseline", "finetuned"),
        ("frozen-random", "transfer"),
    ]
    assert list(found.arms) == ["baseline", "transfer", "finetuned", "frozen-random"]
    assert found.speedup == found.comparisons[0].speedup
    assert found.comparisons[2].accuracy_gain.these_images.estimate == pytest.approx(0.16)
    without = summarise(experiment([r for r in records if r.arm != "transfer"]), report_settings({}))
    assert [(each.control, each.treatment) for each in without.comparisons] == [("baseline", "finetuned")]
    assert without.answer.startswith("Whether fine-tuned trains faster is undecided: it trains 1.00 times as fast")


def test_what_was_seen_before_comes_from_the_treatment() -> None:
    records = several()
    for record in records:
        if record.arm == "transfer":
            record.seen_before = SeenBefore(class_images=5000, training_images=1080, test_images=0)
    found = summarise(experiment(records), report_settings({})).seen_before
    assert found is not None
    assert (found.labelled_images, found.training_images, found.of_training_images) == (5000, 1080, 1080)
    unknown = summarise(experiment(several(seen_before=None)), report_settings({}))
    assert unknown.seen_before is None


def test_damaged_answers_cost_the_interval_for_new_images_alone() -> None:
    records = several()
    records[-1].result.correct = "!"
    gain = summarise(experiment(records), report_settings({})).first.accuracy_gain
    assert (gain.new_images.method, gain.these_images.method) == ("none", "mixed t")
    assert "answer to each test image" in gain.new_images.note
