"""`run_stage`: a run in a process of its own, and what becomes of it when things go wrong, with real processes."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
import tiny_images
from kfp.dsl import Artifact

from headstart.components.errors import HeadstartError, SettingError, TemporaryError
from headstart.components.records import RunRecord, read_record
from headstart.components.training import shells, stages
from headstart.components.training.specification import RunSpecification
from tests.processes import alive, trains


def children(pid: int) -> list[int]:
    found = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        found += [int(child) for child in (task / "children").read_text().split()]
    return found


def training_process(pid: int) -> int | None:
    return next((child for child in children(pid) if trains(child)), None)


def wait_until(condition, seconds: float = 120.0):
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    return found


def epochs_noted(folder: Path) -> int:
    """Epochs that the last attempt says it has done."""
    try:
        return json.loads((folder / "attempts.json").read_text())["attempts"][-1]["epochs"]
    except FileNotFoundError:
        return 0


@pytest.fixture(scope="session")
def final(tmp_path_factory, target_set, initial_model) -> tuple[RunRecord, dict]:
    folder = tmp_path_factory.mktemp("final")
    given = tiny_images.call(
        folder,
        "final",
        target_set,
        initial_model=initial_model,
        checkpoints=str(folder / "checkpoints"),
        model=folder / "model",
        saved_model=folder / "served",
    )
    return stages.run_stage(**given), given


@pytest.mark.slow
def test_a_run_leaves_record_model_and_served_model(final, initial_model, target_set):
    record, given = final
    assert record.status == "succeeded", record.reason
    assert record == read_record(given["record"])
    described = json.loads((given["model"] / "model.json").read_text())
    assert described["classes"] == record.data.classes == ["pattern 0", "pattern 1", "pattern 2"]
    assert described["weights"] == record.final_weights
    assert described["sha256"] == hashlib.sha256((given["model"] / "model.keras").read_bytes()).hexdigest()
    assert record.initial_model == json.loads((initial_model / "model.json").read_text())["weights"]
    assert (given["saved_model"] / "saved_model.pb").is_file()
    assert (given["saved_model"] / "assets" / "classes.txt").read_text().splitlines() == described["classes"]

    assert [layer.layer for layer in record.frozen] == record.stage["frozen"]
    assert record.frozen
    assert all(layer.before == layer.after for layer in record.frozen)
    assert record.prefix_cached
    assert record.prefix_seconds > 0
    # dense_2 and dense_3: 512·513 + 3·513.
    assert record.trainable_parameters == 262_656 + 1_539
    phases = record.phases
    assert min(phases.startup, phases.data, phases.compile, phases.train, phases.evaluate) > 0
    assert phases.train == pytest.approx(record.prefix_seconds + sum(row.train_seconds for row in record.epochs))
    assert record.epochs[0].elapsed == pytest.approx(record.prefix_seconds + record.epochs[0].train_seconds)
    assert record.epochs[-1].elapsed == pytest.approx(phases.train)

    assert sum(map(sum, record.result.confusion)) == record.data.counts["test"]
    right = sum(record.result.confusion[label][label] for label in range(3))
    assert record.result.test_accuracy == pytest.approx(right / record.data.counts["test"])
    assert len(record.samples) == 12
    assert {sample.truth for sample in record.samples} == set(record.data.classes)
    assert record.environment.device_kind == "cpu"
    assert record.environment.threads >= 1
    assert record.peak_memory_bytes > 100 << 20
    assert [attempt.ended for attempt in record.attempts] == ["completed"]


@pytest.mark.slow
def test_a_finished_run_is_not_trained_again(final, tmp_path, monkeypatch):
    record, given = final

    def refuse(*_: object) -> None:
        raise AssertionError("a process was started")

    monkeypatch.setattr(stages, "spawn", refuse)
    outputs = {"record": tmp_path / "again.json", "model": tmp_path / "model", "saved_model": tmp_path / "served"}
    again = stages.run_stage(**given | outputs)
    assert again == record
    for name in ("model", "saved_model"):
        for file in given[name].rglob("*"):
            if file.is_file():
                assert (outputs[name] / file.relative_to(given[name])).read_bytes() == file.read_bytes()
    # Anything that decides the result, and it is another run.
    for changes in ({"settings": {"epochs": 3}}, {"seed": 2}, {"run_id": "another"}, {"image": "other:1"}):
        with pytest.raises(AssertionError, match="a process was started"):
            stages.run_stage(**given | outputs | changes)


@pytest.mark.parametrize(
    ("error", "temporary"),
    [
        (OSError(116, "Stale file handle"), True),
        (MemoryError(), True),
        (TemporaryError("gs://b: Google Cloud Storage failed."), True),
        (HeadstartError("the split validation is empty."), False),
        (SettingError("batch_size: too large."), False),
    ],
)
def test_a_preparation_is_tried_again_where_another_try_may_succeed(
    error: Exception, temporary: bool, target_set: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stages, "spawn", lambda spec: stages.error_record(spec, error))
    given = tiny_images.call(tmp_path, "pretrain", target_set)
    artifacts = {name: Artifact(uri=str(given.pop(name))) for name in ("dataset", "record")}
    with pytest.raises(HeadstartError) as raised:
        shells.stage(**given, **artifacts)
    assert type(raised.value) is (TemporaryError if temporary else HeadstartError)
    assert read_record(Path(artifacts["record"].path)).temporary is temporary


@pytest.mark.slow
def test_a_killed_process_gives_a_failed_record_and_the_next_start_goes_on(target_set, tmp_path):
    settings = {"epochs": 10_000, "patience": 0, "checkpoint_seconds": 0, "kill_retries": 0}
    given = tiny_images.call(
        tmp_path, "baseline", target_set, settings=settings, checkpoints=str(tmp_path / "checkpoints")
    )
    records: list[RunRecord] = []
    thread = threading.Thread(target=lambda: records.append(stages.run_stage(**given)))
    thread.start()
    child = wait_until(lambda: training_process(os.getpid()))
    folder = tmp_path / "checkpoints" / "test-run" / "baseline-1"
    wait_until(lambda: epochs_noted(folder))
    os.kill(child, signal.SIGKILL)
    thread.join(60)
    (record,) = records
    assert record.status == "failed"
    assert "killed by signal 9 (SIGKILL); out of memory?" in record.reason
    assert record == read_record(given["record"])
    assert record.data.counts["train"] == 96
    assert record.recipe["epochs"] == 10_000
    (attempt,) = record.attempts
    assert attempt.ended == "was killed by signal 9 (SIGKILL)"
    assert attempt.epochs > 0
    assert len(record.epochs) >= attempt.epochs  # as far as the checkpoint knows
    assert (folder / "checkpoint.npz").exists()


@pytest.mark.slow
def test_a_killed_process_is_started_again_and_goes_on(target_set, tmp_path):
    settings = {"epochs": 25, "patience": 0, "checkpoint_seconds": 0}
    whole = stages.run_stage(**tiny_images.call(tmp_path / "whole", "baseline", target_set, settings=settings))
    given = tiny_images.call(
        tmp_path, "baseline", target_set, settings=settings, checkpoints=str(tmp_path / "checkpoints")
    )
    records: list[RunRecord] = []
    thread = threading.Thread(target=lambda: records.append(stages.run_stage(**given)))
    thread.start()
    child = wait_until(lambda: training_process(os.getpid()))
    wait_until(lambda: epochs_noted(tmp_path / "checkpoints" / "test-run" / "baseline-1"))
    os.kill(child, signal.SIGKILL)
    thread.join(120)
    (record,) = records
    assert record.status == "succeeded", record.reason
    assert record.final_weights == whole.final_weights
    assert [attempt.ended for attempt in record.attempts] == ["was killed by signal 9 (SIGKILL)", "completed"]


@pytest.mark.slow
def test_a_process_killed_once_its_result_is_kept_is_not_started_again(target_set, tmp_path, monkeypatch):
    given = tiny_images.call(tmp_path, "baseline", target_set, checkpoints=str(tmp_path / "checkpoints"))
    started: list[RunRecord] = []
    train = stages._train

    def killed_at_its_end(spec: RunSpecification) -> tuple[int, str]:
        assert train(spec) == (0, "")
        started.append(read_record(spec.record))
        spec.record.unlink()
        return -signal.SIGKILL, ""

    monkeypatch.setattr(stages, "_train", killed_at_its_end)
    record = stages.run_stage(**given)
    assert [record] == started == [read_record(given["record"])]
    assert record.status == "succeeded"
    assert [attempt.ended for attempt in record.attempts] == ["completed"]


PARENT = """
import json, sys
from pathlib import Path
from headstart.components.training.stages import run_stage
given = json.loads(sys.argv[1])
for name in ("dataset", "record"):
    given[name] = Path(given[name])
run_stage(**given)
"""


@pytest.mark.slow
def test_the_process_does_not_outlive_its_parent_and_sigterm_is_passed_on(target_set, tmp_path):
    settings = {"epochs": 10_000, "patience": 0, "checkpoint_seconds": 0}
    given = tiny_images.call(
        tmp_path, "baseline", target_set, settings=settings, checkpoints=str(tmp_path / "checkpoints")
    )
    command = [sys.executable, "-c", PARENT, json.dumps(given, default=str)]
    folder = tmp_path / "checkpoints" / "test-run" / "baseline-1"

    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as parent:
        child = wait_until(lambda: training_process(parent.pid))
        wait_until(lambda: epochs_noted(folder))
        parent.kill()
    wait_until(lambda: not alive([child]), 20)

    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        seen = 0
        while seen < 2:
            seen += "event=epoch" in parent.stdout.readline()
        parent.terminate()
        parent.stdout.read()
    assert parent.returncode == 143
    assert not Path(given["record"]).exists()
    first, second = json.loads((folder / "attempts.json").read_text())["attempts"]
    assert first["ended"].startswith("killed without notice")
    assert second["ended"] == "terminated (SIGTERM)"
    assert first["epochs"] > 0
    assert second["epochs"] > 0


@pytest.mark.slow
def test_an_epoch_that_does_not_end_within_the_grace_period_is_killed(target_set, tmp_path):
    settings = {"epochs": 10_000, "patience": 0, "checkpoint_seconds": 0, "grace_seconds": 0.5}
    given = tiny_images.call(
        tmp_path, "baseline", target_set, settings=settings, checkpoints=str(tmp_path / "checkpoints")
    )
    command = [sys.executable, "-c", PARENT, json.dumps(given, default=str)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as parent:
        child = wait_until(lambda: training_process(parent.pid))
        wait_until(lambda: epochs_noted(tmp_path / "checkpoints" / "test-run" / "baseline-1"))
        os.kill(child, signal.SIGSTOP)  # so that it cannot end by itself
        parent.terminate()
        assert parent.wait(60) == 143
    wait_until(lambda: not alive([child]), 20)


@pytest.mark.slow
def test_an_accelerator_that_is_not_there_fails_the_run_at_once(target_set, tmp_path):
    record = stages.run_stage(**tiny_images.call(tmp_path, "baseline", target_set, accelerators=1))
    assert record.status == "failed"
    assert "accelerators: 1 requested, TensorFlow sees 0" in record.reason
    assert not record.epochs


def test_what_cannot_start_says_so_without_a_process(target_set, tmp_path, monkeypatch):
    monkeypatch.setattr(stages, "spawn", None)
    record = stages.run_stage(**tiny_images.call(tmp_path, "transfer", target_set, initial_model=tmp_path / "absent"))
    assert record.status == "failed"
    assert "no initial model" in record.reason
    assert record == read_record(tmp_path / "transfer.json")
    with pytest.raises(SettingError, match="seed: -1 is negative"):
        stages.run_stage(**tiny_images.call(tmp_path, "baseline", target_set, seed=-1))
    with pytest.raises(SettingError, match="epoch: no such setting"):
        stages.run_stage(**tiny_images.call(tmp_path, "baseline", target_set, settings={"epoch": 2}))


def changed(model: Path, target: Path, **changes) -> Path:
    """A copy of a model folder with a function applied to the kernels of the named layers."""
    pytest.importorskip("keras")
    from headstart.components.training.export import load_model, save_model

    loaded, description = load_model(model)
    for name, change in changes.items():
        layer = loaded.get_layer(name)
        kernel, bias = layer.get_weights()
        layer.set_weights([change(kernel), bias])
    save_model(loaded, target, description)
    return target


@pytest.mark.slow
def test_training_that_diverges_says_when(zygote, target_set, initial_model, tmp_path):
    # Their product is beyond what float32 holds, and infinity less infinity is not a number.
    huge = changed(initial_model, tmp_path / "huge", conv2d_4=lambda kernel: kernel * 1e25, dense_1=lambda k: k * 1e25)
    given = tiny_images.call(tmp_path, "finetune", target_set, initial_model=huge, model=tmp_path / "model")
    assert zygote.run(RunSpecification(**given), tmp_path) == 0
    record = read_record(given["record"])
    assert (record.status, record.stop_reason) == ("diverged", "diverged")
    assert "epoch 1" in record.reason
    assert not (tmp_path / "model").exists()
    assert "NaN" not in Path(given["record"]).read_text()


@pytest.mark.slow
def test_frozen_layers_whose_outputs_are_not_finite_end_a_run_as_diverged(zygote, target_set, initial_model, tmp_path):
    # Of one sign, since a sum of both would not be a number, which a ReLU may turn into 0.
    huge = changed(initial_model, tmp_path / "huge", conv2d_4=lambda k: abs(k) * 1e25, dense_1=lambda k: abs(k) * 1e25)
    given = tiny_images.call(tmp_path, "transfer", target_set, initial_model=huge, checkpoints=str(tmp_path / "kept"))
    assert zygote.run(RunSpecification(**given), tmp_path) == 0
    record = read_record(given["record"])
    assert (record.status, record.stop_reason, record.temporary) == ("diverged", "diverged", False)
    assert record.reason == "the outputs of the frozen layers are not finite"
    assert [attempt.ended for attempt in record.attempts] == ["diverged"]
    assert record.phases.repeated == 0


@pytest.mark.slow
def test_an_initial_model_that_is_not_finite_is_refused(zygote, target_set, initial_model, tmp_path):
    # A ReLU fused with a convolution hides it: the loss would look healthy all the way.
    spoiled = changed(initial_model, tmp_path / "spoiled", conv2d_1=lambda kernel: kernel * float("nan"))
    given = tiny_images.call(tmp_path, "transfer", target_set, initial_model=spoiled)
    assert zygote.run(RunSpecification(**given), tmp_path) == 0
    record = read_record(given["record"])
    assert record.status == "failed"
    assert "conv2d_1 are not finite" in record.reason


@pytest.mark.slow
def test_a_damaged_data_set_fails_with_its_file_named(zygote, tmp_path):
    dataset = tiny_images.packed(tmp_path / "data", 3, 48)
    images = dataset / "train" / "images.npy"
    images.write_bytes(images.read_bytes()[:1000])
    given = tiny_images.call(tmp_path, "baseline", dataset)
    assert zygote.run(RunSpecification(**given), tmp_path) == 0
    record = read_record(given["record"])
    assert record.status == "failed"
    assert "images.npy" in record.reason


@pytest.mark.slow
def test_a_checkpoint_that_cannot_be_written_does_not_end_the_run(zygote, target_set, tmp_path):
    checkpoints = tmp_path / "checkpoints"
    # What it would replace is a folder: the attempt can be written down, the checkpoint cannot.
    (checkpoints / "checkpoint.npz" / "in the way").mkdir(parents=True)
    settings = {"epochs": 3, "checkpoint_seconds": 0}
    given = tiny_images.call(tmp_path, "baseline", target_set, settings=settings, checkpoints=str(checkpoints))
    assert zygote.run(RunSpecification(**given), tmp_path) == 0
    record = read_record(given["record"])
    assert (record.status, len(record.epochs)) == ("succeeded", 3)
    assert [attempt.ended for attempt in record.attempts] == ["completed"]


def test_the_image_of_a_pipeline_is_not_recorded_where_no_container_ran(target_set, tmp_path, monkeypatch):
    given = tiny_images.call(tmp_path, "transfer", target_set, initial_model=tmp_path / "absent", image="here:1")
    assert stages.run_stage(**given).environment.image == "here:1"
    monkeypatch.setenv("HEADSTART_NO_CONTAINER", "1")
    assert stages.run_stage(**given).environment.image == ""
