"""Reads the Argo workflow behind a run: which pod failed and why, and where tasks put their artifacts.

The v2beta1 API names neither pods nor artifacts (2.17), the v1beta1 API still hands out the workflow that has both.
Where it does not, a run can be followed all the same, only with fewer words when it fails.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlsplit

from headstart.pipelines.submission.answers import Manifest, Node, OldRun, has_shape
from headstart.pipelines.submission.connection import Connection, ServiceError

# What the backend calls the template of a task's own pod, and of the node around it that carries the task's name. Both
# get a prefix where the task has pod labels or retries, for example metadata-0-1-retry-system-container-impl.
CONTAINER_TEMPLATE = "system-container-impl"
EXECUTOR_TEMPLATE = "system-container-executor"


@dataclass(frozen=True)
class FailedPod:
    """A pod that failed: the task it worked for, the iteration of its loop (None outside one), why, its name."""

    task: str
    iteration: int | None
    message: str
    pod: str
    is_driver: bool


@dataclass(frozen=True)
class TaskState:
    """One task, or one iteration of it.

    `state` is one of the API's (RUNNING, SUCCEEDED, …), times are as Argo writes them, `iterations` is how often the
    loops around the task will run it, 0 where that is not known, `waits` what its pod waits for.
    """

    name: str
    state: str
    started: str
    finished: str
    iterations: int
    waits: str


@dataclass(frozen=True)
class StoredArtifact:
    """An artifact that a task was told to write: the task, the output's name, the URI, and the cells it was given."""

    task: str
    name: str
    uri: str
    cells: str = ""


class Workflow:
    """The status of an Argo workflow, as Kubeflow Pipelines stores it."""

    def __init__(self, manifest: Manifest) -> None:
        metadata = manifest.get("metadata") or {}
        self.name = str(metadata.get("name") or "")
        self.namespace = str(metadata.get("namespace") or "")
        self._old_pod_names = (metadata.get("annotations") or {}).get("workflows.argoproj.io/pod-name-format") == "v1"
        status = manifest.get("status") or {}
        self.message = str(status.get("message") or "")
        self.nodes: dict[str, Node] = status.get("nodes") or _unpacked(status.get("compressedNodes"))

    def failed_pods(self) -> list[FailedPod]:
        """Return the pods that failed, the earliest first; attempts that were tried again count when none followed."""
        failed = [
            node for node in self.nodes.values()
            if node.get("type") == "Pod" and node.get("phase") in ("Failed", "Error") and not self._was_retried(node)
        ]  # fmt: skip
        failed.sort(key=lambda node: str(node.get("finishedAt") or "~"))
        return [
            FailedPod(
                task=self._task_of(node),
                iteration=self._iteration_of(node),
                message=str(node.get("message") or "no reason given"),
                pod=self._pod_name(node),
                is_driver=not _has_template(node, CONTAINER_TEMPLATE),
            )
            for node in failed
        ]

    def tasks(self) -> list[TaskState]:
        """Return every task that has begun, each iteration of a loop by itself, each attempt's last state alone."""
        counts = self._loop_counts()
        waits = self._waits()
        found: dict[tuple[str, str], TaskState] = {}
        for key, node in self.nodes.items():
            if not _has_template(node, EXECUTOR_TEMPLATE) or node.get("type") == "Pod":
                continue
            iterations = 1
            for outer in self._boundaries(node):
                iterations *= counts.get(str(outer.get("id") or ""), 1)
            task = TaskState(
                _plain(node),
                _STATES.get(str(node.get("phase") or ""), "PENDING"),
                str(node.get("startedAt") or ""),
                str(node.get("finishedAt") or ""),
                iterations if iterations > 1 else 0,
                waits.get(key, ""),
            )
            # Attempts of one task stand side by side in one boundary: the last one to begin counts.
            place = (_plain(node), str(node.get("boundaryID") or ""))
            if place not in found or found[place].started <= task.started:
                found[place] = task
        return list(found.values())

    def _loop_counts(self) -> dict[str, int]:
        """Return the number of iterations of each loop by the id of its node, in which its driver put it out."""
        counts: dict[str, int] = {}
        for node in self.nodes.values():
            for value in _parameters(node, "iteration-count"):
                if value.isdecimal() and int(value) > 0:
                    counts[str(node.get("boundaryID") or "")] = int(value)
        return counts

    def _waits(self) -> dict[str, str]:
        """Return what pods wait for, by the key of the task's node that they work for."""
        waits: dict[str, str] = {}
        for node in self.nodes.values():
            message = str(node.get("message") or "")
            if node.get("type") != "Pod" or node.get("phase") != "Pending" or message in _STARTING:
                continue
            for key in (str(outer.get("id") or "") for outer in self._boundaries(node)):
                waits.setdefault(key, message)
        return waits

    def artifacts(self) -> list[StoredArtifact]:
        """Return where each task that got as far as a container was to put its outputs."""
        found: dict[str, StoredArtifact] = {}
        for node in self.nodes.values():
            if node.get("type") != "Pod" or not _has_template(node, CONTAINER_TEMPLATE):
                continue
            for patch in _parameters(node, "pod-spec-patch"):
                for name, uri, cells in _outputs(patch):
                    found[uri] = StoredArtifact(self._task_of(node), name, uri, cells)
        return list(found.values())

    def _was_retried(self, node: Node) -> bool:
        """Is this one of several attempts of a Retry node that has succeeded, or gone on to another attempt?"""
        for parent in self.nodes.values():
            if parent.get("type") == "Retry" and node.get("id") in (parent.get("children") or []):
                return parent.get("phase") == "Succeeded" or (parent.get("children") or [""])[-1] != node.get("id")
        return False

    def _boundaries(self, node: Node) -> Iterator[Node]:
        seen: set[str] = set()
        while True:
            key = str(node.get("boundaryID") or "")
            if not key or key in seen or key not in self.nodes:
                return
            seen.add(key)
            node = self.nodes[key]
            yield node

    def _task_of(self, node: Node) -> str:
        for outer in (node, *self._boundaries(node)):
            if _has_template(outer, EXECUTOR_TEMPLATE):
                return _plain(outer)
        return (_plain(node) or str(node.get("id") or "")).removesuffix("-driver")

    def _iteration_of(self, node: Node) -> int | None:
        for outer in self._boundaries(node):
            for value in _parameters(outer, "iteration-index"):
                if value.isdigit():
                    return int(value)
        return None

    def _pod_name(self, node: Node) -> str:
        identity = str(node.get("id") or "")
        if self._old_pod_names or self.name in ("", node.get("name")):
            return identity
        template = "" if ".inline" in str(node.get("name")) else f"-{node.get('templateName')}"
        return f"{self.name}{template}-{identity.rsplit('-', 1)[-1]}"


_STATES = {
    "Succeeded": "SUCCEEDED",
    "Running": "RUNNING",
    "Failed": "FAILED",
    "Error": "FAILED",
    "Skipped": "SKIPPED",
    "Omitted": "SKIPPED",
}


def _plain(node: Node) -> str:
    """Return a node's name without the number that an attempt of a task has behind it: report(0) is report."""
    return str(node.get("displayName") or "").split("(", maxsplit=1)[0]


def fetch_workflow(connection: Connection, run_id: str) -> Workflow | None:
    """Return the workflow of a run, or None where the API does not hand it out."""
    try:
        run = connection.get(f"/apis/v1beta1/runs/{quote(run_id, safe='')}", OldRun)
        manifest = json.loads((run.get("pipeline_runtime") or {}).get("workflow_manifest") or "null")
    except (ServiceError, ValueError, RecursionError):
        return None
    return Workflow(manifest) if has_shape(manifest, Manifest) else None


# Argo refuses to keep more than 1 MiB of packed nodes.
_LARGEST_NODES = 64 * 2**20


def _unpacked(compressed: Any) -> dict[str, Node]:
    """Unpack what Argo writes in place of `nodes` where they would not fit into one Kubernetes object."""
    if not isinstance(compressed, str):
        return {}
    try:
        unpacker = zlib.decompressobj(zlib.MAX_WBITS | 16)
        nodes = json.loads(unpacker.decompress(base64.b64decode(compressed), _LARGEST_NODES))
    except (ValueError, zlib.error, RecursionError):
        return {}
    return nodes if has_shape(nodes, dict[str, Node]) else {}


def _has_template(node: Node, template: str) -> bool:
    return str(node.get("templateName") or "").endswith(template)


def _parameters(node: Node, name: str) -> Iterator[str]:
    for side in (node.get("inputs"), node.get("outputs")):
        for parameter in (side or {}).get("parameters") or []:
            if parameter.get("name") == name and isinstance(parameter.get("value"), str):
                yield parameter["value"]


def _outputs(patch: str) -> Iterator[tuple[str, str, str]]:
    try:
        containers = json.loads(patch).get("containers") or []
        words = [word for container in containers for word in (container.get("command") or [])]
        given = json.loads(words[words.index("--executor_input") + 1])
        outputs = given["outputs"]["artifacts"]
        found = [
            (str(name), str(artifact["uri"]), str(given["inputs"].get("parameterValues", {}).get("cells", "")))
            for name, listed in outputs.items()
            for artifact in listed.get("artifacts") or []
            if artifact.get("uri")
        ]
    except (ValueError, KeyError, IndexError, AttributeError, TypeError, RecursionError):
        return
    yield from found


_MEANINGS = (
    (
        "OOMKilled",
        "It used more memory than it may: raise --memory where it trains, else the memory of data or report in a "
        "placement file; or lower batch_size or image_size.",
    ),
    ("InvalidImageName", "The image's name is wrong: compile again with a right --image."),
    ("ImagePullBackOff", "The image cannot be pulled: check its name, its tag and --image-pull-secret."),
    ("ErrImagePull", "The image cannot be pulled: check its name, its tag and --image-pull-secret."),
    ("ErrImageNeverPull", "The image is not on the node and must not be pulled: load it, or --image-pull-policy."),
    ("CreateContainerConfigError", "A secret, key or volume that the pod names is not there: see `headstart check`."),
    ("Unschedulable", "No node can take it now: `headstart check` says what is missing where."),
    (
        "DeadlineExceeded",
        "It took longer than its time limit: see timeout_seconds and deadline_seconds of a placement.",
    ),
    ("active on the node longer than", "It took longer than its time limit: see timeout_seconds of a placement."),
    ("Step exceeded its deadline", "The run took longer than deadline_seconds of its placement."),
    ("exceeded quota", "The namespace's quota is used up: wait, or ask for less."),
    ("violates PodSecurity", "The namespace admits restricted pods only: keep run_as_user in the placement."),
    ("runAsNonRoot", "The namespace admits no root: keep run_as_user in the placement."),
    ("pod deleted", "The pod was removed while it ran: the node was taken away or drained."),
    ("evicted", "The node ran short of memory or disk: ask for more, or use larger nodes."),
)
# What a pending pod says that waits for nothing: it starts in good order.
_STARTING = ("", "PodInitializing", "ContainerCreating")


def meaning_of(message: str) -> str:
    """Return what to do about a message, or an empty text for one that is not known."""
    return next((meaning for found, meaning in _MEANINGS if found.lower() in message.lower()), "")


def is_deadline(message: str) -> bool:
    """Say whether a message only tells that time ran out, which another reason may lie behind."""
    return any(found in message.lower() for found in ("deadline", "active on the node longer than"))


def run_page(host: str, run_id: str) -> str:
    """Say where the page of a run is: an address to open, unless only pods or Kubernetes' API can reach `host`."""
    name = urlsplit(host).hostname or ""
    page = f"/#/runs/details/{run_id}"
    # Inside a cluster the address is http://ml-pipeline.NAMESPACE:8888, see `connect`.
    service = name.split(".", maxsplit=1)[0] in ("ml-pipeline", "ml-pipeline-ui")
    inside = service or name.endswith((".svc", ".svc.cluster.local"))
    if inside or host.endswith("/proxy"):
        return f"its page is {page} at the address of Kubeflow Pipelines' own page"
    return host + page
