"""Checks of the namespace that pods will run in: service account and rights, quota, limits, security, objects."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from headstart.components.preflight.checks import Check
from headstart.components.storage.kubeflow_store import STORE_SECRET
from headstart.pipelines.placement import CREDENTIALS_FILE, IMAGE_USER, Kind, Placement
from headstart.pipelines.readiness.cluster import Cluster, NotAllowedError
from headstart.pipelines.readiness.quantities import limits_of, quantity, readable, requests_of

KINDS: tuple[Kind, ...] = ("training", "data", "report", "preflight")

# What drivers, launchers and Argo's executor do with a pod's service account in Kubeflow Pipelines 2.17.
RIGHTS = (
    ("", "pods", "get"),
    ("", "configmaps", "get"),
    ("", "secrets", "get"),
    ("argoproj.io", "workflows", "get"),
    ("argoproj.io", "workflowtaskresults", "create"),
    ("argoproj.io", "workflowtaskresults", "patch"),
)

# Kubeflow Pipelines gives every driver this much and no more (kubeflow/pipelines #11421).
DRIVER_REQUEST, DRIVER_LIMIT = Decimal(64 * 2**20), Decimal(512 * 2**20)


def check_namespace(cluster: Cluster, namespace: str, placement: Placement) -> list[Check]:
    """Is the namespace there, and does its Pod Security level admit our pods?"""
    found = cluster.get(f"/api/v1/namespaces/{namespace}")
    if found is None:
        return [Check("namespace", "failed", f"there is no namespace {namespace}.",
                      "Give --namespace the one that Kubeflow Pipelines runs your pipelines in.")]  # fmt: skip
    phase = (found.get("status") or {}).get("phase", "Active")
    if phase != "Active":
        return [Check("namespace", "failed", f"{namespace} is {phase}.", "Wait until it is gone, and create it again.")]
    labels = (found.get("metadata") or {}).get("labels") or {}
    level = labels.get("pod-security.kubernetes.io/enforce", "privileged")
    checks = [Check("namespace", "passed", namespace)]
    if level == "restricted" and not placement.run_as_user:
        checks.append(Check("Pod Security", "failed", "restricted, and the placement names no user.",
                            f"Set run_as_user, for example {IMAGE_USER}."))  # fmt: skip
    else:
        checks.append(Check("Pod Security", "passed", f"{level}"))
    return checks


def check_service_account(cluster: Cluster, namespace: str, name: str) -> list[Check]:
    """Is the service account there, and may it do what every pod of Kubeflow Pipelines does?"""
    account = cluster.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/{name}")
    if account is None:
        return [Check("service account", "failed", f"{namespace} has no service account {name}.",
                      "Apply manifests/headstart, or give --service-account another.")]  # fmt: skip
    checks = [Check("service account", "passed", name)]
    denied = []
    try:
        for group, resource, verb in RIGHTS:
            review = {
                "apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview",
                "spec": {
                    "user": f"system:serviceaccount:{namespace}:{name}",
                    "groups": ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"],
                    "resourceAttributes": {
                        "namespace": namespace, "group": group, "resource": resource, "verb": verb,
                        **({"name": "kfp-launcher"} if resource == "configmaps" else {}),
                        **({"name": STORE_SECRET} if resource == "secrets" else {}),
                    },
                },
            }  # fmt: skip
            answer = cluster.post("/apis/authorization.k8s.io/v1/subjectaccessreviews", review)
            if not (answer.get("status") or {}).get("allowed"):
                denied.append(f"{verb} {resource}")
    except NotAllowedError:
        checks.append(Check("rights", "warning", "not allowed to ask what the service account may do.",
                            "See manifests/headstart/role.yaml for what it needs."))  # fmt: skip
        return checks
    if denied:
        checks.append(Check("rights", "failed", f"{name} may not {', '.join(denied)}.",
                            "Bind it to the role in manifests/headstart."))  # fmt: skip
    else:
        checks.append(Check("rights", "passed", f"{name} may do what pods of Kubeflow Pipelines do"))
    return checks


def check_quota(cluster: Cluster, namespace: str, placement: Placement) -> list[Check]:
    """Does what is left of each quota hold one task of each kind, as long as nothing else runs beside it?"""
    checks = []
    for quota in cluster.items(f"/api/v1/namespaces/{namespace}/resourcequotas"):
        name = f"quota {quota['metadata']['name']}"
        status = quota.get("status") or {}
        short = list(_short_of(status.get("hard") or {}, status.get("used") or {}, placement))
        if any(kind == "failed" for kind, _ in short):
            checks.append(Check(name, "failed", " ".join(text for _, text in short),
                                "Raise the quota or ask for less."))  # fmt: skip
        elif short:
            checks.append(Check(name, "warning", " ".join(text for _, text in short),
                                "Tasks will wait until others have ended."))  # fmt: skip
        else:
            checks.append(Check(name, "passed", "leaves enough for one task of each kind"))
    return checks or [Check("quota", "passed", "none")]


def _short_of(hard: dict[str, Any], used: dict[str, Any], placement: Placement) -> Iterator[tuple[str, str]]:
    asked = {
        **{f"requests.{resource}": amount for resource, amount in _largest(placement, requests_of).items()},
        **{f"limits.{resource}": amount for resource, amount in _largest(placement, limits_of).items()},
        # The task's own pod and its driver.
        "pods": Decimal(2),
    }
    for resource, limit in hard.items():
        # A bare cpu or memory in a quota stands for its requests.
        amount = asked.get(f"requests.{resource}" if resource in ("cpu", "memory") else resource)
        if amount is None:
            continue
        most, left = quantity(limit), quantity(limit) - quantity(used.get(resource, 0))
        text = f"{resource}: a task needs {readable(resource, amount)}"
        if amount > most:
            yield "failed", f"{text}, the quota is {readable(resource, most)}."
        elif amount > left:
            yield "warning", f"{text}, {readable(resource, left)} is left."


def _largest(placement: Placement, amounts_of: Callable[[Placement, Kind], dict[str, Decimal]]) -> dict[str, Decimal]:
    largest: dict[str, Decimal] = {}
    for kind in KINDS:
        for resource, amount in amounts_of(placement, kind).items():
            largest[resource] = max(amount, largest.get(resource, Decimal(0)))
    return largest


def check_limit_ranges(cluster: Cluster, namespace: str, placement: Placement) -> list[Check]:
    """Would a LimitRange refuse a container of ours, or the driver that Kubeflow Pipelines puts before each?"""
    problems = []
    for found in cluster.items(f"/api/v1/namespaces/{namespace}/limitranges"):
        for limit in (found.get("spec") or {}).get("limits") or []:
            if limit.get("type") == "Container":
                problems += list(_refused(limit, placement))
    if problems:
        return [Check("LimitRange", "failed", " ".join(dict.fromkeys(problems)),
                      "Change the LimitRange, or the placement's requests and limits.")]  # fmt: skip
    return [Check("LimitRange", "passed", "admits every task")]


def _refused(limit: dict[str, Any], placement: Placement) -> Iterator[str]:
    for kind in KINDS:
        requests, limits = requests_of(placement, kind), limits_of(placement, kind)
        for resource, most in (limit.get("max") or {}).items():
            if resource in limits and limits[resource] > quantity(most):
                yield f"{kind}: {resource} {readable(resource, limits[resource])} is above its max {most}."
        for resource, least in (limit.get("min") or {}).items():
            if resource in requests and requests[resource] < quantity(least):
                yield f"{kind}: {resource} {readable(resource, requests[resource])} is below its min {least}."
        for resource, ratio in (limit.get("maxLimitRequestRatio") or {}).items():
            if resource in requests and limits[resource] / requests[resource] > quantity(ratio):
                yield f"{kind}: {resource} has a limit of more than {ratio} times its request."
    ratio = (limit.get("maxLimitRequestRatio") or {}).get("memory")
    if ratio and quantity(ratio) < DRIVER_LIMIT / DRIVER_REQUEST:
        yield f"the drivers of Kubeflow Pipelines have a memory limit of 8 times their request, it allows {ratio}."


def check_objects(cluster: Cluster, namespace: str, placement: Placement, parallelism: int = 1) -> list[Check]:
    """Are the secrets and the claim there that the placement names?"""
    checks = []
    if name := placement.google_credentials_secret:
        secret = cluster.get(f"/api/v1/namespaces/{namespace}/secrets/{name}")
        if secret is None or CREDENTIALS_FILE not in (secret.get("data") or {}):
            lacks = f"has no secret {name}" if secret is None else f"secret {name} has no key {CREDENTIALS_FILE}"
            remedy = f"kubectl create secret generic {name} --from-file={CREDENTIALS_FILE}=FILE"
            checks.append(Check("credentials", "failed", f"{namespace}: {lacks}.", remedy))
        else:
            checks.append(Check("credentials", "passed", f"secret {name}"))
    if name := placement.volume_claim:
        claim = cluster.get(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{name}")
        modes = ((claim or {}).get("spec") or {}).get("accessModes") or []
        if claim is None:
            checks.append(Check("volume", "failed", f"{namespace} has no claim {name}.", "Create it first."))
        elif parallelism > 1 and "ReadWriteMany" not in modes:
            checks.append(Check("volume", "warning", f"{name} is {', '.join(modes)}; runs on other nodes would wait.",
                                "Use --parallelism 1 or a claim of ReadWriteMany."))  # fmt: skip
        else:
            checks.append(Check("volume", "passed", f"{name}, {', '.join(modes)}"))
    return checks


def registries_with_secret(cluster: Cluster, namespace: str, account: str, placement: Placement) -> set[str]:
    """Return the registries that the pull secrets of the placement and of the service account are for.

    Raises:
        NotAllowedError: we may not read secrets.
    """
    found = cluster.get(f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}") or {}
    names = {*placement.image_pull_secrets, *(entry["name"] for entry in found.get("imagePullSecrets") or [])}
    registries: set[str] = set()
    for name in names:
        secret = cluster.get(f"/api/v1/namespaces/{namespace}/secrets/{name}") or {}
        try:
            config = json.loads(base64.b64decode((secret.get("data") or {}).get(".dockerconfigjson", "")))
            registries |= {key.removeprefix("https://").split("/")[0] for key in config.get("auths") or {}}
        except ValueError:
            continue
    return registries
