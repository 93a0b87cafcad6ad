"""A run that is killed at any moment goes on and ends with the very weights of an undisturbed one."""

from __future__ import annotations

import itertools
import signal
from pathlib import Path
from random import Random

import numpy as np
import pytest
import tiny_images

from headstart.components.records import RunRecord, read_record
from headstart.components.stop_rule import StopRule
from headstart.components.training import environment
from headstart.components.training.attempts import VANISHED
from headstart.components.training.checkpoint import unpack
from headstart.components.training.clock import Clock
from headstart.components.training.fit import Progress, Terminated, fit
from headstart.components.training.run import Run
from headstart.components.training.specification import RunSpecification
from headstart.components.training.stages import reuse

EPOCHS = 24
SETTINGS = {
    "epochs": EPOCHS,
    "patience": 12,
    "batch_size": 32,
    "optimizer": "adamw",
    "weight_decay": 0.01,
    "schedule": "one_cycle",
    "dropout": 0.3,
    "label_smoothing": 0.1,
    "checkpoint_seconds": 0,
}


def specification(folder: Path, arm: str, dataset: Path, **changes: object) -> RunSpecification:
    folder.mkdir(parents=True, exist_ok=True)
    given = tiny_images.call(folder, arm, dataset, settings=SETTINGS)
    settings = given.pop("settings") | changes.pop("settings", {})  # type: ignore[operator]
    return RunSpecification(**given | {"settings": settings, "checkpoints": str(folder / "checkpoints")} | changes)


def learnt(record: RunRecord) -> list[tuple[object, ...]]:
    """What an epoch learnt, without how long it took."""
    return [(row.epoch, row.loss, row.accuracy, row.validation_loss, row.validation_accuracy) for row in record.epochs]


def assert_same_result(record: RunRecord, undisturbed: RunRecord) -> None:
    assert record.status == undisturbed.status == "succeeded"
    assert record.final_weights == undisturbed.final_weights
    assert learnt(record) == learnt(undisturbed)
    assert record.result == undisturbed.result
    assert record.stop_reason == undisturbed.stop_reason


@pytest.mark.slow
@pytest.mark.parametrize("arm", ["baseline", "transfer"])
def test_killed_at_random_moments_ten_times(arm, zygote, target_set, initial_model, tmp_path):
    # One trains the whole network on images that are moved about, the other on the frozen layers' outputs, computed
    # once; together they are killed twenty times.
    settings = {"flip": True, "shift": 2} if arm == "baseline" else {}
    start = {"settings": settings, "initial_model": initial_model if arm == "transfer" else None}
    whole = specification(tmp_path / "undisturbed", arm, target_set, **start)
    assert zygote.run(whole, tmp_path) == 0
    undisturbed = read_record(whole.record)
    assert undisturbed.prefix_cached is (arm == "transfer")
    assert [attempt.ended for attempt in undisturbed.attempts] == ["completed"]
    assert undisturbed.phases.repeated == 0

    random, kills, run, resumed = Random(17), 0, 0, 0
    while kills < 10:
        run += 1
        spec = specification(tmp_path / f"run-{run}", arm, target_set, **start)
        ended: list[int] = []
        while not ended or ended[-1] != 0:
            # While it starts, trains, writes a checkpoint, evaluates or writes its results: an epoch and what belongs
            # to it take some tens of milliseconds.
            epochs = random.choice((0, 1, 2, 5, EPOCHS)) if kills < 10 else None
            delay = random.uniform(0, 1.5 if epochs == 0 else 0.1)
            ended.append(zygote.run(spec, tmp_path, epochs=epochs, delay=delay))
            assert ended[-1] in (0, -signal.SIGKILL)
            kills += ended[-1] != 0
            # As its parent does: a kill may come between the keeping of the result and the end of the process.
            if ended[-1] and (kept := reuse(spec)):
                kept.write(spec.record)
                break
        record = read_record(spec.record)
        assert_same_result(record, undisturbed)
        # An attempt that was killed before it said that it had begun leaves no trace.
        assert 1 <= len(record.attempts) <= len(ended)
        assert record.attempts[-1].ended == "completed"
        assert all("killed" in attempt.ended for attempt in record.attempts[:-1])
        assert [attempt.number for attempt in record.attempts] == list(range(1, len(record.attempts) + 1))
        assert sum(attempt.epochs for attempt in record.attempts) == len(record.epochs)
        if any(attempt.epochs for attempt in record.attempts[:-1]):
            assert record.phases.repeated > 0
            resumed += 1
        assert record.phases.train == pytest.approx(
            record.prefix_seconds + sum(row.train_seconds for row in record.epochs), rel=1e-6
        )
    assert resumed, "no kill came after a checkpoint: the moments above are badly chosen"


@pytest.mark.slow
def test_repeated_runs_are_bit_equal_and_another_seed_is_not(zygote, target_set, tmp_path):
    records = []
    for number, seed in enumerate((1, 1, 2)):
        spec = specification(
            tmp_path / str(number), "baseline", target_set, seed=seed, settings={"epochs": 3}, checkpoints=""
        )
        assert zygote.run(spec, tmp_path) == 0
        records.append(read_record(spec.record))
    assert_same_result(records[1], records[0])
    assert records[2].final_weights != records[0].final_weights


@pytest.mark.slow
def test_sigterm_leaves_a_checkpoint_and_the_next_attempt_goes_on(zygote, target_set, tmp_path):
    # Checkpoints are an hour apart, so the only one there can be is the one that SIGTERM asked for.
    long = {"settings": {"epochs": 10_000, "patience": 0, "checkpoint_seconds": 3600}}
    spec = specification(tmp_path / "run", "baseline", target_set, **long)
    checkpoint = Path(spec.checkpoints, "checkpoint.npz")
    done = []
    for _ in range(2):
        assert zygote.run(spec, tmp_path, epochs=2, send=signal.SIGTERM) == 143
        assert not spec.record.exists()
        done.append(unpack(checkpoint.read_bytes())[1]["progress"]["rows"])
    assert len(done[0]) >= 2
    assert done[1][: len(done[0])] == done[0]
    assert len(done[1]) >= len(done[0]) + 2


class Still:
    """A loop that learns nothing."""

    steps = 1

    def run_epoch(self, *_):
        return 0.5, 0.5

    def evaluate(self, *_):
        return 0.5, 0.5, np.zeros((1, 2))

    def weights(self):
        return {"model/0/weight": np.zeros(2)}

    state = weights

    def restore(self, state): ...


def test_a_signal_between_the_checkpoint_and_the_end_of_an_epoch_waits_for_the_next_checkpoint():
    asked = itertools.chain([False], itertools.repeat(True))
    saved = []
    with pytest.raises(Terminated, match="after epoch 2"):
        fit(
            Still(), Progress(StopRule(9, 0, 0.0, 0.0)), Clock(1), (np.zeros((1, 2)), np.zeros(1)), identity={},
            restore_best_weights=False, save=saved.append, termination=lambda: next(asked),
        )  # fmt: skip
    assert saved == [False, True]


@pytest.mark.slow
def test_a_run_killed_before_its_result_is_kept_has_not_completed(target_set, tmp_path, monkeypatch):
    spec = specification(tmp_path / "run", "baseline", target_set, settings={"epochs": 2, "patience": 0})
    facts = environment.describe(threads=1, image="")

    def killed(*_: object) -> None:
        raise SystemExit

    with monkeypatch.context() as patched:
        patched.setattr("headstart.components.training.checkpoint.keep_finished", killed)
        with pytest.raises(SystemExit):
            Run(spec, Clock(1), facts, lambda: False).execute()
    record = Run(spec, Clock(1), facts, lambda: False).execute()
    assert [attempt.ended for attempt in record.attempts] == [VANISHED, "completed"]
    assert [attempt.epochs for attempt in record.attempts] == [2, 0]


def test_other_settings_do_not_go_on_from_a_checkpoint(zygote, target_set, tmp_path):
    spec = specification(tmp_path / "run", "baseline", target_set, settings={"epochs": 400, "patience": 0})
    assert zygote.run(spec, tmp_path, epochs=2) == -signal.SIGKILL
    assert Path(spec.checkpoints, "checkpoint.npz").exists()
    changed = specification(tmp_path / "run", "baseline", target_set, settings={"epochs": 2, "learning_rate": 2e-3})
    fresh = specification(tmp_path / "fresh", "baseline", target_set, settings={"epochs": 2, "learning_rate": 2e-3})
    assert zygote.run(changed, tmp_path) == zygote.run(fresh, tmp_path) == 0
    assert_same_result(read_record(changed.record), read_record(fresh.record))
    assert len(read_record(changed.record).attempts) == 1


@pytest.mark.slow
def test_a_damaged_checkpoint_costs_its_epochs_and_no_more(zygote, target_set, tmp_path):
    spec = specification(tmp_path / "run", "baseline", target_set, settings={"epochs": 6})
    whole = specification(tmp_path / "whole", "baseline", target_set, settings={"epochs": 6})
    assert zygote.run(whole, tmp_path) == 0
    assert zygote.run(spec, tmp_path, epochs=2) == -signal.SIGKILL
    checkpoint = Path(spec.checkpoints, "checkpoint.npz")
    content = checkpoint.read_bytes()
    checkpoint.write_bytes(content[: len(content) // 2])
    assert zygote.run(spec, tmp_path) == 0
    assert_same_result(read_record(spec.record), read_record(whole.record))
