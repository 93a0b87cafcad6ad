"""Waits for the object store that comes with Kubeflow Pipelines before a task ends, while its launcher would give up.

The launcher uploads a task's outputs once the task's process has ended, tries for about twenty seconds, and a container
that fails is not started again (docs/cluster.md). So the process's shell runs
`python3 -m headstart.components.storage.artifact_store SECONDS WORD …` first, with the words of the task's own command.
"""

from __future__ import annotations

import http.client
import socket
import sys
import time
from collections.abc import Sequence

# Where the launcher goes for minio:// where its ConfigMap names no other endpoint: of 2.15 and later, and before.
ENDPOINTS = (("seaweedfs.kubeflow", 9000), ("minio-service.kubeflow", 9000))
SCHEME = '"minio://'


def wait(seconds: float, words: Sequence[str], endpoints: Sequence[tuple[str, int]] = ENDPOINTS) -> bool:
    """Wait at most `seconds` until the store answers; say whether it did, or whether there is none to wait for.

    There is one where a word of a task's command names an artifact in `minio://` and an endpoint's name is known.
    """
    if not any(SCHEME in word for word in words):
        return True
    until = time.monotonic() + seconds
    said = False
    while True:
        host = next((found for found in endpoints if _is_known(found[0])), None)
        if host is None or _answers(*host):
            return True
        if not said:
            print(f"{host[0]} does not answer; its outputs wait for it, {seconds:.0f} s at most", file=sys.stderr)
            said = True
        if time.monotonic() >= until:
            return False
        time.sleep(min(2.0, max(until - time.monotonic(), 0.0)))


def _is_known(name: str) -> bool:
    try:
        socket.getaddrinfo(name, None)
    except socket.gaierror as error:
        return error.errno == socket.EAI_AGAIN  # the cluster's DNS is away as well
    return True


def _answers(host: str, port: int) -> bool:
    """Say whether a server answers with anything but an error of its own, such as 503 while it starts."""
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", "/")
        return connection.getresponse().status < 500
    except http.client.HTTPException:
        return True  # something is there that speaks otherwise, TLS for example
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    wait(float(sys.argv[1]), sys.argv[2:])
