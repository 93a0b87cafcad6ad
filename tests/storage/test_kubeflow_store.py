"""In a pod, minio:// is the store of its Kubeflow Pipelines: a real SeaweedFS, and an API that hands out its keys."""

import base64
import datetime
import ipaddress
import json
import re
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from breaking_proxy import BreakingProxy
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from headstart.components import storage
from headstart.components.errors import SettingError
from headstart.components.storage import kubeflow_store
from headstart.components.training.shells import checkpoint_place
from tests.s3_server import ACCESS_KEY, SECRET_KEY, S3Server

API = "/api/v1/namespaces/team"
TOKEN = "pod-token"
RUN = "run-1"


class Cluster:
    """Plays the API for what a launcher asks of it, over TLS, to who brings the pod's token."""

    def __init__(self, folder: Path, store: str) -> None:
        self.objects: dict[str, Any] = {
            f"{API}/configmaps/kfp-launcher": {"data": {"defaultPipelineRoot": ""}},
            f"{API}/secrets/mlpipeline-minio-artifact": secret("accesskey", "secretkey"),
        }
        self.name_store(store)
        self.asked: list[str] = []
        self.statuses: list[int] = []
        self.otherwise = 403
        certificate, key = folder / "ca.crt", folder / "server.key"
        make_certificate(certificate, key)
        (folder / "token").write_text(TOKEN)
        (folder / "namespace").write_text("team")

        class Handler(BaseHTTPRequestHandler):
            def do_GET(handler) -> None:  # noqa: N805
                self.asked.append(handler.path)
                known = handler.headers["Authorization"] == f"Bearer {TOKEN}"
                found = self.objects.get(handler.path) if known else None
                status = self.statuses.pop(0) if self.statuses else 200 if found else self.otherwise
                handler.send_response(status)
                handler.end_headers()
                handler.wfile.write(json.dumps(found or {"kind": "Status"}).encode())

            def log_message(handler, *_: object) -> None:  # noqa: N805
                pass

        self.server = HTTPServer(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def name_store(self, endpoint: str, **more: Any) -> None:
        providers = {"minio": {"default": {"endpoint": endpoint, "disableSSL": True, **more}}}
        self.objects[f"{API}/configmaps/kfp-launcher"]["data"]["providers"] = json.dumps(providers)


def secret(access: str, private: str) -> dict[str, Any]:
    return {"data": {access: base64.b64encode(ACCESS_KEY.encode()).decode(),
                     private: base64.b64encode(SECRET_KEY.encode()).decode()}}  # fmt: skip


def make_certificate(certificate: Path, key: Path) -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "cluster")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(private.public_key())
        .serial_number(1).not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(private, hashes.SHA256())
    )  # fmt: skip
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key.write_bytes(private.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()))  # fmt: skip


@pytest.fixture
def cluster(tmp_path: Path, s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """A pod: its service account's files and the API's address, and no word of S3 in its environment."""
    s3_server.lead_to(monkeypatch)
    for name in ("AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    played = Cluster(tmp_path, f"127.0.0.1:{s3_server.port}")
    monkeypatch.setattr(kubeflow_store, "ACCOUNT", tmp_path)
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "127.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", str(played.server.server_port))
    monkeypatch.setattr(kubeflow_store, "_PAUSE", 0.01)
    kubeflow_store.kubeflow_store.cache_clear()
    yield played
    kubeflow_store.kubeflow_store.cache_clear()
    played.server.shutdown()
    played.server.server_close()


@pytest.fixture
def root(s3_server: S3Server) -> str:
    return f"minio://{s3_server.new_place()}/v2/artifacts/pipeline"


def free_port() -> int:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Output:
    """An artifact that a task will write."""

    def __init__(self, root: str) -> None:
        self.uri = f"{root}/{RUN}/train-runs/execution/records"

    @property
    def words(self) -> list[str]:
        return [
            "--executor_input",
            json.dumps({"outputs": {"artifacts": {"records": {"artifacts": [{"uri": self.uri}]}}}}),
        ]


def test_checkpoints_go_below_the_root_of_a_stock_installation(cluster: Cluster, root: str) -> None:
    place = checkpoint_place("", Output(root), RUN)
    assert place == f"{root}/checkpoints"
    storage.write_bytes(f"{place}/{RUN}/x", b"kept")
    assert storage.read_bytes(f"{place}/{RUN}/x") == b"kept"
    assert list(storage.list(place)) == [f"{place}/{RUN}/x"]
    assert checkpoint_place("gs://bucket/own", Output(root), RUN) == "gs://bucket/own"


def test_the_launchers_own_endpoint_and_secret_are_taken(cluster: Cluster, root: str, s3_server: S3Server) -> None:
    del cluster.objects[f"{API}/secrets/mlpipeline-minio-artifact"]
    cluster.objects[f"{API}/secrets/own"] = secret("user", "password")
    named = {"secretName": "own", "accessKeyKey": "user", "secretKeyKey": "password"}
    cluster.name_store(f"http://127.0.0.1:{s3_server.port}", credentials={"fromEnv": False, "secretRef": named})
    storage.write_bytes(f"{root}/x", b"there")
    assert storage.read_bytes(f"{root}/x") == b"there"
    assert cluster.asked == [f"{API}/configmaps/kfp-launcher", f"{API}/secrets/own"]


FAULTS = {
    "no right": r"may not read secrets/mlpipeline-minio-artifact in team \(HTTP 403\)",
    "no secret": "there is no secret mlpipeline-minio-artifact in team",
    "keys elsewhere": "its keys are in the environment",
    "not yaml": "are not YAML",
    "overrides": "other stores for parts of minio://",
    "no endpoint": "names no endpoint",
    "no name": "no name of it is known here: no-such-store.invalid:9000",
    "another cluster": "certificate",
    "away": r"did not hand out configmaps/kfp-launcher: HTTP 503",
    "no token": "",
    "no pod": "",
}


@pytest.mark.parametrize("fault", FAULTS)
def test_where_the_keys_cannot_be_had_nothing_changes(
    fault: str, cluster: Cluster, root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    launcher = cluster.objects[f"{API}/configmaps/kfp-launcher"]["data"]
    if fault in ("no right", "no secret"):
        del cluster.objects[f"{API}/secrets/mlpipeline-minio-artifact"]
        cluster.otherwise = 404 if fault == "no secret" else 403
    elif fault == "no token":
        (tmp_path / "token").unlink()
    elif fault == "keys elsewhere":
        cluster.name_store("127.0.0.1:1", credentials={"fromEnv": True})
    elif fault == "not yaml":
        launcher["providers"] = "a: [b"
    elif fault == "overrides":
        launcher["providers"] = json.dumps({"minio": {"overrides": [{"bucketName": "b", "endpoint": "other:9000"}]}})
    elif fault == "no endpoint":
        cluster.name_store("")
    elif fault == "no name":
        del launcher["providers"]
        monkeypatch.setattr(kubeflow_store, "ADDRESSES", ("no-such-store.invalid:9000",))
    elif fault == "another cluster":
        make_certificate(tmp_path / "ca.crt", tmp_path / "another.key")
    elif fault == "away":
        cluster.statuses = [503] * 1000
    else:
        monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    with pytest.raises(SettingError, match="no address of the MinIO server is set"):
        storage.open_place(root)
    said = capsys.readouterr().out
    assert re.search(FAULTS[fault], said) and ("not used from here" in said) == bool(FAULTS[fault])
    assert SECRET_KEY not in said
    assert checkpoint_place("", Output(root), RUN) == ""
    (tmp_path / "kept").mkdir()
    monkeypatch.setenv("HEADSTART_KEPT_IN_CONTAINER", str(tmp_path / "kept"))
    assert checkpoint_place("", Output(root), RUN) == str(tmp_path / "kept")
    began = time.monotonic()
    assert kubeflow_store.wait(60, Output(root).words)
    assert time.monotonic() - began < 20


def test_a_task_that_is_started_again_looks_where_it_kept_its_checkpoints(
    cluster: Cluster, root: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_KEPT_IN_CONTAINER", str(tmp_path))
    kept = cluster.objects.pop(f"{API}/secrets/mlpipeline-minio-artifact")
    assert checkpoint_place("", Output(root), RUN) == str(tmp_path)
    cluster.objects[f"{API}/secrets/mlpipeline-minio-artifact"] = kept
    kubeflow_store.kubeflow_store.cache_clear()
    assert checkpoint_place("", Output(root), RUN) == str(tmp_path)
    (tmp_path / "place").unlink()
    assert checkpoint_place("", Output(root), RUN) == f"{root}/checkpoints"


def test_an_api_that_is_away_for_a_while_is_asked_again(cluster: Cluster, root: str) -> None:
    cluster.statuses = [503, 429, 500]
    storage.write_bytes(f"{root}/x", b"")
    assert len(cluster.asked) == 5


@pytest.mark.parametrize(("more", "scheme"), [({"disableSSL": False}, "https"), ({"disableSSL": True}, "http")])
def test_tls_is_as_the_launcher_has_it(cluster: Cluster, more: dict[str, bool], scheme: str) -> None:
    cluster.name_store("store:9000", region="here", **more)
    found = kubeflow_store.kubeflow_store()
    assert found is not None and (found.address, found.region) == (f"{scheme}://store:9000", "here")
    assert SECRET_KEY not in repr(found)


def test_a_refusal_ends_the_waiting(cluster: Cluster, root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the environment says of another store: the launcher does not go by it."""
    cluster.objects[f"{API}/secrets/mlpipeline-minio-artifact"] = {"data": {"accesskey": "eA==", "secretkey": "eA=="}}
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    began = time.monotonic()
    assert kubeflow_store.wait(60, Output(root).words)
    assert time.monotonic() - began < 20


def test_a_server_that_never_answers_is_given_up_in_time(cluster: Cluster, root: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        cluster.name_store(f"127.0.0.1:{silent.getsockname()[1]}")
        began = time.monotonic()
        assert not kubeflow_store.wait(1, Output(root).words)
        assert time.monotonic() - began < 30


def test_variables_of_the_environment_win(cluster: Cluster, root: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    storage.open_place(root)
    assert cluster.asked == []


def test_a_store_that_takes_writes_is_not_waited_for_and_keeps_nothing(cluster: Cluster, root: str) -> None:
    storage.write_bytes(f"{root}/x", b"")
    began = time.monotonic()
    assert kubeflow_store.wait(60, Output(root).words)
    assert time.monotonic() - began < 10 and cluster.asked
    assert list(storage.list(root)) == [f"{root}/x"]


def test_outputs_that_go_elsewhere_are_not_waited_for(cluster: Cluster) -> None:
    given = json.loads(Output("gs://bucket/pipeline").words[1])
    given["inputs"] = {"parameterValues": {"data": "minio://photos/team/2026/01/raw/set"}}
    for words in ([], ["--executor_input"], ["--executor_input", "{"], ["--executor_input", json.dumps(given)]):
        assert kubeflow_store.wait(60, words)
    assert cluster.asked == []


def test_the_end_of_a_task_waits_for_its_store(
    cluster: Cluster, root: str, s3_server: S3Server, capsys: pytest.CaptureFixture[str]
) -> None:
    port = free_port()
    cluster.name_store(f"127.0.0.1:{port}")
    back: list[BreakingProxy] = []

    def come_back() -> None:
        back.append(BreakingProxy("127.0.0.1", s3_server.port, 0, 0, port=port))

    threading.Timer(3.0, come_back).start()
    began = time.monotonic()
    assert kubeflow_store.wait(300, Output(root).words)
    assert time.monotonic() - began >= 3.0
    back[0].close()
    cluster.name_store(f"127.0.0.1:{free_port()}")
    kubeflow_store.kubeflow_store.cache_clear()
    assert not kubeflow_store.wait(0, Output(root).words)
    assert "the outputs wait for their store" in capsys.readouterr().err


def test_it_is_a_command_that_imports_next_to_nothing() -> None:
    loaded = "import sys; import headstart.components.storage.kubeflow_store; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout.split()
    assert not {"tensorflow", "numpy", "pandas", "kfp", "botocore", "google.cloud.storage"} & set(modules)
    done = subprocess.run([sys.executable, "-m", "headstart.components.storage.kubeflow_store", "1", "x"], check=False)
    assert done.returncode == 0
