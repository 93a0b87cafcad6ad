"""`headstart check` against servers that play both APIs: a healthy cluster, then one fault at a time."""

from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from kubernetes_api import NAMESPACE, KubernetesApi, node, pod, pull_secret
from pipelines_api import PipelinesApi

from headstart.pipelines.placement import Toleration, registry_of
from headstart.pipelines.readiness.node_checks import tolerates
from headstart.pipelines.readiness.quantities import quantity
from tests.json_results import read_result

Checked = Callable[..., tuple[int, str]]
IMAGE = "registry.example/headstart:0.1.0"
GPU_TAINT = {"key": "nvidia.com/gpu", "value": "present", "effect": "NoSchedule"}


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubernetesApi]:
    played = KubernetesApi()
    with played.server:
        # kubernetes reads KUBECONFIG when it is imported, which another test may have done.
        file = str(played.kubeconfig(tmp_path))
        monkeypatch.setattr("kubernetes.config.kube_config.KUBE_CONFIG_DEFAULT_LOCATION", file)
        yield played


@pytest.fixture
def check(command: Callable[..., Result], api: PipelinesApi, cluster: KubernetesApi) -> Checked:
    def run(*options: str, image: str = IMAGE) -> tuple[int, str]:
        result = command("check", "--host", api.server.host, "--image", image, *options)
        return result.exit_code, result.output

    return run


def test_nothing_stands_in_the_way(check: Checked, api: PipelinesApi, cluster: KubernetesApi) -> None:
    status, text = check()
    assert status == 0, text
    assert "Nothing was found that would stop a run." in text
    assert "✗" not in text and "! " not in text
    for asked in api.server.asked:
        assert asked.method == "GET"
    for asked in cluster.server.asked:
        assert asked.method == "GET" or asked.path.endswith("subjectaccessreviews"), "check must change nothing"


@pytest.mark.parametrize(
    ("version", "status", "word"),
    [("2.13.1", 1, "cannot collect"), ("unknown", 0, "does not say its version"), ("2.17.1", 0, "Pipelines 2.17.1")],
)
def test_version(check: Checked, api: PipelinesApi, version: str, status: int, word: str) -> None:
    api.version = version
    found, text = check()
    assert found == status and word in text


def test_api_that_is_away_does_not_hide_the_cluster(command: Callable[..., Result], cluster: KubernetesApi) -> None:
    result = command("check", "--host", "http://127.0.0.1:9", "--image", IMAGE)
    assert result.exit_code == 1
    assert "does not answer" in result.output and "nodes for training" in result.output


def test_expired_token_of_the_api(check: Checked, api: PipelinesApi) -> None:
    api.token = "another"
    status, text = check()
    assert status == 1 and "HTTP 401" in text


def change(path: str, value: Any) -> Callable[[KubernetesApi], None]:
    return lambda cluster: cluster.objects.__setitem__(path, value)


def drop(path: str) -> Callable[[KubernetesApi], None]:
    return lambda cluster: cluster.objects.pop(path)


def quota(hard: dict[str, str], used: dict[str, str]) -> list[dict[str, Any]]:
    return [{"metadata": {"name": "team"}, "status": {"hard": hard, "used": used}}]


def limit_range(**limits: Any) -> list[dict[str, Any]]:
    return [{"metadata": {"name": "defaults"}, "spec": {"limits": [{"type": "Container", **limits}]}}]


FAULTS: list[tuple[str, Callable[[KubernetesApi], None], list[str], int, str]] = [
    ("no namespace", drop(NAMESPACE), [], 1, "there is no namespace kubeflow"),
    ("namespace ends", change(NAMESPACE, {"metadata": {}, "status": {"phase": "Terminating"}}), [], 1, "Terminating"),
    ("no account", drop(f"{NAMESPACE}/serviceaccounts/pipeline-runner"), [], 1, "has no service account"),
    ("no right", lambda c: c.denied.add(("workflowtaskresults", "create")), [], 1, "may not create workflowtask"),
    ("rights unknown", lambda c: c.forbidden.add("subjectaccessreviews"), [], 0, "not allowed to ask"),
    ("no gpu", lambda c: None, ["--accelerators", "1"], 1, "1 nvidia.com/gpu asked, 0 at most"),
    ("gpu tainted by another key",
     change("/api/v1/nodes", [node("gpu", gpus=2, taints=[{"key": "team", "value": "ml", "effect": "NoSchedule"}])]),
     ["--accelerators", "1"], 1, "team=ml:NoSchedule"),
    ("every node tainted",
     change("/api/v1/nodes", [node("a", taints=[{"key": "team", "value": "ml", "effect": "NoSchedule"}])]),
     ["--toleration", "team=ml"], 1, "Give tolerations of data in the file of --placement"),
    ("gpu busy", lambda c: c.objects.update({
        "/api/v1/nodes": [node("a"), node("b"), node("gpu", gpus=1, taints=[GPU_TAINT])],
        "/api/v1/pods": [pod("a", {}), pod("b", {}), pod("gpu", {"nvidia.com/gpu": "1"})]}),
     ["--accelerators", "1"], 0, "none has that free now"),
    ("gpu free once more", lambda c: c.objects.update({
        "/api/v1/nodes": [node("a"), node("b"), node("gpu", gpus=1, taints=[GPU_TAINT])],
        "/api/v1/pods": [pod("gpu", {"nvidia.com/gpu": "1"}, "Succeeded")]}),
     ["--accelerators", "1"], 0, "1 of 3 can take a task now"),
    ("no node of that kind", lambda c: None, ["--node-selector", "pool=gpu"], 1, "has pool=gpu"),
    ("node not ready", change("/api/v1/nodes", [node("a", ready="Unknown"), node("b", unschedulable=True)]), [], 1,
     "no node is ready"),
    ("too little memory", lambda c: None, ["--memory", "64Gi"], 1, "64.0 GiB memory asked, 32.0 GiB at most"),
    ("nodes unknown", lambda c: c.forbidden.add("/nodes"), [], 0, "not allowed to look at nodes"),
    ("quota too small", change(f"{NAMESPACE}/resourcequotas", quota({"requests.memory": "4Gi"}, {})), [], 1,
     "the quota is 4.0 GiB"),
    ("quota used up", change(f"{NAMESPACE}/resourcequotas", quota({"limits.cpu": "10"}, {"limits.cpu": "9"})), [], 0,
     "1 is left"),
    ("quota of gpus", change(f"{NAMESPACE}/resourcequotas", quota({"requests.nvidia.com/gpu": "0"}, {})),
     ["--accelerators", "1"], 1, "the quota is 0"),
    ("limit below", change(f"{NAMESPACE}/limitranges", limit_range(max={"memory": "2Gi"})), [], 1, "above its max 2Gi"),
    ("ratio", change(f"{NAMESPACE}/limitranges", limit_range(maxLimitRequestRatio={"memory": "4"})), [], 1,
     "drivers of Kubeflow Pipelines"),
    ("no credentials", lambda c: None, ["--google-credentials-secret", "google"], 1, "has no secret google"),
    ("credentials without the key", change(f"{NAMESPACE}/secrets/google", {"data": {"other.json": ""}}),
     ["--google-credentials-secret", "google"], 1, "has no key key.json"),
    ("no claim", lambda c: None, ["--volume-claim", "cache"], 1, "has no claim cache"),
    ("claim on one node", change(f"{NAMESPACE}/persistentvolumeclaims/cache",
                                 {"spec": {"accessModes": ["ReadWriteOnce"]}}),
     ["--volume-claim", "cache", "--parallelism", "2"], 0, "runs on other nodes would wait"),
    ("no store secret", drop(f"{NAMESPACE}/secrets/mlpipeline-minio-artifact"), [], 1, "needs the secret"),
    ("bucket without identity", lambda c: None, ["--pipeline-root", "gs://bucket/root"], 0, "not bound to a Google"),
]  # fmt: skip


@pytest.mark.parametrize(("prepare", "options", "status", "word"), [f[1:] for f in FAULTS], ids=[f[0] for f in FAULTS])
def test_one_fault_at_a_time(
    check: Checked,
    cluster: KubernetesApi,
    prepare: Callable[[KubernetesApi], None],
    options: list[str],
    status: int,
    word: str,
) -> None:
    prepare(cluster)
    found, text = check(*options)
    assert word in text, text
    assert found == status, text


def test_restricted_namespace_wants_a_user(check: Checked, cluster: KubernetesApi, tmp_path: Path) -> None:
    cluster.objects[NAMESPACE]["metadata"]["labels"]["pod-security.kubernetes.io/enforce"] = "restricted"
    assert check()[0] == 0
    (tmp_path / "p.yaml").write_text("run_as_user: 0\n")
    status, text = check("--placement", str(tmp_path / "p.yaml"))
    assert status == 1 and "names no user" in text


def test_workload_identity_opens_buckets(check: Checked, cluster: KubernetesApi) -> None:
    account = cluster.objects[f"{NAMESPACE}/serviceaccounts/pipeline-runner"]
    account["metadata"]["annotations"] = {"iam.gke.io/gcp-service-account": "runner@p.iam.gserviceaccount.com"}
    status, text = check("--pipeline-root", "gs://bucket/root")
    assert status == 0 and "runner@p.iam.gserviceaccount.com by Workload Identity" in text


@pytest.mark.parametrize(
    ("image", "secret", "status", "word"),
    [
        (IMAGE, "", 0, "on a node already"),
        ("headstart:9", "", 1, "has no registry"),
        ("registry.example/headstart:9", "", 0, "no pull secret is for registry.example"),
        ("registry.example/headstart:9", "registry.example", 0, "a pull secret opens registry.example"),
        ("registry.example/headstart:9", "other.example", 0, "no pull secret is for registry.example"),
    ],
)
def test_images(check: Checked, cluster: KubernetesApi, image: str, secret: str, status: int, word: str) -> None:
    if secret:
        cluster.objects[f"{NAMESPACE}/secrets/registry"] = pull_secret(secret)
    options = ("--image-pull-secret", "registry") if secret else ()
    found, text = check(*options, image=image)
    assert word in text and found == status, text


@pytest.mark.parametrize(
    ("text", "number"),
    [("2", "2"), ("500m", "0.5"), ("1.5", "1.5"), ("1Ki", "1024"), ("6Gi", "6442450944"), ("5k", "5000"),
     ("1e3", "1000"), ("128974848", "128974848"), ("129M", "129000000"), ("0", "0")],
)  # fmt: skip
def test_quantities(text: str, number: str) -> None:
    assert quantity(text) == Decimal(number)


@pytest.mark.parametrize("text", ["", "Gi", "1 Gi", "1gi", "one", "1.2.3"])
def test_what_is_no_quantity(text: str) -> None:
    with pytest.raises((ValueError, ArithmeticError)):
        quantity(text)


@pytest.mark.parametrize(
    ("toleration", "taint", "tolerated"),
    [
        ("gpu", {"key": "gpu", "effect": "NoSchedule"}, True),
        ("gpu:NoExecute", {"key": "gpu", "effect": "NoSchedule"}, False),
        ("gpu=a", {"key": "gpu", "value": "a", "effect": "NoSchedule"}, True),
        ("gpu=a", {"key": "gpu", "value": "b", "effect": "NoSchedule"}, False),
        ("gpu=", {"key": "gpu", "effect": "NoSchedule"}, True),
        ("cpu", {"key": "gpu", "effect": "NoSchedule"}, False),
    ],
)
def test_tolerations_follow_kubernetes_rules(toleration: str, taint: dict[str, Any], tolerated: bool) -> None:
    assert tolerates(Toleration.parse(toleration), taint) is tolerated


@pytest.mark.parametrize(
    ("image", "registry"),
    [("headstart:1", None), ("team/headstart:1", None), ("localhost/h:1", "localhost"), ("host:5000/h:1", "host:5000"),
     ("europe-docker.pkg.dev/p/r/h:1", "europe-docker.pkg.dev")],
)  # fmt: skip
def test_registries(image: str, registry: str | None) -> None:
    assert registry_of(image) == registry


def test_json_says_the_same(
    check: Checked, cluster: KubernetesApi, command: Callable[..., Result], api: PipelinesApi
) -> None:
    result = command("check", "--host", api.server.host, "--image", IMAGE, "--json")
    found = read_result("check", result.stdout)
    assert result.exit_code == 0 and found["ready"]
    assert {line["outcome"] for line in found["checks"]} == {"passed"}
    result = command("check", "--host", api.server.host, "--image", IMAGE, "--namespace", "absent", "--json")
    found = read_result("check", result.stdout)
    assert result.exit_code == 1 and not found["ready"]
    assert [line for line in found["checks"] if line["outcome"] == "failed" and line["remedy"]]
