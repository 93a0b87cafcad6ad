"""Checks of where artifacts go: is the store known, and have pods the credentials for it?"""

from __future__ import annotations

from headstart.components.preflight.checks import Check
from headstart.pipelines.placement import Placement
from headstart.pipelines.readiness.cluster import Cluster

WORKLOAD_IDENTITY = "iam.gke.io/gcp-service-account"
# The secret with the keys of the store that comes with Kubeflow Pipelines (MinIO before 2.15, SeaweedFS since).
STORE_SECRET = "mlpipeline-minio-artifact"


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
        return [Check("storage", "passed", f"{root}, with the secret {STORE_SECRET}; checkpoints need -p checkpoints=")]
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
