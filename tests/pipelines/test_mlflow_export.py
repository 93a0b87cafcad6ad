"""`headstart export mlflow` against a real tracking server: what MLflow's own client then finds there."""

import http.server
import json
import os
import shutil
import threading
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from headstart.components.errors import HeadstartError, SettingError
from headstart.components.records import RunRecord, read_record
from headstart.components.reporting.report import measure, write_report
from headstart.pipelines.commands.export import command
from headstart.pipelines.mlflow_server import TrackingServer
from tests.json_results import read_result

GENUINE = Path(__file__).parents[1] / "reporting/genuine/fast"


@pytest.fixture
def client(mlflow_server: str) -> Any:
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=mlflow_server)


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """The output folder of a run with its own id."""
    records = [read_record(file) for file in sorted(GENUINE.glob("*.json"))]
    for record in records:
        record.run_id = f"it's {tmp_path.name}"  # a quote ends a search term of MLflow
        record.write(tmp_path / "output/records" / f"{record.name}.json")
    write_report(records, tmp_path / "output")
    return tmp_path / "output"


def export(run: Path, server: str, experiment: str) -> dict[str, Any]:
    words = ["mlflow", str(run), "--tracking-uri", server, "--experiment", experiment, "--json"]
    done = CliRunner().invoke(command, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    found: dict[str, Any] = read_result("export mlflow", done.stdout)
    return found


def active(client: Any, done: dict[str, Any]) -> dict[str, Any]:
    return {run.info.run_name: run for run in client.search_runs([done["experiment_id"]])}


def test_a_run_arrives_whole(mlflow_server: str, client: Any, run: Path) -> None:
    done = export(run, mlflow_server, "whole")
    assert set(done["runs"].values()) == {"created"}
    there = active(client, done)
    parent = there.pop("output")
    assert parent.info.run_id == done["run_id"]
    summary = json.loads((run / "summary.json").read_text())
    assert parent.data.tags["mlflow.note.content"] == summary["answer"]
    pair = summary["comparisons"][0]
    assert parent.data.metrics["transfer_over_baseline.speedup"] == pair["speedup"]["train"]["estimate"]
    listed = {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert listed == {"report.html", "report.md", "runs.csv", "reproduce.py", "summary.json"}
    for name in listed:
        fetched = Path(client.download_artifacts(parent.info.run_id, name, str(run.parent)))
        assert fetched.read_bytes() == (run / name).read_bytes()

    records = {file.stem: read_record(file) for file in (run / "records").glob("*.json")}
    assert set(there) == set(records) == set(done["runs"])
    for name, child in there.items():
        check(client, child, records[name], parent.info.run_id)


def check(client: Any, child: Any, record: RunRecord, parent: str) -> None:
    assert child.data.tags["mlflow.parentRunId"] == parent
    assert child.info.status == "FINISHED"
    assert child.data.params["arm"] == record.arm
    assert child.data.params["recipe.batch_size"] == str(record.recipe["batch_size"])
    assert record.data is not None
    assert child.data.params["data.digest"] == record.data.digest
    assert child.data.metrics["test_accuracy"] == record.result.test_accuracy
    for name in ("validation_accuracy", "loss", "train_seconds"):
        history = sorted(client.get_metric_history(child.info.run_id, name), key=lambda one: one.step)
        expected = [(row.epoch, getattr(row, name)) for row in record.epochs if getattr(row, name) is not None]
        assert [(one.step, one.value) for one in history] == expected


def test_again_sends_nothing_twice_and_what_changed_once(mlflow_server: str, client: Any, run: Path) -> None:
    first = export(run, mlflow_server, "again")
    before = active(client, first)
    again = export(run, mlflow_server, "again")
    assert again["state"] == "unchanged" and set(again["runs"].values()) == {"unchanged"}
    assert {one.info.run_id for one in active(client, first).values()} == {one.info.run_id for one in before.values()}

    # One run failed and was repeated, and the experiment was extended by another.
    file = run / "records/transfer-01.json"
    record = read_record(file)
    record.status, record.reason = "failed", "out of memory"
    record.recipe["batch_size"] = 7
    record.write(file)
    record.seed = 9
    record.write(run / "records/transfer-09.json")
    write_report([read_record(one) for one in sorted((run / "records").glob("*.json"))], run)
    third = export(run, mlflow_server, "again")
    assert third["run_id"] == first["run_id"] and third["state"] == "updated"
    assert third["runs"].pop("transfer-01") == "updated" and third["runs"].pop("transfer-09") == "created"
    assert set(third["runs"].values()) == {"unchanged"}
    there = active(client, first)
    assert len(there) == len(before) + 1
    assert there["transfer-01"].info.status == "FAILED"
    assert there["transfer-01"].data.tags["reason"] == "out of memory"
    assert there["transfer-01"].data.params["recipe.batch_size"] == "7"
    fetched = Path(client.download_artifacts(third["run_id"], "summary.json", str(run.parent)))
    assert fetched.read_bytes() == (run / "summary.json").read_bytes()


def test_an_interrupted_export_is_completed(
    mlflow_server: str, client: Any, run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish, finished = TrackingServer.finish, []

    def lost(self: TrackingServer, *arguments: Any) -> None:
        finished.append(arguments)
        if len(finished) == 3:
            raise HeadstartError("the connection is lost")
        finish(self, *arguments)

    monkeypatch.setattr(TrackingServer, "finish", lost)
    with pytest.raises(HeadstartError, match="lost"):
        export(run, mlflow_server, "interrupted")
    monkeypatch.setattr(TrackingServer, "finish", finish)
    done = export(run, mlflow_server, "interrupted")
    there = active(client, done)
    assert len(client.search_runs([done["experiment_id"]])) == len(there) == len(list((run / "records").iterdir())) + 1
    assert {one.info.status for one in there.values()} == {"FINISHED"}


def test_records_alone_are_measured(mlflow_server: str, client: Any, run: Path) -> None:
    shutil.move(run / "records", run.parent / "alone")
    done = export(run.parent / "alone", mlflow_server, "alone")
    parent = client.get_run(done["run_id"])
    summary = json.loads((run / "summary.json").read_text())
    assert parent.data.tags["mlflow.note.content"] == summary["answer"]
    assert client.list_artifacts(done["run_id"]) == []


def test_a_learning_curve_arrives_with_training_images_as_steps(
    mlflow_server: str, client: Any, tmp_path: Path
) -> None:
    records = [read_record(file) for file in sorted((GENUINE.parent / "curve").glob("*.json"))]
    for record in records:
        record.write(tmp_path / f"{record.name}.json")
    done = export(tmp_path, mlflow_server, "curve")
    parent = client.get_run(done["run_id"])
    summary = measure(records).summary
    for arm in ("baseline", "transfer"):
        found = client.get_metric_history(done["run_id"], f"{arm}.accuracy_by_training_images")
        points = {point.size: point.accuracy.estimate for point in summary.curve if point.arm == arm}
        assert {one.step: one.value for one in found} == pytest.approx(points) and len(points) == 2
    assert summary.labels_saved is not None
    saved = {
        f"labels_saved{end}": getattr(summary.labels_saved, end.strip("_") or "estimate")
        for end in ("", "_low", "_high")
    }
    assert {name: parent.data.metrics.get(name) for name in saved} == saved


def test_a_deleted_experiment_is_said(mlflow_server: str, client: Any, run: Path) -> None:
    client.delete_experiment(export(run, mlflow_server, "gone")["experiment_id"])
    with pytest.raises(HeadstartError, match="--experiment gone: was deleted"):
        export(run, mlflow_server, "gone")


@pytest.mark.parametrize(
    "uri", ["sqlite:///mlflow.db", "mlruns", "databricks", "https://", "http://a:b/", "http://[", "file:///tmp/x"]
)
def test_what_is_no_address_is_refused(uri: str) -> None:
    with pytest.raises(SettingError, match=r"--tracking-uri .*expected the http"):
        TrackingServer(uri)


def test_a_password_does_not_cross_a_network_unencrypted(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(HeadstartError, match="unencrypted") as error:
        TrackingServer("http://user:hunter22@mlflow.example")
    assert "hunter22" not in str(error.value)
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "token-of-mine")
    with pytest.raises(HeadstartError, match="unencrypted"):
        TrackingServer("http://mlflow.example")
    assert TrackingServer("https://mlflow.example/prefix/").uri == "https://mlflow.example/prefix"


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (200, "[]", "not MLflow's"),
        (200, "<html>login</html>", "not MLflow's"),
        (200, '{"experiment": {"experiment_id": 3}}', "not MLflow's"),
        (302, "", "HTTP 302"),
        (401, "{}", "rejects the credentials"),
        (404, "not found", "HTTP 404"),
        (500, '{"error_code": "INTERNAL_ERROR", "message": "database is locked"}', "database is locked"),
    ],
)
def test_another_server_is_named(status: int, body: str, message: str, run: Path) -> None:
    class Answers(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            if status == 302:
                self.send_header("Location", "http://127.0.0.1:1/")
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, *_: Any) -> None:
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Answers) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        try:
            with pytest.raises(HeadstartError, match=message):
                export(run, f"http://127.0.0.1:{other.server_port}", "any")
        finally:
            other.shutdown()


def test_no_server_is_said(run: Path) -> None:
    with pytest.raises(HeadstartError, match="cannot be reached"):
        export(run, "http://127.0.0.1:1", "any")
