"""Plays the API of a Kubernetes cluster as far as `headstart check` looks at it; a test changes `objects`."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import yaml
from answering import Answer, AnsweringServer, Asked

from headstart.pipelines.readiness.platform_checks import REQUIRED, USEFUL

NAMESPACE = "/api/v1/namespaces/kubeflow"


def node(name: str, *, gpus: int = 0, cpu: str = "8", memory: str = "32Gi", **more: Any) -> dict[str, Any]:
    allocatable = {"cpu": cpu, "memory": memory, "pods": "110", **({"nvidia.com/gpu": str(gpus)} if gpus else {})}
    return {
        "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name, **more.get("labels", {})}},
        "spec": {"taints": more.get("taints", []), "unschedulable": more.get("unschedulable", False)},
        "status": {
            "allocatable": allocatable,
            "capacity": allocatable,
            "conditions": [{"type": "Ready", "status": more.get("ready", "True")}],
            "images": [{"names": names} for names in more.get("images", [])],
        },
    }


def pod(where: str, requests: dict[str, str], phase: str = "Running") -> dict[str, Any]:
    spec = {"nodeName": where, "containers": [{"name": "main", "resources": {"requests": requests}}]}
    return {"metadata": {"name": "other"}, "spec": spec, "status": {"phase": phase}}


class KubernetesApi:
    """A cluster on which the default placement runs; `denied` are (resource, verb) that the account may not do."""

    def __init__(self) -> None:
        self.objects: dict[str, Any] = {
            NAMESPACE: {"metadata": {"name": "kubeflow", "labels": {}}, "status": {"phase": "Active"}},
            f"{NAMESPACE}/serviceaccounts/pipeline-runner": {"metadata": {"name": "pipeline-runner"}},
            f"{NAMESPACE}/configmaps/kfp-launcher": {"data": {"defaultPipelineRoot": ""}},
            f"{NAMESPACE}/secrets/mlpipeline-minio-artifact": {"data": {"accesskey": "", "secretkey": ""}},
            f"{NAMESPACE}/resourcequotas": [],
            f"{NAMESPACE}/limitranges": [],
            "/api/v1/nodes": [node("small", images=[["registry.example/headstart:0.1.0"]])],
            "/api/v1/pods": [],
        }
        for name in (*REQUIRED, *USEFUL, "seaweedfs"):
            path = f"/apis/apps/v1/namespaces/kubeflow/deployments/{name}"
            self.objects[path] = {"spec": {"replicas": 1}, "status": {"readyReplicas": 1}}
        self.objects[f"{NAMESPACE}/configmaps/workflow-controller-configmap"] = {"data": {}}
        self.denied: set[tuple[str, str]] = set()
        self.forbidden: set[str] = set()
        self.server = AnsweringServer(self.handle)

    def handle(self, asked: Asked) -> Answer | None:
        if asked.headers.get("Authorization") != "Bearer cluster-token":
            return Answer(_status(401, "Unauthorized"), 401)
        if any(asked.path.endswith(ending) for ending in self.forbidden):
            return Answer(_status(403, "Forbidden"), 403)
        if asked.path == "/apis/authorization.k8s.io/v1/subjectaccessreviews":
            wanted = asked.body["spec"]["resourceAttributes"]
            allowed = (wanted["resource"], wanted["verb"]) not in self.denied
            return Answer({**asked.body, "status": {"allowed": allowed}}, 201)
        found = self.objects.get(asked.path)
        if found is None:
            return Answer(_status(404, "NotFound"), 404)
        if isinstance(found, list):
            # Pages of two, so that whoever reads only the first is found out.
            start = int(asked.query.get("continue", "0"))
            more = {"continue": str(start + 2)} if start + 2 < len(found) else {}
            return Answer({"kind": "List", "metadata": more, "items": found[start : start + 2]})
        return Answer(found)

    def kubeconfig(self, folder: Path) -> Path:
        file = folder / "kubeconfig"
        configuration = {
            "apiVersion": "v1", "kind": "Config", "current-context": "test",
            "clusters": [{"name": "c", "cluster": {"server": self.server.host}}],
            "users": [{"name": "u", "user": {"token": "cluster-token"}}],
            "contexts": [{"name": "test", "context": {"cluster": "c", "user": "u"}}],
        }  # fmt: skip
        file.write_text(yaml.safe_dump(configuration))
        return file


def _status(code: int, reason: str) -> dict[str, Any]:
    return {"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": reason, "code": code}


def pull_secret(registry: str) -> dict[str, Any]:
    config = json.dumps({"auths": {f"https://{registry}": {"auth": "dTpw"}}})
    return {"data": {".dockerconfigjson": base64.b64encode(config.encode()).decode()}}
