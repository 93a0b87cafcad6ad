"""What the KFP UI gets: texts and finite numbers only, whatever became of the run. And the learning curves."""

from __future__ import annotations

import json
import math

import pytest
from kfp.dsl import Artifact, ClassificationMetrics, Metrics

from headstart.components.errors import HeadstartError
from headstart.components.records import Data, Epoch, Phases, Result, RunRecord
from headstart.components.training import shells
from headstart.components.training.shells import log_metrics

DATA = Data(digest="d", source="test:", image_size=32, classes=["a", "b"], counts={"train": 4})


def record(**changes: object) -> RunRecord:
    given: dict = {"arm": "final", "seed": 1, "run_id": "r", "status": "succeeded", "data": DATA}
    return RunRecord(**given | changes)


def logged(of: RunRecord) -> tuple[dict, dict]:
    metrics, classification = Metrics(uri="/m"), ClassificationMetrics(uri="/c")
    log_metrics(of, metrics, classification)
    # As the executor writes them: NaN would be written and would break whoever reads it.
    json.dumps([metrics.metadata, classification.metadata], allow_nan=False)
    return metrics.metadata, classification.metadata


def test_metrics_of_a_run_that_succeeded():
    metrics, classification = logged(
        record(
            phases=Phases(train=12.5),
            epochs=[Epoch(epoch=1, train_seconds=12.5, elapsed=12.5)],
            result=Result(test_accuracy=0.75, best_validation_accuracy=0.8, confusion=[[3, 1], [0, 4]]),
        )
    )
    assert metrics == {
        "test_accuracy": 0.75,
        "best_validation_accuracy": 0.8,
        "train_seconds": 12.5,
        "epochs": 1.0,
        "status": "succeeded",
    }
    matrix = classification["confusionMatrix"]
    assert [row["displayName"] for row in matrix["annotationSpecs"]] == ["a", "b"]
    assert [row["row"] for row in matrix["rows"]] == [[3, 1], [0, 4]]


@pytest.mark.parametrize("status", ["failed", "diverged"])
def test_metrics_of_a_run_that_did_not(status):
    metrics, classification = logged(record(status=status, reason="why", data=None))
    assert metrics["status"] == status
    assert "test_accuracy" not in metrics
    assert all(isinstance(value, str) or math.isfinite(value) for value in metrics.values())
    assert "confusionMatrix" not in classification


@pytest.mark.parametrize("arm", ["pretrain", "finetune", "final", "baseline", "transfer"])
def test_only_a_preparation_that_fails_ends_its_task(arm, monkeypatch):
    failed = record(arm=arm, status="failed", reason="out of memory?", data=None)
    monkeypatch.setattr(shells, "run_stage", lambda **_: failed)
    artifact = Artifact(uri="/a")
    how = {"run_id": "r", "preset": "demo", "settings": {}, "checkpoints": "", "accelerators": 0, "image": ""}
    if arm in ("pretrain", "finetune"):
        with pytest.raises(HeadstartError, match=f"{arm} failed: out of memory"):
            shells.stage(arm, artifact, None, 1, record=artifact, **how)
    else:
        assert shells.stage(arm, artifact, None, 1, record=artifact, **how) == failed


def test_scalars_of_a_task_are_the_means_of_each_arm():
    def run(arm: str, accuracy: float | None, seconds: float, status: str = "succeeded") -> RunRecord:
        return record(arm=arm, status=status, phases=Phases(train=seconds), result=Result(test_accuracy=accuracy))

    metrics = Metrics(uri="/m")
    shells.log_scalars(
        [
            run("baseline", 0.5, 10.0), run("transfer", 0.75, 4.0), run("baseline", 0.75, 20.0),
            run("transfer", 0.1, 900.0, "diverged"), run("finetuned", None, 1.0, "failed"),
        ],
        metrics,
    )  # fmt: skip
    json.dumps(metrics.metadata, allow_nan=False)
    assert {name: value for name, value in metrics.metadata.items() if not name.endswith("epochs")} == {
        "baseline_runs": 2.0, "baseline_test_accuracy": 0.625, "baseline_train_seconds": 15.0,
        "transfer_runs": 1.0, "transfer_test_accuracy": 0.75, "transfer_train_seconds": 4.0,
        "finetuned_runs": 0.0,
    }  # fmt: skip


def test_checkpoints_go_below_the_pipeline_root_unless_placed_or_elsewhere(storage_server, monkeypatch):
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage as client

    monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage_server.url)
    cloud = client.Client(credentials=AnonymousCredentials(), project="test")
    cloud.create_bucket("roots")
    below = "root/headstart-experiment/RUN/train-runs/5/records"
    written = Artifact(uri=f"gs://roots/{below}")
    assert shells.checkpoint_place("", written, "RUN") == "gs://roots/root/headstart-experiment/checkpoints"
    assert shells.checkpoint_place("gs://mine/c", written, "RUN") == "gs://mine/c"
    for elsewhere in (f"minio://roots/{below}", f"/local/{below}", "gs://roots/of/another/run"):
        assert shells.checkpoint_place("", Artifact(uri=elsewhere), "RUN") == ""
    # Where the task may not write there, or the bucket is away, it trains without.
    assert shells.checkpoint_place("", Artifact(uri=f"gs://no-such-bucket/{below}"), "RUN") == ""


def test_the_metadata_of_many_failed_runs_stay_short(monkeypatch, tmp_path):
    failed = [record(arm="transfer", seed=seed, status="failed", data=None) for seed in range(1, 60)]
    monkeypatch.setattr(shells, "run_cells", lambda *_, **__: failed)
    records = Artifact(uri=str(tmp_path))
    how = {"run_id": "r", "preset": "demo", "settings": {}, "checkpoints": "", "accelerators": 0, "image": ""}
    shells.runs("", records, records, records, **how)
    assert records.metadata == {"runs": "59", "failed": "transfer-01, transfer-02, transfer-03 and 56 more"}


def test_learning_curves_are_what_tensorboard_reads(tmp_path):
    tf = pytest.importorskip("tensorflow")
    from headstart.components.training.curves import Curves

    curves = Curves(str(tmp_path / "logs"), "transfer-3")
    for epoch in (1, 2):
        row = Epoch(epoch=epoch, train_seconds=0.5, elapsed=epoch / 2, accuracy=epoch / 4, validation_accuracy=0.5)
        curves.add(row)
    curves.close()
    (file,) = (tmp_path / "logs" / "transfer-3").iterdir()
    found = []
    for content in tf.data.TFRecordDataset(str(file)):
        event = tf.compat.v1.Event.FromString(content.numpy())
        for value in event.summary.value:
            assert value.metadata.plugin_data.plugin_name == "scalars"
            found.append((event.step, value.tag, float(tf.make_ndarray(value.tensor))))
    assert ("accuracy/train", 0.25) in [(tag, value) for step, tag, value in found if step == 1]
    assert ("accuracy/train", 0.5) in [(tag, value) for step, tag, value in found if step == 2]
    assert not [tag for _, tag, _ in found if tag.startswith("loss")]  # what is not known is left out

    silent = Curves("", "transfer-3")
    silent.add(Epoch(epoch=1, train_seconds=0.5, elapsed=0.5))
    silent.close()
