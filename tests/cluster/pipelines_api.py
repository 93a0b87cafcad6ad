"""Plays the API of Kubeflow Pipelines 2.17: experiments, runs, logs, workflows, artifacts.

The answers have the shapes of backend/api/v2beta1 at tag 2.17.0: kfp's own client and the plain `kfp` command read
them too, which the tests see to. The workflow beneath a run has the nodes that the backend's compiler makes of our
package (names of templates and nodes were taken from its output), with a status as Argo Workflows writes it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from answering import Answer, AnsweringServer, Asked

API = "/apis/v2beta1"
RUN_ID = "6f2d0c1e-8a56-4d7b-9a6e-5f0f4f1f2b3c"
EXPERIMENT_ID = "2c5a7f0e-0d8f-4a63-8a1d-9b8c7d6e5f40"
WORKFLOW = "headstart-experiment-x7k2p"
SALT = "0d7c6b5a-4f3e-4d2c-9b1a-0f9e8d7c6b5a"
EPOCH = "1970-01-01T00:00:00Z"


def fnv(text: str) -> int:
    """Return the 32-bit FNV-1a hash that Argo puts at the end of a node's id."""
    value = 0x811C9DC5
    for byte in text.encode():
        value = ((value ^ byte) * 0x01000193) & 0xFFFFFFFF
    return value


def node_id(name: str) -> str:
    return WORKFLOW if name == WORKFLOW else f"{WORKFLOW}-{fnv(name)}"


@dataclass
class Node:
    """One node of an Argo workflow, by its full name, for example WORKFLOW.root.pretrain.executor."""

    name: str
    kind: str
    template: str
    phase: str = "Succeeded"
    boundary: str = ""
    message: str = ""
    parameters: dict[str, str] = field(default_factory=dict)
    children: list[str] = field(default_factory=list)
    finished: str = "2026-11-24T10:05:00Z"

    def status(self) -> dict[str, Any]:
        found: dict[str, Any] = {
            "id": node_id(self.name),
            "name": self.name,
            "displayName": self.name.rsplit(".", 1)[-1],
            "type": self.kind,
            "templateName": self.template,
            "templateScope": f"local/{WORKFLOW}",
            "phase": self.phase,
            "startedAt": "2026-11-24T10:00:00Z",
            "finishedAt": self.finished if self.phase != "Running" else None,
            "children": [node_id(name) for name in self.children],
        }
        if self.boundary:
            found["boundaryID"] = node_id(self.boundary)
        if self.message:
            found["message"] = self.message
        if self.parameters:
            found["inputs"] = {"parameters": [{"name": k, "value": v} for k, v in self.parameters.items()]}
        return found


def pod_spec_patch(
    task: str, outputs: list[str], root: str = "minio://mlpipeline/v2/artifacts", cells: str = "", run: str = SALT
) -> str:
    """Return the patch that the driver writes for a task's pod; the launcher's command line names the outputs."""
    base = f"{root}/headstart-experiment/{RUN_ID}/{task}/{run}"
    executor_input = {
        "inputs": {"parameterValues": {"run_id": RUN_ID, **({"cells": cells} if cells else {})}},
        "outputs": {
            "artifacts": {name: {"artifacts": [{"name": name, "uri": f"{base}/{name}"}]} for name in outputs},
            "outputFile": "/tmp/kfp_outputs/output_metadata.json",
        },
    }
    command = ["/kfp-launcher/launch", "--pipeline_name", "headstart-experiment", "--run_id", RUN_ID]
    command += ["--executor_input", json.dumps(executor_input), "--component_spec", "{}", "--"]
    return json.dumps({"containers": [{"name": "main", "image": "headstart:0.1.0", "command": command}]})


def task_nodes(
    task: str, outputs: list[str], inside: str = f"{WORKFLOW}.root", phase: str = "Succeeded", message: str = "",
    retried: bool = False, root: str = "minio://mlpipeline/v2/artifacts", attempt: str = "",
    cells: str = "", run: str = SALT,
) -> list[Node]:  # fmt: skip
    """Return the nodes of one task: the node that has its name, and the pod in it (two behind a Retry node).

    `attempt` is what stands behind the name where the task itself is below a Retry node, as 2.17 has it: (0).
    """
    outer = f"{inside}.{task}{attempt}"
    patch = {"pod-spec-patch": pod_spec_patch(task, outputs, root, cells, run)}
    prefix = "metadata-0-1-"
    nodes = [Node(outer, "DAG", f"{prefix}system-container-executor", phase, inside, parameters=patch)]
    pod = f"{outer}.executor"
    if not retried:
        return [*nodes, Node(pod, "Pod", f"{prefix}system-container-impl", phase, outer, message, patch)]
    template = f"{prefix}retry-system-container-impl"
    attempts = [f"{pod}(0)", f"{pod}(1)"]
    return [
        *nodes,
        Node(pod, "Retry", template, phase, outer, message, patch, children=attempts),
        Node(attempts[0], "Pod", template, "Failed", outer, "Error (exit code 143)", patch),
        Node(attempts[1], "Pod", template, phase, outer, message, patch),
    ]


def workflow(nodes: list[Node], message: str = "") -> dict[str, Any]:
    """Return an Argo workflow with these nodes below its root."""
    root = Node(f"{WORKFLOW}.root", "DAG", "root", "Running", WORKFLOW)
    top = Node(WORKFLOW, "DAG", "entrypoint", "Running")
    return {
        "apiVersion": "argoproj.io/v1alpha1",
        "kind": "Workflow",
        "metadata": {"name": WORKFLOW, "namespace": "kubeflow", "labels": {"pipeline/runid": RUN_ID}},
        "status": {"message": message, "nodes": {node_id(n.name): n.status() for n in [top, root, *nodes]}},
    }


def detail(name: str, state: str, start: str = "2026-11-24T10:00:00Z", end: str = EPOCH) -> dict[str, Any]:
    """Return one entry of task_details the way 2.17 fills it: by the node's display name, without pod and error."""
    return {
        "run_id": RUN_ID,
        "task_id": f"{fnv(name + start):08x}",
        "display_name": name,
        "create_time": "2026-11-24T09:59:58Z",
        "start_time": start,
        "end_time": end,
        "state": state,
        "state_history": [{"update_time": start, "state": state}],
        "child_tasks": [],
    }


class PipelinesApi:
    """The server's state: `states` are given out one after the other, the last one for ever.

    A state may also be a fault: `drop` closes the connection, a number is answered as that HTTP status.
    """

    def __init__(self, states: list[str | int] | None = None, *, version: str = "2.17.0") -> None:
        self.states: list[str | int] = list(states or ["SUCCEEDED"])
        self.version = version
        self.multi_user = False
        self.tasks: dict[str, list[dict[str, Any]]] = {}
        self.error = ""
        self.workflow: dict[str, Any] | None = None
        self.logs: dict[str, str] = {}
        self.objects: dict[str, bytes] = {}
        self.experiments: dict[str, str] = {}
        self.runs: list[dict[str, Any]] = []
        self.token = ""
        self.drop_answer_to_create = False
        self.behind_ui, self.ready = False, True
        self.terminated = False
        self.server = AnsweringServer(self.handle)

    def handle(self, asked: Asked) -> Answer | None:
        if self.behind_ui and (answered := self._from_ui(asked)):
            return answered
        if self.token and asked.headers.get("Authorization") != f"Bearer {self.token}":
            return Answer({"code": 16, "message": "Request header error: there is no valid token"}, 401)
        path = asked.path
        if path == f"{API}/healthz":
            if self.version.startswith("1."):
                return None
            said = {"commit_sha": "6d1f3d8", "tag_name": self.version, "multi_user": self.multi_user}
            return Answer({**said, "pipeline_store": "database"})
        if path == "/apis/v1beta1/healthz":
            return Answer({"commit_sha": "6d1f3d8", "tag_name": self.version, "multi_user": self.multi_user})
        if path == f"{API}/experiments":
            return self._experiments(asked)
        if path.startswith(f"{API}/experiments/"):
            identity = path.rsplit("/", 1)[-1]
            names = [name for name, each in self.experiments.items() if each == identity]
            return Answer(self._experiment(names[0])) if names else None
        if path == f"{API}/runs":
            return self._runs(asked)
        if path == f"{API}/runs/{RUN_ID}":
            return self._run()
        if path == f"{API}/runs/{RUN_ID}:terminate":
            self.terminated, self.states = True, ["CANCELING", "FAILED"]  # as 2.17 does
            return Answer({})
        if path == f"/apis/v1beta1/runs/{RUN_ID}" and self.workflow is not None:
            manifest = json.dumps(self.workflow)
            return Answer({"run": {"id": RUN_ID}, "pipeline_runtime": {"workflow_manifest": manifest}})
        if path.startswith(f"/apis/v1alpha1/runs/{RUN_ID}/nodes/") and path.endswith("/log"):
            pod = path.split("/")[-2]
            if pod in self.logs:
                return Answer(self.logs[pod])
            return Answer({"error_message": f'pods "{pod}" not found', "error_details": ""}, 500)
        if path.startswith("/artifacts/") and path.removeprefix("/artifacts/") in self.objects:
            return Answer(self.objects[path.removeprefix("/artifacts/")])
        return None

    def _from_ui(self, asked: Asked) -> Answer | None:
        """Answer as the UI's server 2.17 does: it speaks for the API's health, reads logs, and knows no v1alpha1."""
        if asked.path.endswith("/healthz"):
            if not self.ready:
                return Answer({"apiServerReady": False, "buildDate": "", "frontendTagName": ""})
            api = {"apiServerReady": True, "apiServerCommitHash": "6d1f3d8", "apiServerTagName": self.version}
            return Answer({"frontendTagName": "", **api, "apiServerMultiUser": False, "multi_user": False})
        if asked.path.startswith("/apis/v1alpha1/"):
            return Answer(f"<pre>Cannot GET {asked.path}</pre>", 404)
        if asked.path == "/k8s/pod/logs" and asked.query["podnamespace"] == "kubeflow":
            return Answer(self.logs[asked.query["podname"]])
        return None

    def _experiment(self, name: str) -> dict[str, Any]:
        return {
            "experiment_id": self.experiments[name],
            "display_name": name,
            "created_at": "2026-11-24T09:00:00Z",
            "storage_state": "AVAILABLE",
        }

    def _experiments(self, asked: Asked) -> Answer:
        if asked.method == "POST":
            name = asked.body["display_name"]
            self.experiments[name] = EXPERIMENT_ID
            return Answer(self._experiment(name))
        wanted = [p["stringValue"] for p in json.loads(asked.query.get("filter", "{}")).get("predicates", [])]
        found = [self._experiment(name) for name in self.experiments if not wanted or name in wanted]
        return Answer({"experiments": found, "total_size": len(found)} if found else {})

    def _runs(self, asked: Asked) -> Answer:
        if asked.method == "POST":
            self.runs.append({**asked.body, "run_id": RUN_ID})
            if self.drop_answer_to_create:
                return Answer(drop=True)
            return Answer({**self._description("PENDING"), **self.runs[-1]})
        wanted = [p["stringValue"] for p in json.loads(asked.query.get("filter", "{}")).get("predicates", [])]
        found = [run for run in self.runs if not wanted or run["display_name"] in wanted]
        return Answer({"runs": found, "total_size": len(found)} if found else {})

    def _run(self) -> Answer:
        state = self.states.pop(0) if len(self.states) > 1 else self.states[0]
        if state == "drop":
            return Answer(drop=True)
        if isinstance(state, int):
            return Answer({"code": 13, "message": "no healthy upstream"}, state)
        return Answer(self._description(state))

    def _description(self, state: str) -> dict[str, Any]:
        passed = ["PENDING", *(["CANCELING"] if self.terminated and state == "FAILED" else [])]
        history: list[dict[str, Any]] = [{"update_time": "2026-11-24T10:00:00Z", "state": each} for each in passed]
        last: dict[str, Any] = {"update_time": "2026-11-24T10:10:00Z", "state": state}
        if self.error and state == "FAILED":
            last["error"] = {"code": 13, "message": self.error}
        run = {
            "experiment_id": EXPERIMENT_ID,
            "run_id": RUN_ID,
            "display_name": self.runs[-1]["display_name"] if self.runs else "earlier",
            "storage_state": "AVAILABLE",
            "service_account": "pipeline-runner",
            "created_at": "2026-11-24T10:00:00Z",
            "scheduled_at": "2026-11-24T10:00:00Z",
            "finished_at": EPOCH if state in ("PENDING", "RUNNING") else "2026-11-24T10:10:00Z",
            "state": state,
            "state_history": [*history, last],
        }
        if state in self.tasks:
            run["run_details"] = {"task_details": self.tasks[state]}
        return run
