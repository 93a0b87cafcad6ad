"""Every rule: silent on a sound experiment, and found where exactly its fault is put in."""

from collections.abc import Callable, Sequence

import builders
import pytest
from test_planted import PLANTS

from headstart.components.design import Cell
from headstart.components.errors import SettingError
from headstart.components.records import Attempt, FrozenLayer, RunRecord
from headstart.components.reporting.conditions import data_table
from headstart.components.reporting.experiment import experiment
from headstart.components.reporting.settings import report_settings
from headstart.components.reporting.summary import Finding
from headstart.components.reporting.verify import RULES, is_sound, verify


def found(records: Sequence[RunRecord], **settings: object) -> list[Finding]:
    return verify(experiment(records), report_settings(settings))


def change(records: list[RunRecord], name: str, **values: object) -> list[RunRecord]:
    return [record.model_copy(update=values) if record.name == name else record for record in records]


def edit(records: list[RunRecord], name: str, part: str, **values: object) -> list[RunRecord]:
    return [
        record.model_copy(update={part: getattr(record, part).model_copy(update=values)})
        if record.name == name
        else record
        for record in records
    ]


def all_transfers(records: list[RunRecord], alter: Callable[[RunRecord], RunRecord]) -> list[RunRecord]:
    return [alter(record) if record.arm == "transfer" else record for record in records]


def still_rising(record: RunRecord) -> RunRecord:
    """The run with full training accuracy from the first epoch on, its validation accuracy rising until the end."""
    rows, count = record.epochs, len(record.epochs)
    changed = [
        row.model_copy(update={"accuracy": 1.0, "validation_accuracy": round(60 + 50 * row.epoch / count) / 120})
        for row in rows
    ]
    return record.model_copy(update={"epochs": changed})


Fault = Callable[[list[RunRecord]], list[RunRecord]]
FAULTS: list[tuple[str, str, Fault]] = [
    ("enough_runs", "0 of 0 transfer", lambda all_: [r for r in all_ if r.arm != "transfer"]),
    (
        "failed_runs",
        "9 that did",
        lambda all_: change(all_, "baseline-03", status="failed", reason="killed by signal 9"),
    ),
    ("failed_runs", "diverged", lambda all_: change(all_, "baseline-03", status="diverged", reason="")),
    ("preparation", "no record of pretrain", lambda all_: [r for r in all_ if r.arm != "pretrain"]),
    ("preparation", "out of memory", lambda all_: change(all_, "finetune", status="failed", reason="out of memory")),
    ("final_model", "no record", lambda all_: [r for r in all_ if r.arm != "final"]),
    ("final_model", "loss was NaN", lambda all_: change(all_, "final", status="diverged", reason="loss was NaN")),
    ("few_runs", "4 baseline", lambda all_: [r for r in all_ if r.arm != "baseline" or r.seed < 4]),
    ("distinct_seeds", "seed 2", lambda all_: [*all_, builders.record("baseline", 2, epochs=21)]),
    ("own_run", "run-old", lambda all_: change(all_, "transfer-05", run_id="run-old")),
    (
        "not_cached",
        "transfer-05 and transfer-04",
        lambda all_: change(
            all_,
            "transfer-05",
            epochs=next(r for r in all_ if r.name == "transfer-04").epochs,
            phases=next(r for r in all_ if r.name == "transfer-04").phases,
        ),
    ),
    ("same_data", "digest is 'other'", lambda all_: edit(all_, "transfer-01", "data", digest="other")),
    (
        "same_recipe",
        "batch_size is 512 instead of 32",
        lambda all_: change(all_, "baseline-04", recipe={**all_[-1].recipe, "batch_size": 512}),
    ),
    ("same_hardware", "cores is 16.0", lambda all_: edit(all_, "baseline-01", "environment", cores=16.0)),
    (
        "same_image",
        "image is 'headstart:2'",
        lambda all_: edit(all_, "baseline-01", "environment", image="headstart:2"),
    ),
    (
        "same_image",
        "tensorflow is '2.20.0'",
        lambda all_: edit(
            all_, "transfer-01", "environment", versions={**all_[0].environment.versions, "tensorflow": "2.20.0"}
        ),
    ),
    (
        "frozen_unchanged",
        "conv2d_2",
        lambda all_: change(all_, "transfer-00", frozen=[FrozenLayer(layer="conv2d_2", before="a", after="b")]),
    ),
    ("initial_weights", "instead of random", lambda all_: change(all_, "baseline-00", initial_model="abc")),
    ("initial_weights", "random weights instead", lambda all_: change(all_, "transfer-00", initial_model=None)),
    ("initial_weights", "another model", lambda all_: change(all_, "transfer-00", initial_model="abc")),
    ("undisturbed", "up to 30 %", lambda all_: change(all_, "transfer-00", stolen_share=0.3)),
    (
        "uninterrupted",
        "1 run went on",
        lambda all_: change(all_, "transfer-00", attempts=[Attempt(number=n, started_at="") for n in (1, 2)]),
    ),
    ("consistent_clock", "no training time", lambda all_: change(all_, "transfer-00", epochs=[])),
    ("consistent_clock", "more than its training time", lambda all_: edit(all_, "transfer-00", "phases", train=0.5)),
    ("plausible_speed", "1 baseline", lambda all_: edit(all_, "baseline-00", "phases", train=2.0)),
    (
        "stopped_by_rule",
        "10 of 10 transfer",
        lambda all_: all_transfers(all_, lambda r: r.model_copy(update={"stop_reason": "max_epochs"})),
    ),
    (
        "target_reached",
        "10 of 10 transfer",
        lambda all_: all_transfers(all_, lambda r: r.model_copy(update={"epochs": r.epochs[:1]})),
    ),
    (
        "test_not_in_training",
        "7 test images",
        lambda all_: edit(all_, "baseline-00", "data", duplicates_across_splits=7),
    ),
    (
        "preparation_test_not_in_training",
        "10 test images of preparation",
        lambda all_: edit(all_, "pretrain", "data", duplicates_across_splits=10),
    ),
    (
        "near_duplicates",
        "40 of 2,250",
        lambda all_: edit(all_, "baseline-00", "data", near_duplicates_across_splits=40),
    ),
    (
        "above_chance",
        "pretrain answers 5.0 %",
        lambda all_: [builders.record("pretrain", accuracy=0.05), *(r for r in all_ if r.arm != "pretrain")],
    ),
    ("settled", "10 of 10 transfer runs", lambda all_: all_transfers(all_, still_rising)),
    ("nothing_skipped", "3 images", lambda all_: edit(all_, "baseline-00", "data", skipped=3)),
]


def test_a_sound_experiment_breaks_no_rule() -> None:
    assert found(builders.experiment()) == []


@pytest.mark.parametrize(("rule", "said", "fault"), FAULTS, ids=[f"{rule}-{said}" for rule, said, _ in FAULTS])
def test_a_fault_is_found_by_its_rule(rule: str, said: str, fault: Fault) -> None:
    findings = found(fault(builders.experiment()))
    assert rule in [finding.rule for finding in findings]
    assert any(said in finding.message for finding in findings if finding.rule == rule), findings
    assert is_sound(findings) == all(finding.severity == "warning" for finding in findings)
    assert findings == sorted(findings, key=lambda finding: finding.severity == "warning")


def test_every_rule_has_a_fault_and_a_reason() -> None:
    assert {rule for rule, _, _ in FAULTS} | {plant.rule for plant in PLANTS if plant.rule} | {"unreadable"} == set(
        RULES
    )
    assert all(rule.why.endswith(".") for rule in RULES.values())


def test_a_recipe_without_a_stop_rule_ends_at_its_maximum_by_design() -> None:
    def fixed(record: RunRecord) -> RunRecord:
        recipe = {**record.recipe, "patience": 0, "epochs": 24}
        made = builders.record(record.arm, record.seed, epochs=24, recipe=recipe, stop_reason="max_epochs")
        return made

    records = [fixed(r) if r.arm in ("baseline", "transfer") else r for r in builders.experiment()]
    assert "stopped_by_rule" not in {finding.rule for finding in found(records)}


@pytest.mark.parametrize(("least_steps", "sound"), [(0, False), (24, True), (25, False)])
def test_the_least_number_of_steps_raises_the_maximum_of_epochs(least_steps: int, sound: bool) -> None:
    def small(record: RunRecord) -> RunRecord:
        recipe = {**record.recipe, "patience": 0, "epochs": 10, "least_steps": least_steps, "batch_size": 10_000}
        return builders.record(record.arm, record.seed, epochs=24, recipe=recipe, stop_reason="max_epochs")

    records = [small(r) if r.arm in ("baseline", "transfer") else r for r in builders.experiment()]
    assert ("stop_follows_rule" not in {finding.rule for finding in found(records)}) == sound


def test_a_near_duplicate_in_hundreds_does_not_cost_the_sound() -> None:
    records = builders.experiment()
    for record in records:
        if record.data:
            record.data.near_duplicates_across_splits = record.data.counts["test"] // 100
    assert found(records) == []


def test_images_that_every_draw_of_a_set_lacks_are_counted_once() -> None:
    records = builders.experiment()
    for record in records:
        if record.data and record.arm in ("baseline", "transfer"):
            record.data.digest, record.data.skipped = f"{record.seed % 3:064}", 3
    messages = [finding.message for finding in found(records) if finding.rule == "nothing_skipped"]
    assert messages == ["3 images could not be read and left out of the data."]


def test_notes_say_which_set_they_are_of() -> None:
    records = builders.experiment()
    for record in records:
        if record.data:
            record.data.notes = ["Few twins" if record.arm == "pretrain" else "Many twins", "All square."]
    assert data_table(experiment(records)).note == (
        "The source set: Few twins. All square. The intermediate set: Many twins. All square. "
        "The target set: Many twins. All square."
    )


def test_work_of_the_experiment_itself_is_told_from_other_work() -> None:
    records = builders.experiment()
    for record in records:
        record.attempts[0].host, record.attempts[0].wall_seconds = "node-a", record.phases.train * 1.2
    # One run a minute, as drawn; the first baseline run is moved into pretraining.
    by_name = {record.name: record for record in records}
    assert by_name["pretrain"].attempts[0].wall_seconds > 240
    moved = by_name["baseline-05"]
    moved.stolen_share = 0.4
    messages = [finding.message for finding in found(records) if finding.rule == "undisturbed"]
    assert messages == [
        "Other work took more than 5 % of the processor time during 1 of 10 baseline runs (up to 40 %). During 1 of "
        "them another run of this experiment was under way."
    ]
    moved.attempts[0].host = "node-b"
    [message] = [finding.message for finding in found(records) if finding.rule == "undisturbed"]
    assert "another run" not in message


def test_runs_that_were_asked_for_and_are_not_there_are_an_error() -> None:
    records = [record for record in builders.experiment() if record.seed != 3]
    cells = [Cell(seed, 0, 0, ("baseline", "transfer")) for seed in range(10)]
    findings = verify(experiment(records, planned=cells), report_settings({}))
    assert [(finding.rule, finding.message) for finding in findings] == [
        ("complete", f"The {arm} arm lacks 1 run that was asked for: seed 3.") for arm in ("baseline", "transfer")
    ]
    # Where nobody knows what was asked for, the gap shows all the same.
    assert [finding.rule for finding in found(records)] == ["no_gap"]


def test_a_stolen_moment_below_what_the_kernel_counts_is_no_disturbance() -> None:
    records = builders.experiment()
    for record in records:
        if record.arm == "transfer":
            # 20 epochs of 10 ms: each can be wrong by a whole tick of the kernel.
            record.stolen_share = 0.04 + 0.01 * len(record.epochs) / record.phases.train
    assert found(records) == []


def test_records_that_could_not_be_read_are_an_error() -> None:
    findings = verify(experiment(builders.experiment(), unreadable=["a.json: not JSON."]), report_settings({}))
    assert [(finding.rule, finding.severity) for finding in findings] == [("unreadable", "error")]
    assert findings[0].message == "1 record could not be read: a.json: not JSON."


def test_severity_can_be_set_and_a_rule_switched_off() -> None:
    faulty = change(builders.experiment(), "transfer-05", run_id="run-old")
    assert not is_sound(found(faulty))
    assert is_sound(found(faulty, rules={"own_run": "warning"}))
    assert found(faulty, rules={"own_run": "off"}) == []
    disturbed = change(builders.experiment(), "transfer-00", stolen_share=0.3)
    assert not is_sound(found(disturbed, rules={"undisturbed": "error"}))


def test_a_given_run_id_makes_all_others_foreign() -> None:
    records = builders.experiment()
    findings = verify(experiment(records, run_id="this-one"), report_settings({}))
    assert [finding.rule for finding in findings] == ["own_run"]
    assert findings[0].message.startswith("23 records of another pipeline run")
    assert findings[0].runs[-1] == "and 3 more"


def test_no_records_at_all_are_not_sound() -> None:
    findings = found([])
    assert not is_sound(findings)
    assert {finding.rule for finding in findings} == {"enough_runs", "preparation", "final_model"}


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"rules": {"no_such": "off"}}, "no_such"),
        ({"rules": {"own_run": "loud"}}, "rules.own_run"),
        ({"target_accuracy": 1.5}, "target_accuracy"),
        ({"target_accuracy": float("nan")}, "target_accuracy"),
        ({"price_per_hour": -1}, "price_per_hour"),
        ({"price_per_hour": float("inf")}, "price_per_hour"),
        ({"confidence": 1.0}, "confidence"),
        ({"minimum_succeeded": -1}, "minimum_succeeded"),
        ({"targetaccuracy": 0.5}, "targetaccuracy"),
    ],
)
def test_a_wrong_setting_is_refused_by_name(settings: dict[str, object], said: str) -> None:
    with pytest.raises(SettingError, match=said):
        report_settings(settings)
