"""On the way to a cluster: the commands of README.md and docs, and what GitOps would apply, without a cluster."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import pytest
import yaml

from tests.journeys.documented import ROOT, command, run

TEXT: dict[str, Any] = {"type": "string", "minLength": 1}
TAGS = {"type": "object", "additionalProperties": {"type": "string"}}
NAME = {**TEXT, "pattern": r"^[a-z0-9]([a-z0-9.-]*[a-z0-9])?$", "maxLength": 253}


def custom(kind: str, required: list[str], **spec: dict[str, Any]) -> dict[str, Any]:
    """A schema of one of Kubeflow Pipelines' kinds, in which nothing is left that an API server would drop."""
    metadata = {"name": NAME, "namespace": NAME, "labels": TAGS, "annotations": TAGS}
    closed = {"type": "object", "additionalProperties": False}
    return {
        **closed,
        "required": ["apiVersion", "kind", "metadata", "spec"],
        "properties": {
            "apiVersion": {"const": "pipelines.kubeflow.org/v2beta1"},
            "kind": {"const": kind},
            "metadata": {**closed, "required": ["name"], "properties": metadata},
            "spec": {**closed, "required": required, "properties": spec},
        },
    }


# As the CustomResourceDefinitions of Kubeflow Pipelines 2.17 have it; "spec" there admits any fields of a package.
PACKAGE = {"type": "object", "required": ["pipelineInfo", "root", "components", "deploymentSpec", "schemaVersion"]}
SCHEMAS = {
    "Pipeline": custom("Pipeline", [], displayName=TEXT, description=TEXT, tags=TAGS),
    "PipelineVersion": custom(
        "PipelineVersion", ["pipelineSpec"], displayName=TEXT, description=TEXT, tags=TAGS, pipelineName=TEXT,
        versionName=NAME, codeSourceURL=TEXT, pipelineSpecURI=TEXT, pipelineSpec=PACKAGE,
        platformSpec={"type": "object", "required": ["platforms"]},
    ),
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
    objects = list(yaml.safe_load_all(built.stdout))
    ours = {entry["kind"]: entry for entry in objects if entry["kind"] in SCHEMAS}
    assert list(ours) == list(SCHEMAS)
    for kind, entry in ours.items():
        jsonschema.Draft202012Validator(SCHEMAS[kind]).validate(entry)
        assert entry["metadata"]["namespace"] == "team"
    version = ours["PipelineVersion"]["spec"]
    packed = list(yaml.safe_load_all((tmp_path / "experiment.yaml").read_text()))
    assert [version["pipelineSpec"], version["platformSpec"]] == packed
    # What the webhook asks for: the version's pipeline is there, and is the one that was compiled.
    assert version["pipelineName"] == packed[0]["pipelineInfo"]["name"] == ours["Pipeline"]["metadata"]["name"]
    others = [entry for entry in objects if entry["kind"] not in SCHEMAS]
    assert {"ServiceAccount", "Role", "NetworkPolicy"} <= {entry["kind"] for entry in others}
    for entry in others:
        kubernetes_validate.validate(entry, "1.33", strict=True)
