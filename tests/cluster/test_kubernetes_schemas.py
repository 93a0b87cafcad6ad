"""Every manifest and every task's pod against Kubernetes' own schemas, offline, and against Pod Security."""

import copy
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from pods import pod_of, restricted_violations

from headstart.pipelines.packages import Package, compile_package
from headstart.pipelines.placement import Placement, Resources
from headstart.pipelines.placement_options import read_placement

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"

# What Kubeflow Pipelines 2.17 is tested on by its own project, from the oldest to the newest.
VERSIONS = ["1.33", "1.34", "1.35", "1.36"]

needs_kubectl = pytest.mark.skipif(
    shutil.which("kubectl") is None, reason="kubectl, which renders manifests, is not here"
)


def rendered(folder: str) -> list[dict[str, Any]]:
    done = subprocess.run(
        ["kubectl", "kustomize", str(MANIFESTS / folder)], capture_output=True, text=True, timeout=60, check=False,
        env={"PATH": "/usr/bin:/usr/local/bin:/bin", "HTTPS_PROXY": "http://127.0.0.1:1", "HOME": "/nonexistent"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def full_placement() -> Placement:
    return Placement(
        image="registry.example/headstart:0.1.0", training_image="registry.example/headstart:0.1.0-gpu",
        accelerators=4, image_pull_policy="Always", image_pull_secrets=["registry"],
        google_credentials_secret="google", volume_claim="headstart-cache",
        training=Resources(cpu="2", memory="6Gi", node_selector={"pool": "gpu"}, tolerations=["team=ml"]),
    )  # fmt: skip


@needs_kubectl
@pytest.mark.parametrize("folder", ["headstart", "overlays/kind", "overlays/gke"])
def test_our_manifests_render_without_network_and_are_valid(folder: str) -> None:
    documents = rendered(folder)
    assert {"ServiceAccount", "Role", "RoleBinding", "NetworkPolicy", "ResourceQuota"} <= {d["kind"] for d in documents}
    for document in documents:
        assert document["metadata"]["namespace"] == "kubeflow", document["metadata"]["name"]
        for version in VERSIONS:
            kubernetes_validate.validate(document, version, strict=True)


@needs_kubectl
def test_every_manifest_file_is_reached_by_a_rendering() -> None:
    """A file that no kustomization names would never be applied, and never be checked."""
    named = set()
    for file in MANIFESTS.rglob("kustomization.yaml"):
        content = yaml.safe_load(file.read_text())
        for entry in [*content.get("resources", []), *content.get("components", [])]:
            if not entry.startswith("https:"):
                named.add((file.parent / entry).resolve())
    for folder in ("headstart", "components"):
        for file in (MANIFESTS / folder).rglob("*.yaml"):
            document = yaml.safe_load_all(file.read_text())
            if file.name != "kustomization.yaml" and all(isinstance(d, dict) and "kind" in d for d in document):
                assert file.resolve() in named, f"{file} is in no kustomization"


@needs_kubectl
def test_least_rights_cover_what_is_checked_for_and_nothing_broad() -> None:
    from headstart.pipelines.readiness.namespace_checks import RIGHTS

    [role] = [d for d in rendered("headstart") if d["kind"] == "Role"]
    granted = {
        (g, r, v) for rule in role["rules"] for g in rule["apiGroups"] for r in rule["resources"] for v in rule["verbs"]
    }
    assert set(RIGHTS) == granted
    for rule in role["rules"]:
        assert "*" not in rule["verbs"] + rule["resources"]
        if "secrets" in rule["resources"]:
            assert rule["resourceNames"]


def test_kubeflow_pipelines_is_pinned_and_apart() -> None:
    remote = [file for file in MANIFESTS.rglob("*.yaml") if "https://github.com/kubeflow" in file.read_text()]
    assert [file.parent.name for file in remote] == ["kubeflow-pipelines"]
    [resource] = yaml.safe_load(remote[0].read_text())["resources"]
    assert resource.endswith("?ref=2.17.0")
    assert "KFP_VERSION:-2.17.0" in (MANIFESTS / "kind/tools.sh").read_text()


@pytest.mark.parametrize("name", ["plain", "full"])
@pytest.mark.parametrize("pipeline", ["experiment", "retraining"])
def test_pods_are_valid_and_restricted(pipeline: str, name: str, tmp_path: Path) -> None:
    placement = full_placement() if name == "full" else Placement(image="registry.example/headstart:0.1.0")
    package = compile_package(pipeline, tmp_path / "p.yaml", placement)  # type: ignore[arg-type]
    assert package.executors
    for executor in package.executors:
        pod = pod_of(package, executor)
        for version in VERSIONS:
            kubernetes_validate.validate(pod, version, strict=True)
        assert restricted_violations(pod) == [], executor


def test_faults_in_pods_are_seen(package: Package) -> None:
    """The two checks above can fail: a root user, a lost profile, a key that Kubernetes does not know."""
    pod = pod_of(package, "exec-pretrain")
    for change, word in (
        ({"runAsNonRoot": False}, "runAsNonRoot"), ({"runAsUser": 0}, "runAsUser 0"),
        ({"allowPrivilegeEscalation": True}, "allowPrivilegeEscalation"), ({"capabilities": {}}, "capabilities"),
    ):  # fmt: skip
        worse = copy.deepcopy(pod)
        worse["spec"]["containers"][0]["securityContext"] |= change
        assert any(word in violation for violation in restricted_violations(worse))
    worse = copy.deepcopy(pod)
    worse["spec"]["nodeSelectors"] = {}
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(worse, VERSIONS[0], strict=True)


def test_placement_files_are_read(tmp_path: Path) -> None:
    for file in MANIFESTS.rglob("placement.yaml"):
        placement = read_placement(file, image="registry.example/headstart:0.1.0")
        package = compile_package("experiment", tmp_path / "p.yaml", placement)
        assert package.executors["exec-pretrain"]["resources"]["accelerator"]["resourceCount"] == "1", file
    kind = read_placement(MANIFESTS / "kind/placement.yaml")
    # kind's GPUs exist by name only: asked for, so that scheduling is tested, but not waited for by training.
    assert (kind.accelerators, kind.accelerators_used) == (1, 0)


@pytest.mark.parametrize("script", ["up.sh", "test.sh", "down.sh"])
def test_kind_scripts_name_what_is_missing(script: str, tmp_path: Path) -> None:
    for tool in ("sh", "dirname", "cat"):
        (tmp_path / tool).symlink_to(shutil.which(tool) or "/bin/sh")
    done = subprocess.run(
        ["/bin/sh", str(MANIFESTS / "kind" / script), "headstart:0.1.0"], cwd=ROOT, env={"PATH": str(tmp_path)},
        capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "kind is missing; get it from https://kind.sigs.k8s.io" in done.stderr


def test_kind_configuration_is_one_node_on_a_supported_version() -> None:
    configuration = yaml.safe_load((MANIFESTS / "kind/cluster.yaml").read_text())
    [node] = configuration["nodes"]
    assert node["image"].startswith("kindest/node:v") and node["image"].split(":v")[1].rsplit(".", 1)[0] in VERSIONS
    [mapping] = node["extraPortMappings"]
    service = yaml.safe_load((MANIFESTS / "kind/ui-port.yaml").read_text())
    assert service["spec"]["ports"][0]["nodePort"] == mapping["containerPort"]
    for version in VERSIONS:
        kubernetes_validate.validate(service, version, strict=True)
