"""What only stores that speak S3 have: keys, an endpoint, and servers that ignore the conditions of a write."""

import hashlib
import http.server
import socket
import threading
from collections.abc import Iterator

import pytest

from headstart.components import storage
from headstart.components.errors import HeadstartError, SettingError
from tests.s3_server import S3Server


def test_wrong_keys_are_refused_with_what_to_do(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "unknown")
    for use in (lambda: storage.read_bytes(f"s3://{s3}/a"), lambda: storage.write_bytes(f"s3://{s3}/a", b"")):
        with pytest.raises(HeadstartError, match=rf"s3://{s3}/a: access was refused") as caught:
            use()
        assert "AWS_ACCESS_KEY_ID" in caught.value.remedy


def test_without_keys_requests_are_not_signed(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    with pytest.raises(HeadstartError, match="access was refused"):  # the test's bucket is not public
        storage.read_bytes(f"s3://{s3}/a")


def test_a_key_in_an_address_is_refused_and_not_shown() -> None:
    with pytest.raises(SettingError, match="carries a user or a password") as caught:
        storage.read_bytes("s3://key:hunter2@bucket/a")
    assert "hunter2" not in str(caught.value)


def test_minio_wants_an_endpoint(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    s3_server.lead_to(monkeypatch)
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    with pytest.raises(SettingError, match="minio://mlpipeline/v2: no address") as caught:
        storage.open_place("minio://mlpipeline/v2")
    assert "AWS_ENDPOINT_URL" in caught.value.remedy
    monkeypatch.setenv("AWS_ENDPOINT_URL", "minio-service:9000")
    with pytest.raises(SettingError, match="settings for S3 cannot be used"):
        storage.open_place("minio://mlpipeline/v2")


def test_a_server_that_is_not_there_is_named(s3: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from headstart.components.storage import s3_bucket

    monkeypatch.setattr(s3_bucket, "_ATTEMPTS", 2)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"
    monkeypatch.setenv("AWS_ENDPOINT_URL", address)
    with pytest.raises(HeadstartError, match=f"s3://{s3}/a: the S3 server at {address} cannot be reached"):
        storage.read_bytes(f"s3://{s3}/a")


class _Unconditional(http.server.BaseHTTPRequestHandler):
    """Stores whatever comes, as MinIO of 2019 does."""

    objects: dict[str, bytes]

    def do_PUT(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.objects[self.path] = body
        self._answer(200, hashlib.md5(body, usedforsecurity=False).hexdigest())

    def do_DELETE(self) -> None:
        self.objects.pop(self.path, None)
        self._answer(204, "")

    def _answer(self, status: int, tag: str) -> None:
        self.send_response(status)
        self.send_header("ETag", f'"{tag}"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def unconditional(s3_server: S3Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """Lead to a server that ignores conditions; yields what it holds."""
    objects: dict[str, bytes] = {}
    handler = type("Handler", (_Unconditional,), {"objects": objects})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    s3_server.lead_to(monkeypatch, f"http://127.0.0.1:{server.server_address[1]}")
    yield objects
    server.shutdown()
    server.server_close()


def test_a_server_that_ignores_conditions_keeps_no_model_store(unconditional: dict[str, bytes]) -> None:
    storage.write_bytes("s3://bucket/checkpoint", b"good enough for this")
    with pytest.raises(HeadstartError, match="ignores the conditions of a write"):
        storage.write_bytes("s3://bucket/current.json", b"{}", expected="")
    assert unconditional == {"/bucket/checkpoint": b"good enough for this"}
