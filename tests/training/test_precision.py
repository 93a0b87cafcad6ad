"""Float32 or bfloat16 by timing both: the rule, what disturbs it, the timing itself, and one choice for a whole run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_images

from headstart.components.records import Precision, RunRecord, read_record
from headstart.components.training import precision
from headstart.components.training.precision import LEAST_ROUNDS, MOST_ROUNDS, SECONDS, choose, decide, step_times
from headstart.components.training.specification import RunSpecification

NETWORK = """
import keras

def small(image_size, classes, dropout=0.0, batch_norm_momentum=0.99):
    return keras.Sequential([
        keras.Input((image_size, image_size, 3)),
        keras.layers.Rescaling(1 / 255),
        keras.layers.Conv2D(4, 3, strides=2, activation="relu", name="conv"),
        keras.layers.GlobalAveragePooling2D(),
        keras.layers.Dense(classes, activation="softmax", name="out"),
    ])
"""


@pytest.mark.parametrize(
    ("float32", "bfloat16", "expected"),
    [
        ([0.010] * 5, [0.006] * 5, "bfloat16"),
        ([0.010] * 5, [0.0094] * 5, "bfloat16"),
        ([0.010] * 5, [0.0096] * 5, "float32"),  # nearly a tie
        ([0.010] * 5, [0.010] * 5, "float32"),
        ([0.010] * 5, [0.0125] * 5, "float32"),  # the instructions are there, a fast unit is not
        # A round of five in which something else held a step up; two, and bfloat16 is not known to be faster.
        ([0.010] * 5, [0.006, 0.006, 0.006, 0.006, 0.9], "bfloat16"),
        ([0.010] * 5, [0.006, 0.006, 0.006, 0.9, 0.9], "float32"),
        ([0.010, 0.010, 0.010, 0.9, 0.9], [0.0125] * 5, "float32"),
        # Other work for half of the time: a round is slow as a whole, and the medians alone would mislead.
        ([0.1, 0.01, 0.1, 0.01, 0.1], [0.012, 0.0125, 0.12, 0.0125, 0.12], "float32"),
        ([1e-9, 0.0, 0.0], [0.0, 0.0, 0.0], "bfloat16"),  # a clock that does not tell them apart divides nothing by 0
    ],
)
def test_bfloat16_must_be_faster_by_a_twentieth_and_in_most_rounds(
    float32: list[float], bfloat16: list[float], expected: str
) -> None:
    found = decide({"float32": float32, "bfloat16": bfloat16}, stage="baseline", batch_size=32)
    assert found.chosen == expected
    assert found.rounds == len(float32)
    assert found.float32_seconds == pytest.approx(np.median(float32))
    assert found.bfloat16_seconds == pytest.approx(np.median(bfloat16))


@pytest.mark.parametrize(("ratio", "expected"), [(0.7, "bfloat16"), (1.0, "float32"), (1.25, "float32")])
def test_a_disturbed_machine_misleads_it_hardly_ever(ratio: float, expected: str) -> None:
    """Simulated: other work doubles to quadruples stretches of steps, half of the time, beside a tenth of noise."""
    random = np.random.default_rng(3)
    wrong = 0
    for _ in range(1000):
        steps = np.stack([np.full(15, 1.0), np.full(15, ratio)]) * random.lognormal(0, 0.1, (2, 15))
        busy = np.repeat(random.random(10) < 0.5, 3).reshape(15, 2).T  # three steps in a row, across the rounds
        steps[busy] *= random.uniform(2, 4, busy.sum())
        wrong += decide({"float32": list(steps[0]), "bfloat16": list(steps[1])}).chosen != expected
    # At a tie either is as fast; taking one that is slower for the faster one costs time.
    assert wrong < (150 if ratio == 1.0 else 50)


class Machine:
    """A clock, and steps that take their time by it."""

    def __init__(self, **seconds: float) -> None:
        self.now, self.order = 0.0, [""]
        self.steps = {name: lambda name=name, each=each: self._step(name, each) for name, each in seconds.items()}

    def _step(self, name: str, seconds: float) -> None:
        self.now += seconds
        self.order.append(name)

    def clock(self) -> float:
        return self.now


def test_a_bfloat16_that_takes_longer_turns_the_choice_round() -> None:
    fast, slow = (Machine(float32=0.02, bfloat16=each) for each in (0.01, 0.03))
    assert decide(step_times(fast.steps, clock=fast.clock)).chosen == "bfloat16"
    assert decide(step_times(slow.steps, clock=slow.clock)).chosen == "float32"


def test_rounds_alternate_and_end_in_time_but_not_before_a_few() -> None:
    quick, usual, slow = (Machine(float32=each, bfloat16=each) for each in (0.001, 0.05, 30.0))
    rounds = {machine: len(step_times(machine.steps, clock=machine.clock)["bfloat16"]) for machine in (quick, slow)}
    assert rounds == {quick: MOST_ROUNDS, slow: LEAST_ROUNDS}
    assert len(step_times(usual.steps, clock=usual.clock)["float32"]) == pytest.approx(SECONDS / 0.1, abs=1)
    first, *rest = quick.order[3:11:2], quick.order[4:11:2]  # after one of each that is not timed
    assert {*zip(first, *rest, strict=True)} == {("float32", "bfloat16"), ("bfloat16", "float32")}
    assert not step_times(quick.steps, lambda: True, quick.clock)["float32"]


@pytest.fixture
def given(tmp_path: Path) -> dict[str, Any]:
    """Arguments of `choose` for a network that is built in no time."""
    (tmp_path / "small.py").write_text(NETWORK)
    return {
        "dataset": tiny_images.packed(tmp_path / "data", 3, 40),
        "run_id": "run",
        "preset": "fast",
        "settings": {"network": f"{tmp_path}/small.py:small", "target.batch_size": 16},
        "checkpoints": str(tmp_path / "checkpoints"),
        "accelerators": 0,
        "image": "",
    }


@pytest.fixture
def in_a_fork(zygote: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[RunSpecification]:
    """Have steps timed by a process of the zygote, and return the list of what it was asked to do."""
    asked: list[RunSpecification] = []

    def spawn(spec: RunSpecification) -> RunRecord:
        asked.append(spec)
        spec.parent = 0
        assert zygote.run(spec, tmp_path) == 0
        return read_record(spec.record)

    monkeypatch.setattr(precision, "spawn", spawn)
    return asked


def test_both_are_timed_once_and_every_run_is_told(given: dict[str, Any], in_a_fork: list[Any], tmp_path: Path) -> None:
    found = choose(precision.EXPERIMENT, **given)
    assert found is not None
    assert found.float32_seconds and found.bfloat16_seconds and found.ratio
    faster = found.ratio <= 0.95 and found.faster_rounds * 3 >= found.rounds * 2
    assert found.chosen == ("bfloat16" if faster else "float32")
    assert (found.stage, found.batch_size, found.image_size) == ("baseline", 16, tiny_images.SIZE)
    assert LEAST_ROUNDS <= found.rounds <= MOST_ROUNDS

    # A run that goes on, or is made longer, keeps the choice, whatever would be measured now.
    kept = tmp_path / "checkpoints" / "run" / precision.FILE
    content = json.loads(kept.read_text())
    other = {"float32": "bfloat16", "bfloat16": "float32"}[found.chosen]
    kept.write_text(json.dumps({**content, "choice": {**content["choice"], "chosen": other}}))
    assert choose(precision.EXPERIMENT, **given) == found.model_copy(update={"chosen": other})
    assert len(in_a_fork) == 1

    # All stages compute in it, and their records say why; what is set stays.
    for arm in ("pretrain", "finetune", "final", "baseline", "transfer"):
        call = tiny_images.call(tmp_path, arm, given["dataset"], preset="fast", settings=given["settings"])
        spec = RunSpecification(**call, precision=found)
        record = spec.blank_record(precision.Environment())
        assert spec.resolved().recipe.precision == record.recipe["precision"] == found.chosen
        assert record.precision == found
        spec.settings = {**spec.settings, "precision": other}
        assert spec.resolved().recipe.precision == other
        assert spec.blank_record(precision.Environment()).precision is None


def test_another_run_or_other_settings_are_timed_again(given: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def spawn(spec: RunSpecification) -> RunRecord:
        asked.append(spec.arm)
        return RunRecord(arm=spec.arm, seed=0, run_id="", status="failed", reason="out of memory?")

    monkeypatch.setattr(precision, "spawn", spawn)
    found = choose(precision.EXPERIMENT, **given)
    assert found == Precision(chosen="float32", reason="out of memory?")
    assert "could not be timed: out of memory?" in str(found)
    assert choose(precision.EXPERIMENT, **given) == found
    assert asked == ["baseline"]
    choose(precision.EXPERIMENT, **given | {"run_id": "another"})
    choose(precision.EXPERIMENT, **given | {"settings": {**given["settings"], "target.batch_size": 8}})
    Path(given["checkpoints"], "run", precision.FILE).write_text("[not whole")
    choose(precision.EXPERIMENT, **given)
    assert asked == ["baseline"] * 4
    choose(precision.EXPERIMENT, **given | {"settings": {"target.precision": "float32"}})
    assert asked[4:] == ["finetune"]
    for name in precision.PRECISIONS:
        assert choose(precision.EXPERIMENT, **given | {"settings": {"precision": name}}) is None
    assert choose(precision.EXPERIMENT, **given | {"preset": "paper"}) is None
    assert len(asked) == 5


@pytest.mark.parametrize("chosen", [None, Precision(chosen="bfloat16", float32_seconds=0.02, rounds=3)])
def test_what_is_written_is_read(chosen: Precision | None, tmp_path: Path) -> None:
    precision.write(tmp_path / "choice", chosen)
    assert precision.read(tmp_path / "choice") == chosen
