"""What a run's workflow tells where the API's own task details do not: progress, waiting, records."""

import base64
import gzip
import io
import itertools
import json
from pathlib import Path

from pipelines_api import RUN_ID, WORKFLOW, Node, PipelinesApi, node_id, task_nodes, workflow

from headstart.components.console import Console
from headstart.components.records import record_name
from headstart.pipelines.submission.connection import Connection
from headstart.pipelines.submission.failures import explain_failure
from headstart.pipelines.submission.following import WORKFLOW_LOOKS, Follower, TerminalWatcher, tasks_of_workflow
from headstart.pipelines.submission.records import Place, record_places
from headstart.pipelines.submission.workflow import Workflow, is_deadline, meaning_of, run_page

ARMS = ("baseline", "transfer")
PULL = "ErrImagePull: failed to pull and unpack image: not found"


def looped(done: int, total: int) -> list[Node]:
    """A loop of `total` iterations of which `done` have ended and one more runs."""
    loop = f"{WORKFLOW}.root.for-loop-1"
    nodes = [Node(loop, "DAG", "comp-for-loop-1-iterator", "Running", f"{WORKFLOW}.root")]
    for index in range(done + 1):
        iteration = f"{loop}.iteration-iterations({index}:{index})"
        nodes.append(Node(iteration, "DAG", "comp-for-loop-1", "Running", loop))
        nodes += task_nodes("train", ["record"], iteration, "Succeeded" if index < done else "Running")
    return nodes


def manifest(nodes: list[Node], total: int, *, packed: bool) -> dict:  # type: ignore[type-arg]
    made = workflow(nodes)
    loop = f"{WORKFLOW}.root.for-loop-1"
    driver = Node(f"{loop}.iteration-driver", "Pod", "system-dag-driver", boundary=loop).status()
    driver["outputs"] = {"parameters": [{"name": "iteration-count", "value": str(total)}]}
    made["status"]["nodes"][node_id(f"{loop}.iteration-driver")] = driver
    if packed:
        text = json.dumps(made["status"].pop("nodes")).encode()
        made["status"]["compressedNodes"] = base64.b64encode(gzip.compress(text)).decode()
    return made


def recorded(name: str) -> dict:  # type: ignore[type-arg]
    """What a real Kubeflow Pipelines 2.17.0 on Kubernetes 1.34.4 answered in November 2026, less what is not read."""
    found: dict = json.loads((Path(__file__).parent / f"recorded/{name}.json").read_text())  # type: ignore[type-arg]
    return found


def test_a_loop_is_counted_to_its_end_from_packed_nodes_too() -> None:
    for packed in (False, True):
        for done in (0, 4, 9):
            [task] = tasks_of_workflow(Workflow(manifest(looped(done, 10), 10, packed=packed)), None)
            assert (task.title, task.state, task.finished, task.total) == ("train", "RUNNING", done, 10)


def test_a_recorded_workflow_in_its_loop() -> None:
    """Kubeflow Pipelines 2.17.0 as installed: the nodes are packed, each within one that retries it."""
    looping = Workflow(recorded("workflow-in-its-loop"))
    tasks = {task.title: task for task in tasks_of_workflow(looping, None)}
    runs = tasks.pop("train-runs")
    assert (runs.state, runs.finished, runs.total) == ("RUNNING", 2, 10)
    assert {(task.state, task.finished, task.total) for task in tasks.values()} == {("SUCCEEDED", 1, 1)}
    begun = [place.record.rpartition("/")[2] for place in record_places(looping, {}, RUN_ID, lambda _: [])]
    expected = [record_name(arm, seed, 0, draw) for seed, draw in ((1, 0), (2, 1), (3, 2)) for arm in ARMS]
    assert sorted(begun) == sorted(f"{name}.json" for name in expected)


def test_a_recorded_workflow_that_failed_and_was_removed_from_its_cluster() -> None:
    """The object store was away; the API still hands out the packed workflow, with the places of all records."""
    removed = Workflow(recorded("workflow-removed-after-it-failed"))
    [pod] = removed.failed_pods()
    assert (pod.task, pod.iteration, pod.message, pod.is_driver) == (
        "train-runs", 2, "main: Error (exit code 1)", False,
    )  # fmt: skip
    states = {task.title: task.state for task in tasks_of_workflow(removed, None)}
    assert states["train-runs"] == "FAILED" and states["report"] == states["verify"] == "SKIPPED"
    run_id = "1a597479-189d-402d-b13b-81a1bc845276"
    places = record_places(removed, {}, run_id, lambda _: [])
    assert len(places) == 23  # of ten seeds and of the preparation
    kept = {place.kept for place in places if place.kept}
    assert len(kept) == 20 and all(f"/checkpoints/{run_id}/" in place for place in kept)


def test_a_recorded_workflow_that_waits_for_its_image() -> None:
    [task] = tasks_of_workflow(Workflow(recorded("workflow-without-its-image")), None)
    assert (task.title, task.state) == ("preflight", "RUNNING")
    assert "registry.example/headstart:9.9.9" in task.waits
    assert "cannot be pulled" in meaning_of(task.waits)


def test_between_two_iterations_a_loop_still_runs() -> None:
    [task] = tasks_of_workflow(Workflow(manifest(looped(4, 10)[:-2], 10, packed=True)), None)
    assert (task.state, task.finished, task.total) == ("RUNNING", 4, 10)


def test_what_a_pod_waits_for_is_named_while_it_waits() -> None:
    nodes = task_nodes("pretrain", ["model"], phase="Running")
    nodes[-1].phase, nodes[-1].message = "Pending", PULL
    [task] = tasks_of_workflow(Workflow(workflow(nodes)), None)
    assert task.waits == PULL
    assert "cannot be pulled" in meaning_of(task.waits)
    nodes[-1].message = "PodInitializing"
    [task] = tasks_of_workflow(Workflow(workflow(nodes)), None)
    assert task.waits == ""
    assert is_deadline("Pod was active on the node longer than the specified deadline") and not is_deadline(PULL)


def test_a_bad_image_is_not_called_a_time_limit(command, api: PipelinesApi, package) -> None:  # type: ignore[no-untyped-def]
    waiting = task_nodes("pretrain", ["model"], phase="Running")
    waiting[-1].phase, waiting[-1].message = "Pending", PULL
    ended = task_nodes("pretrain", ["model"], phase="Failed", message="Pod was active on the node longer than 60 s")
    api.states, api.workflow = ["RUNNING", "FAILED"], workflow(waiting)
    description = api._description

    def describe(state: str) -> dict:  # type: ignore[type-arg]
        if state == "FAILED":
            api.workflow = workflow(ended)
        return description(state)

    api._description = describe  # type: ignore[method-assign]
    result = command("submit", str(package.path), "--host", api.server.host)
    assert result.exit_code == 1
    before, after = result.output.split("The run ended as FAILED")
    assert PULL in before
    assert f"It waited until then: {PULL}" in after and "cannot be pulled" in after
    assert "timeout_seconds" not in after


def test_what_it_waits_for_is_said_once_though_it_alternates(command, api: PipelinesApi, package) -> None:  # type: ignore[no-untyped-def]
    """As recorded: Kubernetes says every few seconds that it cannot fetch an image or that it waits to try again."""
    messages = [PULL, f"ImagePullBackOff: Back-off pulling image: {PULL}"]
    api.states = ["RUNNING"] * (8 * WORKFLOW_LOOKS) + ["FAILED"]
    description = api._description
    looks = itertools.count()

    def describe(state: str) -> dict:  # type: ignore[type-arg]
        waiting = task_nodes("pretrain", ["model"], phase="Running")
        waiting[-1].phase, waiting[-1].message = "Pending", messages[next(looks) // WORKFLOW_LOOKS % 2]
        api.workflow = workflow(waiting)
        return description(state)

    api._description = describe  # type: ignore[method-assign]
    result = command("submit", str(package.path), "--host", api.server.host)
    before, _ = result.output.split("The run ended as FAILED")
    assert [" ".join(before.split()).count(f"waits: {message}") for message in messages] == [1, 1]


def test_records_are_found_by_the_workflow_or_below_the_pipeline_root() -> None:
    found = Workflow(workflow(task_nodes("final", ["record"]) + task_nodes("pretrain", ["record", "model"])))
    places = record_places(found, {}, RUN_ID, lambda _: [])
    assert len(places) == 2 and all(place.record.endswith("/record") and not place.kept for place in places)
    # A workflow that was removed from the cluster: what lies below the root, of this run alone.
    root = "gs://bucket/root"
    name = record_name("transfer", 3, 0, 0)
    there = [f"{root}/p/{RUN_ID}/final/1/record", f"{root}/p/{RUN_ID}/runs/1/records/{name}.json",
             f"{root}/p/{RUN_ID}/final/1/model", f"{root}/p/another/final/1/record"]  # fmt: skip
    run = {"runtime_config": {"pipeline_root": root}}
    found_places = record_places(None, run, RUN_ID, lambda _: there)  # type: ignore[arg-type]
    assert found_places == [Place(uri) for uri in there[:2]]
    assert record_places(None, {}, RUN_ID, lambda _: there) == []


def test_only_an_address_that_a_browser_can_open_is_given_as_one() -> None:
    for host in ("http://localhost:8080", "https://kubeflow.example.org/pipeline", "http://127.0.0.1:3000"):
        assert run_page(host, RUN_ID) == f"{host}/#/runs/details/{RUN_ID}"
    for host in (
        "http://ml-pipeline.kubeflow.svc.cluster.local:8888", "http://ml-pipeline.kubeflow.svc:8888",
        "http://ml-pipeline.kubeflow:8888", "https://1.2.3.4/api/v1/namespaces/kubeflow/services/http:ml-pipeline-ui:80/proxy",
    ):  # fmt: skip
        assert run_page(host, RUN_ID).startswith(f"its page is /#/runs/details/{RUN_ID} ")


def test_a_failure_without_a_pod_leads_to_a_page_that_can_be_opened() -> None:
    proxy = "https://1.2.3.4/api/v1/namespaces/kubeflow/services/http:ml-pipeline-ui:80/proxy"
    for host, words in (("http://localhost:8080", f"look at http://localhost:8080/#/runs/details/{RUN_ID}"),
                        (proxy, f"its page is /#/runs/details/{RUN_ID} at the address")):  # fmt: skip
        console = Console(file=io.StringIO(), width=300)
        follower = Follower(Connection(host), None, TerminalWatcher(console))
        explain_failure(console, follower, {"run_id": RUN_ID, "state": "FAILED"})
        assert f"The API names no pod that failed; {words}" in console.file.getvalue()  # type: ignore[attr-defined]
