"""What the manifests grant and what pods may do: the least, by name, nowhere by wildcard."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2] / "manifests"
DOCUMENTS = [
    pytest.param(document, id=f"{path.relative_to(ROOT)}: {document.get('kind')}")
    for path in sorted(ROOT.rglob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text(encoding="utf-8"))
    if isinstance(document, dict) and "kind" in document
]

WITHOUT_TOKEN = {
    parameter.values[0]["metadata"]["name"]
    for parameter in DOCUMENTS
    if parameter.values[0]["kind"] == "ServiceAccount"
    and parameter.values[0].get("automountServiceAccountToken") is False
}


def pods(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        if "containers" in value:
            yield value
        for inner in value.values():
            yield from pods(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from pods(inner)


def test_there_are_manifests_to_look_at() -> None:
    kinds = [parameter.values[0]["kind"] for parameter in DOCUMENTS]
    assert "Role" in kinds
    assert any(list(pods(parameter.values[0])) for parameter in DOCUMENTS)


@pytest.mark.parametrize("document", DOCUMENTS)
def test_rights(document: dict[str, Any]) -> None:
    assert document["kind"] not in ("ClusterRole", "ClusterRoleBinding"), "rights in one namespace are enough"
    assert document["kind"] != "Secret", "a secret in a manifest is in the repository's history"
    for rule in document.get("rules", []) if document["kind"] == "Role" else []:
        for values in (rule["verbs"], rule["resources"], rule["apiGroups"]):
            assert "*" not in values
        if {"secrets", "configmaps"} & set(rule["resources"]):
            assert rule.get("resourceNames"), "only by name"
            assert rule["verbs"] == ["get"]
        assert not {"delete", "deletecollection", "escalate", "bind", "impersonate"} & set(rule["verbs"])


@pytest.mark.parametrize("document", DOCUMENTS)
def test_pods(document: dict[str, Any]) -> None:
    for pod in pods(document):
        account = pod.get("serviceAccountName")
        assert pod.get("automountServiceAccountToken") is False or account in WITHOUT_TOKEN
        assert not pod.get("hostNetwork") and not pod.get("hostPID") and not pod.get("hostIPC")
        assert not [volume for volume in pod.get("volumes", []) if "hostPath" in volume]
        for container in [*pod["containers"], *pod.get("initContainers", [])]:
            security = {**pod.get("securityContext", {}), **container.get("securityContext", {})}
            assert security["runAsNonRoot"] is True
            assert security["allowPrivilegeEscalation"] is False
            assert security["readOnlyRootFilesystem"] is True
            assert security["capabilities"] == {"drop": ["ALL"]}
            assert security["seccompProfile"]["type"] == "RuntimeDefault"
