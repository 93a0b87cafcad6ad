"""Checks of the nodes: does one match the placement, has it free resources and a free accelerator, has it the image?"""

from __future__ import annotations

from collections import defaultdict
from decimal import Decimal
from typing import Any

from headstart.components.preflight.checks import Check
from headstart.pipelines.placement import Kind, Placement, Toleration, registry_of
from headstart.pipelines.readiness.cluster import Cluster, NotAllowedError
from headstart.pipelines.readiness.quantities import quantity, readable, requests_of

Amounts = dict[str, Decimal]


def check_nodes(cluster: Cluster, placement: Placement) -> list[Check]:
    """Find for each kind of task a node that it could run on, now and when nothing else ran there."""
    try:
        nodes = [node for node in cluster.items("/api/v1/nodes") if _is_ready(node)]
        used = _used(cluster)
    except NotAllowedError:
        return [Check("nodes", "warning", "not allowed to look at nodes and pods of the cluster.",
                      "Ask someone who may whether they suffice.")]  # fmt: skip
    kinds: tuple[Kind, ...] = ("training", "data", "report")
    return [_check_kind(nodes, used, placement, kind) for kind in kinds]


def _check_kind(nodes: list[dict[str, Any]], used: dict[str, Amounts], placement: Placement, kind: Kind) -> Check:
    name = f"nodes for {kind}"
    selector: dict[str, str] = getattr(placement, kind).node_selector
    tolerations = placement.tolerations_for(kind)
    labels = [(node.get("metadata") or {}).get("labels") or {} for node in nodes]
    selected = [node for node, own in zip(nodes, labels, strict=True) if selector.items() <= own.items()]
    if not selected:
        wanted = ", ".join(f"{key}={value}" for key, value in selector.items())
        return Check(name, "failed", f"no ready node of {len(nodes)} has {wanted}." if nodes else "no node is ready.",
                     f"Change {_said(kind, 'node_selector')}, or let the cluster grow; a node pool at zero shows none."
                     if nodes else "Let the cluster grow; a node pool at zero shows no node.")  # fmt: skip
    open_to_us = [node for node in selected if not _untolerated(node, tolerations)]
    if not open_to_us:
        taints = sorted({taint for node in selected for taint in _untolerated(node, tolerations)})
        return Check(name, "failed", f"every node that fits has a taint that is not tolerated: {', '.join(taints)}.",
                     f"Give {_said(kind, 'tolerations')} {taints[0]}.")  # fmt: skip
    asked = requests_of(placement, kind)
    fitting = [node for node in open_to_us if _fits(asked, _allocatable(node))]
    if not fitting:
        return Check(name, "failed", f"no node is large enough: {_shortage(asked, open_to_us)}.",
                     "Ask for less, or for larger nodes.")  # fmt: skip
    free = [node for node in fitting if _fits(asked, _left(node, used))]
    room = ", ".join(f"{readable(resource, amount)} {resource}" for resource, amount in asked.items()) or "nothing"
    if not free:
        return Check(name, "warning", f"{len(fitting)} could hold a task ({room}), none has that free now.",
                     "Tasks will wait until other pods have ended.")  # fmt: skip
    return Check(name, "passed", f"{len(free)} of {len(nodes)} can take a task now ({room})")


def _said(kind: Kind, field: str) -> str:
    """Name what sets a field of a placement for one kind of task: options are about those that train alone."""
    options = {"node_selector": "--node-selector", "tolerations": "--toleration"}
    return options[field] if kind == "training" else f"{field} of {kind} in the file of --placement"


def _is_ready(node: dict[str, Any]) -> bool:
    if (node.get("spec") or {}).get("unschedulable"):
        return False
    conditions = (node.get("status") or {}).get("conditions") or []
    return any(entry.get("type") == "Ready" and entry.get("status") == "True" for entry in conditions)


def _untolerated(node: dict[str, Any], tolerations: list[Toleration]) -> list[str]:
    """Return the taints that keep a pod away, as `kubectl taint` writes them."""
    return [
        f"{taint['key']}{'=' + taint['value'] if taint.get('value') else ''}:{taint['effect']}"
        for taint in (node.get("spec") or {}).get("taints") or []
        if taint.get("effect") in ("NoSchedule", "NoExecute") and not any(tolerates(t, taint) for t in tolerations)
    ]


def tolerates(toleration: Toleration, taint: dict[str, Any]) -> bool:
    """Say whether a toleration puts up with a taint, by Kubernetes' rules."""
    if toleration.effect and toleration.effect != taint.get("effect"):
        return False
    if toleration.operator == "Exists":
        return not toleration.key or toleration.key == taint.get("key")
    return toleration.key == taint.get("key") and toleration.value == (taint.get("value") or "")


def _allocatable(node: dict[str, Any]) -> Amounts:
    return {name: quantity(text) for name, text in ((node.get("status") or {}).get("allocatable") or {}).items()}


def _left(node: dict[str, Any], used: dict[str, Amounts]) -> Amounts:
    taken = used[node["metadata"]["name"]]
    return {name: amount - taken.get(name, Decimal(0)) for name, amount in _allocatable(node).items()}


def _fits(asked: Amounts, offered: Amounts) -> bool:
    return all(offered.get(resource, Decimal(0)) >= amount for resource, amount in asked.items())


def _shortage(asked: Amounts, nodes: list[dict[str, Any]]) -> str:
    """Name the resources of which even the best node has too little."""
    short = []
    for resource, amount in asked.items():
        best = max(_allocatable(node).get(resource, Decimal(0)) for node in nodes)
        if best < amount:
            short.append(f"{readable(resource, amount)} {resource} asked, {readable(resource, best)} at most")
    return "; ".join(short) or "no single node has enough of everything at once"


def _used(cluster: Cluster) -> dict[str, Amounts]:
    """Return what the pods on each node request. An init container counts where it asks for more than the rest."""
    used: dict[str, Amounts] = defaultdict(lambda: defaultdict(Decimal))
    for pod in cluster.items("/api/v1/pods"):
        spec, status = pod.get("spec") or {}, pod.get("status") or {}
        if not spec.get("nodeName") or status.get("phase") in ("Succeeded", "Failed"):
            continue
        total: Amounts = defaultdict(Decimal)
        for container in spec.get("containers") or []:
            for resource, amount in _container_requests(container).items():
                total[resource] += amount
        for container in spec.get("initContainers") or []:
            for resource, amount in _container_requests(container).items():
                total[resource] = max(total[resource], amount)
        for resource, amount in total.items():
            used[spec["nodeName"]][resource] += amount
    return used


def _container_requests(container: dict[str, Any]) -> Amounts:
    requests = (container.get("resources") or {}).get("requests") or {}
    return {resource: quantity(text) for resource, text in requests.items()}


def check_images(cluster: Cluster, placement: Placement, registries: set[str] | None) -> list[Check]:
    """Say as far as can be told whether each image can be had: it is on a node, or a secret opens its registry.

    Args:
        cluster: the cluster.
        placement: names the images.
        registries: hosts that a pull secret is for; None: we may not read secrets.
    """
    try:
        present = {
            _full(name)
            for node in cluster.items("/api/v1/nodes")
            for image in (node.get("status") or {}).get("images") or []
            for name in image.get("names") or []
        }
    except NotAllowedError:
        present = set()
    return [
        _check_image(image, present, registries)
        for image in dict.fromkeys((placement.image, placement.image_for("training")))
    ]


def _check_image(image: str, present: set[str], registries: set[str] | None) -> Check:
    name = f"image {image}"
    if _full(image) in present:
        return Check(name, "passed", "on a node already")
    registry = registry_of(image)
    if registry is None:
        return Check(name, "failed", "on no node, and its name has no registry to pull it from.",
                     "Push it (`make push REGISTRY=…`) or load it into kind (`kind load docker-image`).")  # fmt: skip
    if registries and registry in registries:
        return Check(name, "passed", f"a pull secret opens {registry}")
    unknown = "secrets are not for us to read" if registries is None else f"no pull secret is for {registry}"
    return Check(name, "warning", f"on no node yet; {unknown}.",
                 "That is right where the image is public or the nodes may pull it.")  # fmt: skip


def _full(image: str) -> str:
    """Return the name that a node lists an image under: without a registry it is Docker's."""
    if registry_of(image) is not None:
        return image
    return f"docker.io/{image}" if "/" in image else f"docker.io/library/{image}"
