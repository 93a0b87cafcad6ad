"""Every setting of training does something: a run with another value differs in what that setting is about."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
import tiny_images

from headstart.components.stages import STAGES
from headstart.components.training.checkpoint import CHECKPOINT
from headstart.components.training.clock import Clock
from headstart.components.training.environment import describe
from headstart.components.training.freezing import freeze
from headstart.components.training.networks import registry
from headstart.components.training.recipes import Recipe
from headstart.components.training.run import Run
from headstart.components.training.settings import ProcessSettings, resolve
from headstart.components.training.specification import RunSpecification
from headstart.components.training.stage_settings import StageSettings

NETWORK = """
import keras

def small(image_size, classes, dropout=0.0, batch_norm_momentum=0.99):
    layer = keras.layers
    return keras.Sequential([
        keras.Input((image_size, image_size, 3)),
        layer.Rescaling(1 / 255),
        layer.Conv2D(4, 3, strides=2, activation="relu", name="conv"),
        layer.BatchNormalization(momentum=batch_norm_momentum, name="norm"),
        layer.GlobalAveragePooling2D(),
        layer.Dense(8, activation="relu", name="dense"),
        layer.Dropout(dropout),
        layer.Dense(classes, activation="softmax", name="out"),
    ])
"""


class Case(NamedTuple):
    """A setting's other value, what must be set beside it, and which fact of a run it changes."""

    value: Any
    fact: str = "weights"
    beside: Mapping[str, Any] = MappingProxyType({})
    arm: str = "pretrain"


BASE = {"epochs": 2, "precision": "float32", "batch_size": 16}
SLOW = {"epochs": 6, "learning_rate": 1e-9, "optimizer": "adam", "weight_decay": 0, "schedule": "constant"}
ADAMW = {"optimizer": "adamw", "initialisation": "drawn", "first_block_share": 1.0, "label_smoothing": 0.0}
CASES: dict[str, Case] = {
    "optimizer": Case("adam", beside={"weight_decay": 0.2}),
    "initialisation": Case("drawn"),
    "first_block_share": Case(1.0),
    "least_steps": Case(9, fact="epochs"),  # four per epoch
    "learning_rate": Case(0.02),
    "schedule": Case("cosine"),
    "warmup": Case(0.7, beside={"schedule": "one_cycle"}),
    "weight_decay": Case(0.3, beside={"optimizer": "adamw"}),
    "label_smoothing": Case(0.2),
    "dropout": Case(0.6),
    "batch_norm_momentum": Case(0.5, beside={"batch_norm_statistics": "moving"}),
    "batch_norm_statistics": Case("moving"),
    "batch_size": Case(8),
    "flip": Case(True),
    "shift": Case(3),
    "crop": Case(24, beside={"whole_epochs": 1}),
    "whole_epochs": Case(0, beside={"crop": 24}),
    "epochs": Case(3, "epochs"),
    "patience": Case(1, "stop_reason", SLOW),
    "min_delta": Case(0.9, "epochs", {**ADAMW, "epochs": 6, "patience": 2, "learning_rate": 0.02}),
    "restore_best_weights": Case(True, "weights", {"epochs": 6, "learning_rate": 0.3}),
    "stop_at_accuracy": Case(0.01, "stop_reason", {"epochs": 4}),
    "precision": Case("bfloat16", beside={"precision": "float32"}),
    "jit_compile": Case("on", "xla"),
    "cache_features": Case(False, "cached", {"backbone_layers": "all_but_head"}, "frozen-random"),
    "evaluation_batch_size": Case(5, "evaluated"),
    "early_layers": Case("nothing", "trainable", {}, "finetune"),
    "backbone_layers": Case("conv", "trainable", {}, "frozen-random"),
    "threads": Case(1, "threads", {"threads": 2}),
    "checkpoint_seconds": Case(1000, "checkpoints", {"checkpoint_seconds": 0, "epochs": 6}),
    "input_memory_share": Case(0, "streams"),
    "samples": Case(2, "samples", {}, "final"),
    "tensorboard": Case("@/logs", "logs"),
}
# Of the paper's network alone: another value, and the arm whose trained layers or shapes it changes.
PAPER: dict[str, tuple[Any, str]] = {
    "first_stride": (2, "baseline"),
    "finetune_frozen": (["conv2d_1"], "finetune"),
    "final_trainable": ("head", "transfer"),
    "freeze_batch_normalisation": (False, "transfer"),
}
# What takes processes to show: the test that shows it.
ELSEWHERE = {
    "network": "tests/training/test_networks.py",
    "grace_seconds": "tests/training/test_stages.py",
    "kill_retries": "tests/training/test_stages.py",
}


def test_every_setting_has_a_case() -> None:
    names = {name for group in (Recipe, StageSettings, ProcessSettings) for name in group.model_fields}
    assert names == {*CASES, *PAPER, *ELSEWHERE}
    root = Path(__file__).parents[2]
    for name, file in ELSEWHERE.items():
        assert name in (root / file).read_text(), f"{file} does not show what {name} does"


@pytest.fixture(scope="module")
def facts(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Return a function that runs an arm with settings and returns what is to be seen of it; runs are shared."""
    folder = tmp_path_factory.mktemp("effects")
    (folder / "small.py").write_text(NETWORK)
    data = tiny_images.packed(folder / "data", 3, 64, held_out=18)

    @cache
    def prepared() -> Path:
        given = tiny_images.call(folder, "pretrain", data, settings=BASE | {"network": f"{folder}/small.py:small"})
        spec = RunSpecification(**given | {"model": folder / "model"})
        Run(spec, Clock(1), describe(threads=1, image=""), lambda: False).execute()
        return folder / "model"

    @cache
    def run(arm: str, settings: str) -> dict[str, Any]:
        own = folder / str(len(list(folder.iterdir())))
        own.mkdir()
        chosen = json.loads(settings.replace("@", str(own)))
        spec = RunSpecification(
            **tiny_images.call(own, arm, data, settings=chosen, checkpoints=str(own / "checkpoints"))
            | {"initial_model": prepared() if STAGES[arm].starts_from and arm != "frozen-random" else None}
        )
        environment = describe(threads=spec.threads(), image="")
        this = Run(spec, Clock(1), environment, lambda: False)
        written, batches = [], set()
        write = this.folder.write
        this.folder.write = lambda name, *content: (written.append(name), write(name, *content))
        record = this.execute()
        assert record.status == "succeeded", record.reason
        predict = this.loop._predict
        this.loop._predict = lambda batch: (batches.add(len(batch)), predict(batch))[1]
        this.loop.evaluate(*this.validation)
        return {
            "weights": record.final_weights,
            "epochs": len(record.epochs),
            "stop_reason": record.stop_reason,
            "trainable": record.trainable_parameters,
            "cached": record.prefix_cached,
            "threads": record.environment.threads,
            "samples": len(record.samples),
            "logs": (own / "logs").is_dir(),
            "checkpoints": written.count(CHECKPOINT),
            "streams": this.loop.streams,
            "evaluated": batches,
            "xla": {function._jit_compile for function in this.loop._epochs.values()},
        }

    def observe(arm: str, settings: Mapping[str, Any]) -> dict[str, Any]:
        whole = BASE | {"network": f"{folder}/small.py:small"} | {**settings}
        return run(arm, json.dumps(whole, sort_keys=True))  # type: ignore[no-any-return]

    return observe


@pytest.mark.parametrize("name", CASES)
def test_a_setting_changes_what_it_is_about(name: str, facts: Any) -> None:
    case = CASES[name]
    before, after = facts(case.arm, case.beside), facts(case.arm, {**case.beside, name: case.value})
    assert before[case.fact] != after[case.fact]


def test_what_is_not_set_changes_nothing(facts: Any) -> None:
    """Without this the test above would pass for runs that differ by chance."""
    assert facts("pretrain", {}) == facts("pretrain", {"batch_norm_statistics": "recomputed"})


@pytest.mark.parametrize("name", PAPER)
def test_a_setting_of_the_papers_network_changes_it(name: str) -> None:
    value, arm = PAPER[name]

    def built(settings: dict[str, Any]) -> list[tuple[str, bool, tuple[int, ...]]]:
        recipe, stage, _ = resolve("paper", arm, settings)
        model = registry.build(stage, recipe, 64, 3, asked=set(settings))
        freeze(model, registry.frozen_layers(model, stage, arm))
        return [(layer.name, layer.trainable, tuple(layer.output.shape)) for layer in model.layers]

    assert built({}) != built({name: value})
