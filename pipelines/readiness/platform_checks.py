"""Checks of what Kubeflow Pipelines itself runs in the cluster: is it up, and what does it make of our retries?"""

from __future__ import annotations

from typing import Any

import yaml

from headstart.components.preflight.checks import Check
from headstart.pipelines.placement import Placement
from headstart.pipelines.readiness.cluster import Cluster

# Deployment, and what stops without it. Object stores go by one of several names, or are outside.
REQUIRED = {
    "ml-pipeline": "the API",
    "workflow-controller": "no task would start",
    "ml-pipeline-persistenceagent": "runs would stay as they were when submitted",
    "metadata-grpc-deployment": "no driver could write down what a task made",
}
USEFUL = {
    "ml-pipeline-ui": "reports could not be fetched through it",
    "ml-pipeline-scheduledworkflow": "schedules would start nothing",
}
STORES = ("seaweedfs", "minio")
CONTROLLER = "workflow-controller-configmap"


def check_platform(cluster: Cluster, namespace: str) -> list[Check]:
    """Is every deployment ready that a run needs? They are looked for in the namespace, else in kubeflow."""
    checks: list[Check] = []
    home = namespace
    if cluster.get(_deployment(namespace, "ml-pipeline")) is None and namespace != "kubeflow":
        home = "kubeflow"
    for outcome, names in (("failed", REQUIRED), ("warning", USEFUL)):
        for name, why in names.items():
            checks += _check(cluster.get(_deployment(home, name)), f"deployment {name}", outcome, why)
    for name in STORES:
        found = cluster.get(_deployment(home, name))
        if found is not None:
            checks += _check(found, f"deployment {name}", "failed", "artifacts could not be written")
    missing = [check for check in checks if check.outcome != "passed"]
    return missing or [Check("platform", "passed", f"what Kubeflow Pipelines runs in {home} is ready")]


def _deployment(namespace: str, name: str) -> str:
    return f"/apis/apps/v1/namespaces/{namespace}/deployments/{name}"


def _check(found: dict[str, Any] | None, name: str, outcome: Any, why: str) -> list[Check]:
    remedy = "See `kubectl get deployments` and `kubectl describe` for why."
    if found is None:
        return [Check(name, "warning", f"is not there under this name; without it {why}.", remedy)]
    ready = (found.get("status") or {}).get("readyReplicas") or 0
    wanted = (found.get("spec") or {}).get("replicas", 1)
    if not ready:
        return [Check(name, outcome, f"{ready} of {wanted} pods are ready; without it {why}.", remedy)]
    return [Check(name, "passed", f"{ready} of {wanted}")]


def check_retries(cluster: Cluster, namespace: str, placement: Placement) -> list[Check]:
    """Say what `retries` of a placement will mean under the defaults of this workflow controller.

    Argo merges its `templateDefaults` into our templates, which name no policy: kfp cannot write one.
    """
    name = "retries"
    if not placement.retries:
        return [Check(name, "passed", "none asked for")]
    found = cluster.get(f"/api/v1/namespaces/{namespace}/configmaps/{CONTROLLER}")
    if found is None:
        found = cluster.get(f"/api/v1/namespaces/kubeflow/configmaps/{CONTROLLER}") or {}
    policy = retry_policy(found.get("data") or {})
    times = f"up to {placement.retries} times"
    if policy in ("", "OnFailure"):
        return [Check(name, "passed", f"a container that fails is started again {times}")]
    if policy == "Always":
        return [Check(name, "warning", f"any failure is tried again {times}, loops and sub-pipelines too.",
                      "Remove templateDefaults.retryStrategy from the controller's ConfigMap.")]  # fmt: skip
    return [
        Check(
            name, "warning",
            f"only pods that are deleted or evicted are started again ({CONTROLLER} has retryPolicy {policy}); a task "
            "whose container exits with an error is not. A training process that is killed is started again by its "
            "task all the same, and `headstart submit` makes the report from what was finished.",
            "An administrator may remove templateDefaults.retryStrategy from that ConfigMap.",
        )
    ]  # fmt: skip


def retry_policy(data: dict[str, Any]) -> str:
    """Return the retry policy that the controller's ConfigMap gives to templates, or an empty text for none."""
    for text in (data.get("workflowDefaults"), data.get("config")):
        try:
            defaults = yaml.safe_load(text) if isinstance(text, str) else None
        except (yaml.YAMLError, RecursionError):
            continue
        if isinstance(defaults, dict):
            defaults = defaults.get("workflowDefaults", defaults)
        for part in ("spec", "templateDefaults", "retryStrategy", "retryPolicy"):
            defaults = defaults.get(part) if isinstance(defaults, dict) else None
        if isinstance(defaults, str):
            return defaults
    return ""
