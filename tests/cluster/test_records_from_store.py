"""The report of a run whose pipeline came to none, from genuine records in a real object store."""

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import Result
from pipelines_api import RUN_ID, WORKFLOW, Node, PipelinesApi, task_nodes, workflow

from headstart.components import storage
from headstart.components.records import RunRecord
from headstart.components.training.checkpoint import Folder, keep_finished
from headstart.pipelines.packages import Package

Command = Callable[..., Result]
GENUINE = Path(__file__).parents[1] / "reporting" / "genuine" / "fast"
ROOT = "gs://headstart-runs/root"
BASE = f"{ROOT}/headstart-experiment"
ONCE = {"pretrain": "pretrain", "finetune": "finetune", "final": "final"}
CELLS = {1: "1/0/0:baseline,transfer", 2: "2/0/0:transfer,baseline"}
PARAMETERS = {"preset": "fast", "seeds": [1, 2], "preparations": 1, "draws": 1}


def genuine(name: str) -> RunRecord:
    """A record as training wrote it, of this run."""
    content = json.loads((GENUINE / f"{name}.json").read_text())
    return RunRecord.model_validate(content | {"run_id": RUN_ID})


def arms(seed: int) -> list[RunRecord]:
    return [genuine(f"{arm}-{seed:02d}") for arm in ("baseline", "transfer")]


def nodes(*, failed: str) -> list[Node]:
    """A run in which everything was begun and one task failed, so that Report and Verify never were."""
    made: list[Node] = []
    for task in ONCE:
        made += task_nodes(task, ["record"], root=ROOT, phase="Failed" if failed == task else "Succeeded", run=task)
    loop = f"{WORKFLOW}.root.for-loop-2"
    made.append(Node(loop, "DAG", "comp-for-loop-2-for-loop-2-iterator", "Failed", f"{WORKFLOW}.root"))
    for index, (seed, cells) in enumerate(CELLS.items()):
        iteration = f"{loop}.iteration-iterations({index}:{index})"
        made.append(Node(iteration, "DAG", "comp-for-loop-2", "Running", loop))
        phase = "Failed" if failed == f"cell {seed}" else "Succeeded"
        message = "Error (exit code 137)" if phase == "Failed" else ""
        made += task_nodes("train-runs", ["records"], iteration, phase, message, root=ROOT, cells=cells, run=f"c{seed}")
    return made


@pytest.fixture
def store(storage_server, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:  # type: ignore[no-untyped-def]
    """The run's objects as its tasks uploaded them: all records, nothing of the report."""
    from google.auth.credentials import AnonymousCredentials
    from google.cloud import storage as client

    monkeypatch.setenv("STORAGE_EMULATOR_HOST", storage_server.url)
    cloud = client.Client(credentials=AnonymousCredentials(), project="test")
    bucket = cloud.bucket("headstart-runs")
    if not bucket.exists():
        cloud.create_bucket("headstart-runs")
    for task, name in ONCE.items():
        put(f"{BASE}/{RUN_ID}/{task}/{task}/record", genuine(name))
    for seed in CELLS:
        for record in arms(seed):
            put(f"{BASE}/{RUN_ID}/train-runs/c{seed}/records/{record.name}.json", record)
    yield BASE
    for uri in list(storage.list(f"{ROOT}/")):
        storage.delete(uri)


def put(uri: str, record: RunRecord) -> None:
    storage.write_bytes(uri, record.model_dump_json().encode())


def lose(seed: int) -> None:
    """Leave what is in the store when an executor is killed before its outputs are uploaded."""
    for record in arms(seed):
        storage.delete(f"{BASE}/{RUN_ID}/train-runs/c{seed}/records/{record.name}.json")


def keep(seed: int) -> None:
    """What a task keeps of each run that it has finished, beside the runs' own folders."""
    for record in arms(seed):
        keep_finished(Folder(f"{BASE}/checkpoints/{RUN_ID}/{record.arm}-{seed}"), "fingerprint", record, {})


def end(api: PipelinesApi, failed: str, *, removed: bool = False) -> None:
    api.states = ["FAILED"]
    api.workflow = None if removed else workflow(nodes(failed=failed))
    described = api._description
    runtime = {"runtime_config": {"parameters": PARAMETERS, "pipeline_root": ROOT}}
    api._description = lambda state: {**described(state), **runtime}  # type: ignore[method-assign]


def follow(command: Command, api: PipelinesApi, package: Package | None) -> Result:
    """Submit the run, or (without a package) attach to it."""
    if package is None:
        return command("submit", "--attach", RUN_ID, "--host", api.server.host, "--output", "back")
    values = [word for name, value in PARAMETERS.items()
              for word in ("-p", f"{name}={value if isinstance(value, str) else json.dumps(value)}")]  # fmt: skip
    return command("submit", str(package.path), "--host", api.server.host, "--output", "back", *values)


def measured() -> list[tuple[str, int, float | None]]:
    summary = json.loads(Path("back/summary.json").read_text())
    assert summary["run_id"] == RUN_ID
    records = [json.loads(file.read_text()) for file in Path("back/records").glob("*.json")]
    return sorted((record["arm"], record["seed"], record["result"]["test_accuracy"]) for record in records)


EVERYTHING = sorted((r.arm, r.seed, r.result.test_accuracy) for r in [*map(genuine, ONCE), *arms(1), *arms(2)])


@pytest.mark.parametrize("attach", [False, True])
def test_a_pipeline_that_fails_after_the_last_run_loses_nothing(
    command: Command, api: PipelinesApi, package: Package, store: str, attach: bool
) -> None:
    """The report's task failed, say: everything was measured, so the status is 0."""
    end(api, "nothing that measures")
    result = follow(command, api, None if attach else package)
    assert measured() == EVERYTHING
    assert "from the 7 records in the store, 7 of runs that succeeded" in result.output
    assert "It is complete: all 4 runs that are compared have succeeded." in result.output
    sound = json.loads(Path("back/summary.json").read_text())["sound"]
    assert result.exit_code == (0 if sound else 1)
    assert "seed" in Path("back/runs.csv").read_text()
    assert Path("back/report.html").stat().st_size > 10_000


def test_what_a_killed_executor_had_finished_is_found_where_it_kept_it(
    command: Command, api: PipelinesApi, package: Package, store: str
) -> None:
    end(api, "cell 2")
    lose(2)
    keep(2)
    result = follow(command, api, package)
    assert measured() == EVERYTHING
    assert "It is complete" in result.output
    assert "lost" not in result.output


def test_without_that_the_other_runs_are_reported_and_the_loss_is_said(
    command: Command, api: PipelinesApi, package: Package, store: str
) -> None:
    end(api, "cell 2")
    lose(2)
    result = follow(command, api, package)
    assert result.exit_code == 1
    assert measured() == sorted((r.arm, r.seed, r.result.test_accuracy) for r in [*map(genuine, ONCE), *arms(1)])
    assert "2 runs left no record: what they measured is lost." in result.output
    assert "It is complete" not in result.output


def test_a_workflow_that_was_removed_and_a_record_that_is_damaged(
    command: Command, api: PipelinesApi, store: str
) -> None:
    end(api, "cell 2", removed=True)
    lose(2)
    keep(2)
    storage.write_bytes(f"{BASE}/{RUN_ID}/final/final/record", b"{")
    storage.write_bytes(f"{BASE}/another-run/final/x/record", genuine("final").model_dump_json().encode())
    result = follow(command, api, None)
    records = [json.loads(file.read_text()) for file in Path("back/records").glob("*.json") if file.stat().st_size > 1]
    assert sorted((r["arm"], r["seed"]) for r in records) == [(a, s) for a, s, _ in EVERYTHING if a != "final"]
    assert "from the 6 records in the store" in result.output
    shutil.rmtree("back")
