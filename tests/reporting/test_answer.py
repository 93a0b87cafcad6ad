"""The first line: what it says, and that it says no more than the intervals carry."""

import builders
import pytest

from headstart.components.reporting.answer import answer, verdict
from headstart.components.reporting.experiment import experiment
from headstart.components.reporting.measurement import summarise
from headstart.components.reporting.settings import report_settings
from headstart.components.reporting.summary import (
    Arm,
    BreakEven,
    Description,
    Finding,
    Interval,
    Preparation,
    Speedup,
    Summary,
)

NONE = Interval()


def summary(train: Interval, gain: Interval, pays: BreakEven, preparation: float | None = 730.0) -> Summary:
    return Summary(
        speedup=Speedup(train=train, train_of_means=NONE, time_to_accuracy=NONE, epochs=NONE, seconds_per_epoch=NONE),
        accuracy_gain=gain,
        arms={"baseline": Arm(train_seconds=Description(n=10)), "transfer": Arm(train_seconds=Description(n=10))},
        preparation_seconds=preparation,
        preparation=Preparation(train_seconds=preparation, reason="" if preparation else "pretrain failed"),
        break_even=pays,
    )


FASTER = Interval(estimate=7.1, low=6.4, high=7.9, method="BCa")
BETTER = Interval(estimate=0.052, low=0.041, high=0.063, method="BCa")
PAYS = BreakEven(models=25.2, first_model=26, text="from the 26th model")
NEVER = BreakEven(never=True, text="never")


def test_the_answer_in_the_form_that_was_asked_for() -> None:
    assert answer(summary(FASTER, BETTER, PAYS)) == (
        "Transfer trains 7.1 times faster (95 % interval 6.4–7.9) and is 5.2 points more accurate (4.1–6.3); "
        "preparing it took 12 min 10 s and repays itself from the 26th model."
    )


@pytest.mark.parametrize(
    ("train", "gain", "pays", "preparation", "said"),
    [
        (
            Interval(estimate=0.5, low=0.4, high=0.8, method="BCa"),
            BETTER,
            NEVER,
            730.0,
            "2.0 times slower (95 % interval 1.25–2.5)",
        ),
        (
            Interval(estimate=1.1, low=0.8, high=1.4, method="BCa"),
            BETTER,
            PAYS,
            730.0,
            "1.10 times as fast (95 % interval 0.80–1.40); it is 5.2 points more accurate (4.1–6.3); preparing",
        ),
        (Interval(estimate=3.0, note="one run"), BETTER, PAYS, 730.0, "Transfer trains 3.0 times faster and"),
        (Interval(estimate=3.0, low=2.0, high=4.0, method="range"), BETTER, PAYS, 730.0, "(range of the runs 2.0–4.0)"),
        (
            FASTER,
            Interval(estimate=-0.02, low=-0.03, high=-0.01, method="BCa"),
            PAYS,
            730.0,
            "is 2.0 points less accurate (1.0–3.0)",
        ),
        (
            FASTER,
            Interval(estimate=0.001, low=-0.004, high=0.005, method="BCa"),
            PAYS,
            730.0,
            "is about as accurate: +0.1 points (−0.4 to 0.5)",
        ),
        (
            FASTER,
            Interval(estimate=0.01, low=-0.04, high=0.05, method="BCa"),
            PAYS,
            730.0,
            "(95 % interval 6.4–7.9), and whether it is more accurate is undecided: +1.0",
        ),
        (FASTER, Interval(estimate=0.0), PAYS, 730.0, "is as accurate;"),
        (FASTER, Interval(), PAYS, 730.0, ", and its accuracy is not known; preparing"),
        (FASTER, BETTER, NEVER, 730.0, "took 12 min 10 s and is never repaid."),
        (
            FASTER,
            BETTER,
            BreakEven(text="not known, because pretrain failed"),
            None,
            "is not known, because pretrain failed.",
        ),
    ],
)
def test_what_it_says_where_the_numbers_differ(
    train: Interval, gain: Interval, pays: BreakEven, preparation: float | None, said: str
) -> None:
    assert said in answer(summary(train, gain, pays, preparation))


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
        r.model_copy(update={"status": "failed", "reason": "killed by signal 9 (SIGKILL); out of memory?"})
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
    # The seed that failed has no partner, so the accuracies are not paired.
    assert "paired" not in found.accuracy_gain.method
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
