"""`headstart check`: what Kubeflow Pipelines runs itself, and what its controller makes of retries."""

from pathlib import Path

import pytest
from kubernetes_api import NAMESPACE, KubernetesApi

from headstart.pipelines.placement import Placement
from headstart.pipelines.readiness.cluster import Cluster
from headstart.pipelines.readiness.platform_checks import REQUIRED, check_platform, check_retries

STOCK = """
spec:
  templateDefaults:
    retryStrategy: {limit: "2", retryPolicy: POLICY}
"""


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):  # type: ignore[no-untyped-def]
    api = KubernetesApi()
    with api.server:
        place = str(api.kubeconfig(tmp_path))
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", place)
        yield api, Cluster.from_kubeconfig()


@pytest.mark.parametrize("name", sorted(REQUIRED))
def test_every_deployment_that_a_run_needs_is_looked_at(name: str, played) -> None:  # type: ignore[no-untyped-def]
    api, cluster = played
    assert [check.outcome for check in check_platform(cluster, "kubeflow")] == ["passed"]
    api.objects[f"/apis/apps/v1/namespaces/kubeflow/deployments/{name}"] = {"spec": {"replicas": 0}, "status": {}}
    [check] = check_platform(cluster, "kubeflow")
    assert check.outcome == "failed" and name in check.name


@pytest.mark.parametrize(
    ("policy", "outcome", "word"),
    [("OnError", "warning", "exits with an error is not"), ("Always", "warning", "loops"), ("OnFailure", "passed", "")],
)
def test_the_controllers_defaults_say_what_retries_mean(policy: str, outcome: str, word: str, played) -> None:  # type: ignore[no-untyped-def]
    api, cluster = played
    configuration = f"{NAMESPACE}/configmaps/workflow-controller-configmap"
    text = STOCK.replace("POLICY", policy)
    indented = text.replace("\n", "\n  ")
    for data in ({"workflowDefaults": text}, {"config": f"workflowDefaults:\n{indented}"}):
        api.objects[configuration] = {"data": data}
        [check] = check_retries(cluster, "kubeflow", Placement())
        assert check.outcome == outcome and word in check.found
    api.objects[configuration] = {"data": {}}
    [check] = check_retries(cluster, "kubeflow", Placement())
    assert check.outcome == "passed"
