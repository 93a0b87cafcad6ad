"""Checks of Kubeflow Pipelines itself: its API and version, what it runs in the cluster, retries, artifacts."""

from __future__ import annotations

from typing import Any

import yaml

from headstart.components.errors import HeadstartError
from headstart.components.preflight.checks import Check
from headstart.components.storage.kubeflow_store import STORE_SECRET
from headstart.pipelines.placement import Placement
from headstart.pipelines.readiness.cluster import Cluster
from headstart.pipelines.submission import runs
from headstart.pipelines.submission.answers import Experiments
from headstart.pipelines.submission.connection import Connection

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
            "whose container exits with an error is not. A process that is killed is started again in its container "
            f"all the same, {placement.restarts} times at most, and `headstart submit` makes the report from what was "
            "finished.",
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


def check_api(connection: Connection, namespace: str) -> list[Check]:
    """Ask the API for its version and for something that only a known user may see."""
    try:
        server = runs.ask_server(connection)
    except HeadstartError as error:
        return [Check("API", "failed", error.message, error.remedy)]
    mode = "several users" if server.multi_user else "one user"
    checks = [Check("API", "passed", f"{connection.host}, for {mode}")]
    if server.too_old:
        checks.append(Check("version", "failed", f"{server.version} cannot collect from loops.",
                            "Upgrade Kubeflow Pipelines to 2.14 or later, best 2.17."))  # fmt: skip
    elif not server.version:
        checks.append(Check("version", "warning", "the server does not say its version.",
                            "See that it is 2.14 or later: older ones refuse to collect from loops."))  # fmt: skip
    else:
        checks.append(Check("version", "passed", f"Kubeflow Pipelines {server.version}"))
    own = namespace if server.multi_user else None
    try:
        connection.get(f"{runs.API}/experiments", Experiments, page_size=1, namespace=own)
        checks.append(Check("access", "passed", "experiments can be listed"))
    except HeadstartError as error:
        checks.append(Check("access", "failed", error.message, error.remedy))
    return checks


WORKLOAD_IDENTITY = "iam.gke.io/gcp-service-account"


def check_storage(
    cluster: Cluster, namespace: str, account: str, pipeline_root: str, placement: Placement
) -> list[Check]:
    """Look at the pipeline root, which is the run's own or else the server's default, and at what opens it."""
    launcher = cluster.get(f"/api/v1/namespaces/{namespace}/configmaps/kfp-launcher") or {}
    data = launcher.get("data") or {}
    root = pipeline_root or data.get("defaultPipelineRoot") or "minio://mlpipeline/v2/artifacts"
    scheme = root.partition("://")[0]
    if scheme == "minio":
        if cluster.get(f"/api/v1/namespaces/{namespace}/secrets/{STORE_SECRET}") is None:
            remedy = "Give --pipeline-root a bucket of your own, or copy the secret from Kubeflow Pipelines."
            return [Check("storage", "failed", f"{root} needs the secret {STORE_SECRET}, it is not there.", remedy)]
        return [
            Check(
                "storage",
                "passed",
                f"{root}, with the secret {STORE_SECRET}; checkpoints too where the account may read it",
            )
        ]
    if scheme != "gs":
        return [Check("storage", "warning", f"{root}: what opens it cannot be told from here.",
                      "The pipeline's first task will try.")]  # fmt: skip
    found = cluster.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}") or {}
    bound = ((found.get("metadata") or {}).get("annotations") or {}).get(WORKLOAD_IDENTITY)
    if bound:
        return [Check("storage", "passed", f"{root}, as {bound} by Workload Identity")]
    if "gs" in str(data.get("providers", "")):
        return [Check("storage", "passed", f"{root}, with the credentials that kfp-launcher names")]
    secret = f"; the secret {placement.google_credentials_secret} opens buckets to our tasks, not to the launcher" if (
        placement.google_credentials_secret) else ""  # fmt: skip
    return [Check("storage", "warning", f"{root}: {account} is not bound to a Google service account{secret}.",
                  f"Annotate it with {WORKLOAD_IDENTITY}, bind it directly, or name credentials in kfp-launcher; "
                  "see docs/gke.md.")]  # fmt: skip
