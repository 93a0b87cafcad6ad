"""On the way to a cluster: the commands of README.md and docs, and what GitOps would apply, without a cluster."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tests.journeys.documented import ROOT, command, run

# What the CustomResourceDefinitions of Kubeflow Pipelines 2.17 know of a `spec`; anything else would be dropped.
KNOWN = {
    "Pipeline": {"displayName", "description"},
    "PipelineVersion": {
        "codeSourceURL", "description", "displayName", "pipelineName", "pipelineSpec", "pipelineSpecURI",
        "platformSpec", "tags", "versionName",
    },
}  # fmt: skip


def test_the_package_is_compiled_as_the_readme_says(tmp_path: Path) -> None:
    run(command("README.md", "compile", "experiment"), tmp_path)
    package, _ = yaml.safe_load_all((tmp_path / "experiment.yaml").read_text())
    images = {executor["container"]["image"] for executor in package["deploymentSpec"]["executors"].values()}
    assert images == {"registry.example/headstart:0.1.0"}
    run(command("docs/retraining.md", "compile", "retraining"), tmp_path)
    assert "promote" in (tmp_path / "retraining.yaml").read_text()


def test_the_check_says_that_no_cluster_is_there(tmp_path: Path) -> None:
    said = run(command("README.md", "check"), tmp_path, statuses=(1, 2))
    assert "Traceback" not in said
    assert "kubeconfig" in said or "KF_PIPELINES_ENDPOINT" in said


def test_what_gitops_applies_is_valid(tmp_path: Path) -> None:
    """Kustomize builds it offline; Kubernetes' own schemas hold for it, and KFP's objects name the compiled package."""
    kubectl = shutil.which("kubectl")
    if kubectl is None:
        pytest.skip("kubectl is not on the PATH")
    run(command("README.md", "compile", "experiment"), tmp_path, "--manifest", "pipeline-objects.yaml")
    shutil.copytree(ROOT / "manifests" / "headstart", tmp_path / "base")
    resources = ["base", "pipeline-objects.yaml"]
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump({"namespace": "team", "resources": resources}))
    built = subprocess.run([kubectl, "kustomize", str(tmp_path)], capture_output=True, text=True, check=True)
    objects = {entry["kind"]: entry for entry in yaml.safe_load_all(built.stdout)}
    ours = {kind: objects.pop(kind) for kind in KNOWN}
    for kind, entry in ours.items():
        assert entry["apiVersion"] == "pipelines.kubeflow.org/v2beta1"
        assert set(entry) == {"apiVersion", "kind", "metadata", "spec"}
        assert entry["metadata"]["namespace"] == "team"
        assert re.fullmatch(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?", entry["metadata"]["name"])
        assert entry["spec"].keys() <= KNOWN[kind]
    version, packed = (
        ours["PipelineVersion"]["spec"],
        list(yaml.safe_load_all((tmp_path / "experiment.yaml").read_text())),
    )
    assert [version["pipelineSpec"], version["platformSpec"]] == packed
    # What the webhook asks for: the version's pipeline is there, and is the one that was compiled.
    assert version["pipelineName"] == packed[0]["pipelineInfo"]["name"] == ours["Pipeline"]["metadata"]["name"]
    assert "ServiceAccount" in objects
    for entry in objects.values():
        kubernetes_validate.validate(entry, "1.33", strict=True)
