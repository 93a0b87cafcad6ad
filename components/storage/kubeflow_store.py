"""The object store of the Kubeflow Pipelines in whose pod this process is, reached as its launcher reaches it.

The launcher takes the store's address from the ConfigMap `kfp-launcher`, or Kubeflow's own, and the keys from a secret
that the pod's service account may read (manifests/headstart/role.yaml).

`python3 -m headstart.components.storage.kubeflow_store SECONDS WORD …` is what a task's shell runs at its end, with the
words of the task's own command: it waits until the store takes what is written. The launcher then uploads the outputs;
where the store is away it tries for twenty seconds, and a container that fails is not started again (docs/cluster.md).
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import re
import socket
import ssl
import sys
import time
import uuid
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from headstart.components.errors import HeadstartError

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# The launcher's own address of the store, of Kubeflow Pipelines 2.15 and later, and of those before.
ADDRESSES = ("seaweedfs.kubeflow:9000", "minio-service.kubeflow:9000")
SECRET = {"secretName": "mlpipeline-minio-artifact", "accessKeyKey": "accesskey", "secretKeyKey": "secretkey"}
_LARGEST_ANSWER = 4 * 2**20
_ROOT = re.compile(r'"(minio://[^"]+?)/[^"/]+/[^"/]+/[^"/]+/[^"/]+"')


class KubeflowStore(NamedTuple):
    """Address (http://HOST:PORT) and keys of the store."""

    address: str
    access_key: str
    secret_key: str


@lru_cache(maxsize=1)
def kubeflow_store() -> KubeflowStore | None:
    """Return the store of the Kubeflow Pipelines in whose pod this is; None where this is none, or may not ask."""
    try:
        namespace = (ACCOUNT / "namespace").read_text().strip()
        settings = _settings(_kubernetes(f"/api/v1/namespaces/{namespace}/configmaps/kfp-launcher"))
        credentials = settings.get("credentials") or {}
        named = SECRET | (credentials.get("secretRef") or {})
        secret = _kubernetes(f"/api/v1/namespaces/{namespace}/secrets/{named['secretName']}")["data"]
        keys = (base64.b64decode(secret[named[part]]).decode() for part in ("accessKeyKey", "secretKeyKey"))
        address = settings.get("endpoint") or next(filter(_is_known, ADDRESSES), "")
        if not address or credentials.get("fromEnv"):
            return None
        if "://" not in address:
            address = f"{'http' if settings.get('disableSSL', True) else 'https'}://{address}"
        return KubeflowStore(address, *keys)
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError, AttributeError):
        return None


def _settings(launcher: dict[str, Any]) -> dict[str, Any]:
    """Return what the launcher's ConfigMap says of minio://; empty where it leaves that to the launcher."""
    import yaml

    try:
        providers = yaml.safe_load((launcher.get("data") or {}).get("providers") or "")
    except yaml.YAMLError:
        return {}
    return ((providers or {}).get("minio") or {}).get("default") or {}


def _kubernetes(path: str) -> dict[str, Any]:
    """Ask the cluster's API as the pod's service account; an empty answer for what is not there or not allowed."""
    context = ssl.create_default_context(cafile=ACCOUNT / "ca.crt")
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], int(os.environ["KUBERNETES_SERVICE_PORT"])
    connection = http.client.HTTPSConnection(host, port, timeout=10, context=context)
    try:
        token = (ACCOUNT / "token").read_text().strip()
        connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
        answer = connection.getresponse()
        found = json.loads(answer.read(_LARGEST_ANSWER)) if answer.status == 200 else {}
    finally:
        connection.close()
    return found if isinstance(found, dict) else {}


def _is_known(address: str) -> bool:
    try:
        socket.getaddrinfo(address.partition(":")[0], None)
    except socket.gaierror:
        return False
    return True


def wait(seconds: float, words: Sequence[str]) -> bool:
    """Wait at most `seconds` until the store that a task's outputs go to takes a write; say whether it did.

    `words` are those of the task's command, one of which names its outputs: ROOT/PIPELINE/RUN/TASK/…. True as well
    where they do not go to minio://, or where there is no store that this pod may ask.
    """
    root = next((found[1] for found in map(_ROOT.search, words) if found), "")
    if not root or kubeflow_store() is None:
        return True
    from headstart.components.storage import delete, write_bytes

    until = time.monotonic() + seconds
    probe = f"{root}/checkpoints/.headstart-probe-{uuid.uuid4().hex[:12]}"
    said = False
    while True:
        try:
            write_bytes(probe, b"")
            delete(probe)
            return True
        except HeadstartError as error:
            if not said:
                print(f"{error.message} The outputs wait for it, {seconds:.0f} s at most.", file=sys.stderr, flush=True)
            said = True
        if time.monotonic() >= until:
            return False
        time.sleep(min(2.0, max(until - time.monotonic(), 0.0)))


if __name__ == "__main__":
    wait(float(sys.argv[1]), sys.argv[2:])
