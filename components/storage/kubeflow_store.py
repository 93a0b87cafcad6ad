"""The object store of the Kubeflow Pipelines in whose pod this process is, reached as its launcher reaches it.

The launcher takes address and keys from the ConfigMap `kfp-launcher` where that names a default for minio://, else its
own address and a secret that the pod's service account may read (manifests/headstart/role.yaml). A ConfigMap that names
other stores for parts of minio:// (`overrides`), or keys from the environment, is not followed: then there is none.

`python3 -m headstart.components.storage.kubeflow_store SECONDS WORD …` is what a task's shell runs at its end, with the
words of the task's own command: it waits until the store takes what is written. The launcher then uploads the outputs;
where the store is away it tries for twenty seconds, and a container that fails is not started again (docs/cluster.md).
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import json
import os
import socket
import ssl
import sys
import time
import uuid
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from headstart.components.progress import emit
from headstart.components.storage.artifact_layout import checkpoint_folder

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
# The launcher's own address of the store, of Kubeflow Pipelines 2.15 and later, and of those before.
ADDRESSES = ("seaweedfs.kubeflow:9000", "minio-service.kubeflow:9000")
STORE_SECRET = "mlpipeline-minio-artifact"
"""The secret with the keys of the store that comes with Kubeflow Pipelines (MinIO before 2.15, SeaweedFS since)."""
_SECRET = {"secretName": STORE_SECRET, "accessKeyKey": "accesskey", "secretKeyKey": "secretkey"}
ATTEMPTS = 8
"""Attempts at one question to the cluster's API, with pauses of five seconds."""
_PAUSE = 5.0
_LARGEST_ANSWER = 4 * 2**20


class KubeflowStore(NamedTuple):
    """Address (http://HOST:PORT), region and keys of the store."""

    address: str
    region: str
    access_key: str
    secret_key: str

    def __repr__(self) -> str:
        """Name the store without its keys."""
        return f"KubeflowStore({self.address})"


class _NoStoreError(Exception):
    """Why the store cannot be used from here."""


@lru_cache(maxsize=1)
def kubeflow_store() -> KubeflowStore | None:
    """Return the store of the Kubeflow Pipelines in whose pod this is; None where this is none.

    Where it is one and its store cannot be used, a warning says why, once a process.
    """
    if not (ACCOUNT / "token").is_file() or not os.environ.get("KUBERNETES_SERVICE_HOST"):
        return None
    try:
        return _find()
    except (_NoStoreError, OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        reason = str(error) if isinstance(error, _NoStoreError) else f"{type(error).__name__}: {error}"
        emit("warning", what="Kubeflow's object store", reason=f"it is not used from here: {reason}")
        return None


def _find() -> KubeflowStore:
    namespace = (ACCOUNT / "namespace").read_text().strip()
    settings = _settings(_kubernetes(namespace, "configmaps", "kfp-launcher"))
    credentials = settings.get("credentials") or {}
    if credentials.get("fromEnv"):
        raise _NoStoreError("kfp-launcher says that its keys are in the environment")
    named = _SECRET | (credentials.get("secretRef") or {})
    data = _kubernetes(namespace, "secrets", named["secretName"]).get("data")
    if not data:
        raise _NoStoreError(f"there is no secret {named['secretName']} in {namespace}")
    access_key, secret_key = (base64.b64decode(data[named[part]]).decode() for part in ("accessKeyKey", "secretKeyKey"))
    address = str(settings.get("endpoint") or next(filter(_is_known, ADDRESSES), ""))
    if not address:
        raise _NoStoreError(f"no name of it is known here: {', '.join(ADDRESSES)}")
    if "://" not in address:
        # A block of the launcher's settings means TLS unless it says otherwise; its own address does without.
        plain = settings.get("disableSSL", False) if settings else True
        address = f"{'http' if plain else 'https'}://{address}"
    return KubeflowStore(address, str(settings.get("region") or "us-east-1"), access_key, secret_key)


def _settings(launcher: dict[str, Any]) -> dict[str, Any]:
    """Return what the launcher's ConfigMap says of minio://; empty where it leaves that to the launcher."""
    import yaml

    try:
        providers = yaml.safe_load((launcher.get("data") or {}).get("providers") or "")
    except yaml.YAMLError as error:
        raise _NoStoreError("the providers of kfp-launcher are not YAML") from error
    minio = (providers or {}).get("minio") or {}
    if minio.get("overrides") or minio.get("Overrides"):
        raise _NoStoreError("kfp-launcher names other stores for parts of minio://")
    settings: dict[str, Any] = minio.get("default") or {}
    if settings and not settings.get("endpoint"):
        raise _NoStoreError("kfp-launcher names no endpoint for minio://")
    return settings


def _kubernetes(namespace: str, kind: str, name: str) -> dict[str, Any]:
    """Return an object of the pod's namespace as its service account sees it; empty where it is not there.

    An API that is away or overrun is asked again for half a minute.
    """
    context = ssl.create_default_context(cafile=ACCOUNT / "ca.crt")
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], int(os.environ["KUBERNETES_SERVICE_PORT"])
    said = ""
    for attempt in range(ATTEMPTS):
        time.sleep(_PAUSE if attempt else 0)
        connection = http.client.HTTPSConnection(host, port, timeout=10, context=context)
        try:
            token = (ACCOUNT / "token").read_text().strip()
            path = f"/api/v1/namespaces/{namespace}/{kind}/{name}"
            connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
            answer = connection.getresponse()
            content = answer.read(_LARGEST_ANSWER)
        except ssl.SSLCertVerificationError as error:
            raise _NoStoreError(f"the cluster's API has a certificate that is not the cluster's: {error}") from error
        except (OSError, http.client.HTTPException) as error:
            said = str(error) or type(error).__name__
            continue
        finally:
            connection.close()
        said = f"HTTP {answer.status}"
        if answer.status == 200:
            found = json.loads(content)
            return found if isinstance(found, dict) else {}
        if answer.status == 404:
            return {}
        if answer.status != 429 and answer.status < 500:
            raise _NoStoreError(f"the service account may not read {kind}/{name} in {namespace} ({said})")
    raise _NoStoreError(f"the cluster's API did not hand out {kind}/{name}: {said}")


def _is_known(address: str) -> bool:
    try:
        socket.getaddrinfo(address.partition(":")[0], None)
    except socket.gaierror as error:
        return error.errno == socket.EAI_AGAIN  # DNS is away for a while
    return True


def _outputs(words: Sequence[str]) -> tuple[str, str]:
    """Return bucket and key of the folder for checkpoints beside a task's outputs; empty where these are elsewhere."""
    try:
        given = json.loads(words[list(words).index("--executor_input") + 1])
        lists = given["outputs"]["artifacts"].values()
        uris = [str(artifact["uri"]) for each in lists for artifact in each["artifacts"]]
    except (ValueError, IndexError, KeyError, TypeError, AttributeError):
        return "", ""
    uri = next((uri for uri in uris if uri.startswith("minio://")), "")
    bucket, _, key = checkpoint_folder(uri.removeprefix("minio://")).partition("/")
    return bucket, key


def wait(seconds: float, words: Sequence[str]) -> bool:
    """Wait at most `seconds` until the store that a task's outputs go to takes a write; say whether it did.

    `words` are those of the task's command, one of which names its outputs. What the store answers, apart from an error
    of its own, ends the waiting: a refusal is for the launcher to report. True as well where the outputs do not go to
    minio://, or where the store cannot be used from here.
    """
    bucket, key = _outputs(words)
    store = kubeflow_store() if bucket else None
    if store is None:
        return True
    from botocore.exceptions import BotoCoreError, ClientError

    from headstart.components.storage import s3_bucket

    client = s3_bucket.client(*store, attempts=1, timeouts=(5, 10))
    probe = {"Bucket": bucket, "Key": f"{key}/.headstart-probe-{uuid.uuid4().hex[:12]}"}
    until = time.monotonic() + seconds
    said = False
    while True:
        try:
            client.put_object(**probe, Body=b"")
            with contextlib.suppress(ClientError, BotoCoreError):
                client.delete_object(**probe)
            return True
        except ClientError as error:
            if int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)) < 500:
                return True
            reason = str(error)
        except BotoCoreError as error:
            reason = str(error)
        if not said:
            print(f"{reason}: the outputs wait for their store, {seconds:.0f} s or so", file=sys.stderr, flush=True)
            said = True
        if time.monotonic() >= until:
            return False
        time.sleep(min(2.0, max(until - time.monotonic(), 0.0)))


if __name__ == "__main__":
    wait(float(sys.argv[1]), sys.argv[2:])
