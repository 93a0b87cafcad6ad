"""What Kubeflow Pipelines 2.17.0 makes of a package: the pod of each task.

The cluster's backend does this in Go: backend/src/v2/compiler/argocompiler/container.go lays down the same frame for
every task, backend/src/v2/driver/driver.go (initPodSpecPatch) and driver/k8s.go (extendPodSpecPatch) put in what the
package says. The same mapping here, as far as our packages use it; a key that it does not know is an error, so that
nothing of a placement goes unchecked.
"""

from __future__ import annotations

from typing import Any

from headstart.pipelines.packages import Package

RESTRICTED = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "seccompProfile": {"type": "RuntimeDefault"},
}
SCRATCH = {"gcs": "/gcs", "s3": "/s3", "minio": "/minio", "dot-local": "/.local", "dot-cache": "/.cache",
           "dot-config": "/.config"}  # fmt: skip
KNOWN = {
    "activeDeadlineSeconds", "emptyDirMounts", "imagePullPolicy", "imagePullSecret", "nodeSelector", "podMetadata",
    "pvcMount", "secretAsVolume", "securityContext", "tolerations",
}  # fmt: skip


def pod_of(package: Package, executor: str) -> dict[str, Any]:
    """Return the pod that runs one executor of a package."""
    container, kubernetes = package.executors[executor], package.platform.get(executor, {})
    unknown = set(kubernetes) - KNOWN
    assert not unknown, f"{executor}: this mapping does not know {unknown}"
    volumes: list[dict[str, Any]] = [{"name": "kfp-launcher", "emptyDir": {}}]
    mounts: list[dict[str, Any]] = [{"name": "kfp-launcher", "mountPath": "/kfp-launcher"}]
    for name, path in SCRATCH.items():
        volumes.append({"name": f"{name}-scratch", "emptyDir": {}})
        mounts.append({"name": f"{name}-scratch", "mountPath": path})
    for each in kubernetes.get("pvcMount", []):
        volumes.append({"name": each["constant"], "persistentVolumeClaim": {"claimName": each["constant"]}})
        mounts.append({"name": each["constant"], "mountPath": each["mountPath"]})
    for each in kubernetes.get("secretAsVolume", []):
        secret = {"secretName": each["secretName"], "optional": each["optional"]}
        volumes.append({"name": each["secretName"], "secret": secret})
        mounts.append({"name": each["secretName"], "mountPath": each["mountPath"]})
    for each in kubernetes.get("emptyDirMounts", []):
        kind = {"medium": each["medium"], "sizeLimit": each["sizeLimit"]}
        volumes.append({"name": each["volumeName"], "emptyDir": kind})
        mounts.append({"name": each["volumeName"], "mountPath": each["mountPath"]})
    security = kubernetes.get("securityContext", {})
    main: dict[str, Any] = {
        "name": "main",
        "image": container["image"],
        "command": ["/kfp-launcher/launch", "--executor_input", "{}", "--"],
        "args": [*container["command"], *container["args"]],
        "env": [
            {"name": "KFP_POD_NAME", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
            {"name": "KFP_POD_UID", "valueFrom": {"fieldRef": {"fieldPath": "metadata.uid"}}},
            *container.get("env", []),
        ],
        "resources": _resources(container.get("resources", {})),
        "volumeMounts": mounts,
        "securityContext": {
            **RESTRICTED,
            **{key: int(value) for key, value in security.items() if key in ("runAsUser", "runAsGroup")},
            **({"runAsNonRoot": security["runAsNonRoot"]} if "runAsNonRoot" in security else {}),
        },
    }
    if "imagePullPolicy" in kubernetes:
        main["imagePullPolicy"] = kubernetes["imagePullPolicy"]
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "securityContext": {"seccompProfile": {"type": "RuntimeDefault"}},
        "initContainers": [
            {
                "name": "kfp-launcher",
                "image": "ghcr.io/kubeflow/kfp-launcher:2.17.0",
                "command": ["launcher-v2"],
                "args": ["--copy", "/kfp-launcher/launch"],
                "resources": {"limits": {"cpu": "500m", "memory": "256Mi"}, "requests": {"cpu": "100m"}},
                "volumeMounts": [{"name": "kfp-launcher", "mountPath": "/kfp-launcher"}],
                "securityContext": {**RESTRICTED, "runAsNonRoot": True},
            }
        ],
        "containers": [main],
        "volumes": volumes,
        "tolerations": kubernetes.get("tolerations", []),
        "nodeSelector": kubernetes.get("nodeSelector", {}).get("labels", {}),
        "imagePullSecrets": [{"name": each["secretName"]} for each in kubernetes.get("imagePullSecret", [])],
    }
    if "activeDeadlineSeconds" in kubernetes:
        spec["activeDeadlineSeconds"] = int(kubernetes["activeDeadlineSeconds"])
    metadata = {"name": executor, "labels": kubernetes.get("podMetadata", {}).get("labels", {})}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec}


def _resources(asked: dict[str, Any]) -> dict[str, dict[str, str]]:
    names = {
        "requests": {"cpu": "resourceCpuRequest", "memory": "resourceMemoryRequest"},
        "limits": {"cpu": "resourceCpuLimit", "memory": "resourceMemoryLimit"},
    }
    found = {
        side: {resource: asked[key] for resource, key in keys.items() if key in asked} for side, keys in names.items()
    }
    if accelerator := asked.get("accelerator"):
        # Only the limit: Kubernetes makes the request equal to it.
        found["limits"][accelerator["resourceType"]] = accelerator["resourceCount"]
    return found


def restricted_violations(pod: dict[str, Any]) -> list[str]:
    """Return what Pod Security "restricted" would refuse, by the rules of the Pod Security Standards."""
    spec = pod["spec"]
    found = []
    for name in ("hostNetwork", "hostPID", "hostIPC"):
        if spec.get(name):
            found.append(name)
    allowed = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected",
               "secret"}  # fmt: skip
    found += [f"volume {v['name']}" for v in spec["volumes"] if not allowed & (set(v) - {"name"})]
    outer = spec.get("securityContext", {})
    for container in [*spec.get("initContainers", []), *spec["containers"]]:
        own = container.get("securityContext", {})
        where = container["name"]
        if own.get("privileged"):
            found.append(f"{where}: privileged")
        if own.get("allowPrivilegeEscalation") is not False:
            found.append(f"{where}: allowPrivilegeEscalation")
        if "ALL" not in own.get("capabilities", {}).get("drop", []):
            found.append(f"{where}: capabilities")
        if set(own.get("capabilities", {}).get("add", [])) - {"NET_BIND_SERVICE"}:
            found.append(f"{where}: added capabilities")
        if not own.get("runAsNonRoot", outer.get("runAsNonRoot")):
            found.append(f"{where}: runAsNonRoot")
        if own.get("runAsUser", outer.get("runAsUser")) == 0:
            found.append(f"{where}: runAsUser 0")
        if own.get("seccompProfile", outer.get("seccompProfile", {})).get("type") not in (
            "RuntimeDefault",
            "Localhost",
        ):
            found.append(f"{where}: seccompProfile")
        if any("hostPort" in port for port in container.get("ports", [])):
            found.append(f"{where}: hostPort")
    return found
