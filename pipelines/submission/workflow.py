"""Reads the Argo workflow behind a run: which pod failed and why, and where tasks put their artifacts.

The v2beta1 API names neither pods nor artifacts (2.17), the v1beta1 API still hands out the workflow that has both.
Where it does not, a run can be followed all the same, only with fewer words when it fails.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

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
class StoredArtifact:
    """An artifact that a task was told to write: the task, the output's name and the URI."""

    task: str
    name: str
    uri: str


class Workflow:
    """The status of an Argo workflow, as Kubeflow Pipelines stores it."""

    def __init__(self, manifest: dict[str, Any]) -> None:
        metadata = manifest.get("metadata") or {}
        self.name = str(metadata.get("name") or "")
        self.namespace = str(metadata.get("namespace") or "")
        self._old_pod_names = (metadata.get("annotations") or {}).get("workflows.argoproj.io/pod-name-format") == "v1"
        status = manifest.get("status") or {}
        self.message = str(status.get("message") or "")
        self.nodes: dict[str, dict[str, Any]] = status.get("nodes") or _unpacked(status.get("compressedNodes"))

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

    def artifacts(self) -> list[StoredArtifact]:
        """Return where each task that got as far as a container was to put its outputs."""
        found: dict[str, StoredArtifact] = {}
        for node in self.nodes.values():
            if node.get("type") != "Pod" or not _has_template(node, CONTAINER_TEMPLATE):
                continue
            for patch in _parameters(node, "pod-spec-patch"):
                for name, uri in _output_uris(patch):
                    found[uri] = StoredArtifact(self._task_of(node), name, uri)
        return list(found.values())

    def _was_retried(self, node: dict[str, Any]) -> bool:
        """Is this one of several attempts of a Retry node that has succeeded, or gone on to another attempt?"""
        for parent in self.nodes.values():
            if parent.get("type") == "Retry" and node.get("id") in (parent.get("children") or []):
                return parent.get("phase") == "Succeeded" or parent["children"][-1] != node.get("id")
        return False

    def _boundaries(self, node: dict[str, Any]) -> Iterator[dict[str, Any]]:
        seen: set[str] = set()
        while True:
            key = str(node.get("boundaryID") or "")
            if not key or key in seen or key not in self.nodes:
                return
            seen.add(key)
            node = self.nodes[key]
            yield node

    def _task_of(self, node: dict[str, Any]) -> str:
        for outer in (node, *self._boundaries(node)):
            if _has_template(outer, EXECUTOR_TEMPLATE):
                # An attempt of a task that may be tried again has its number behind the name: report(0).
                return str(outer.get("displayName") or "").split("(", maxsplit=1)[0]
        name = str(node.get("displayName") or node.get("id") or "")
        return name.split("(", maxsplit=1)[0].removesuffix("-driver")

    def _iteration_of(self, node: dict[str, Any]) -> int | None:
        for outer in self._boundaries(node):
            for value in _parameters(outer, "iteration-index"):
                if value.isdigit():
                    return int(value)
        return None

    def _pod_name(self, node: dict[str, Any]) -> str:
        identity = str(node.get("id") or "")
        if self._old_pod_names or self.name in ("", node.get("name")):
            return identity
        template = "" if ".inline" in str(node.get("name")) else f"-{node.get('templateName')}"
        return f"{self.name}{template}-{identity.rsplit('-', 1)[-1]}"


def fetch_workflow(connection: Connection, run_id: str) -> Workflow | None:
    """Return the workflow of a run, or None where the API does not hand it out."""
    try:
        run = connection.get(f"/apis/v1beta1/runs/{run_id}")
        manifest = json.loads((run.get("pipeline_runtime") or {}).get("workflow_manifest") or "null")
    except (ServiceError, ValueError, AttributeError):
        return None
    return Workflow(manifest) if isinstance(manifest, dict) else None


def _unpacked(compressed: Any) -> dict[str, dict[str, Any]]:
    """Unpack what Argo writes in place of `nodes` where they would not fit into one Kubernetes object."""
    if not isinstance(compressed, str):
        return {}
    try:
        nodes = json.loads(gzip.decompress(base64.b64decode(compressed)))
    except (ValueError, OSError, EOFError, binascii.Error):
        return {}
    return nodes if isinstance(nodes, dict) else {}


def _has_template(node: dict[str, Any], template: str) -> bool:
    return str(node.get("templateName") or "").endswith(template)


def _parameters(node: dict[str, Any], name: str) -> Iterator[str]:
    for side in ("inputs", "outputs"):
        for parameter in (node.get(side) or {}).get("parameters") or []:
            if parameter.get("name") == name and isinstance(parameter.get("value"), str):
                yield parameter["value"]


def _output_uris(patch: str) -> Iterator[tuple[str, str]]:
    try:
        containers = json.loads(patch).get("containers") or []
        words = [word for container in containers for word in (container.get("command") or [])]
        given = json.loads(words[words.index("--executor_input") + 1])
        outputs = given["outputs"]["artifacts"]
    except (ValueError, KeyError, IndexError, AttributeError, TypeError):
        return
    for name, listed in outputs.items():
        for artifact in listed.get("artifacts") or []:
            if artifact.get("uri"):
                yield name, str(artifact["uri"])
