"""An object store that refuses, hesitates or breaks off: a real server, and a real one before it that does so."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from faults import FaultyServer

from headstart.components import storage
from headstart.components.datasets import downloads
from headstart.components.errors import HeadstartError
from tests import gcs_server

KINDS = ["throttled", "unavailable", "slow", "cut"]


@pytest.fixture(scope="module")
def backend() -> Iterator[int]:
    with gcs_server.running() as server:
        yield server.port


@pytest.fixture
def store(
    backend: int, in_front_of: Callable[[str, int], FaultyServer], monkeypatch: pytest.MonkeyPatch
) -> tuple[str, FaultyServer]:
    """An empty bucket's URI and the server that fails."""
    server = in_front_of("127.0.0.1", backend)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server.url)
    from google.cloud import storage as google

    name = f"bucket-{uuid.uuid4().hex[:8]}"
    google.Client().create_bucket(name)
    return f"gs://{name}", server


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_written_and_read_is_whole_all_the_same(kind: str, store: tuple[str, FaultyServer]) -> None:
    uri, server = store
    content = bytes(range(256)) * 800
    server.faults.set(kind, 1)
    storage.write_bytes(f"{uri}/checkpoint", content)
    assert server.faults.made == 1
    server.faults.set(kind, 1)
    assert storage.read_bytes(f"{uri}/checkpoint") == content
    assert server.faults.made == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_folder_comes_down_whole(kind: str, store: tuple[str, FaultyServer], tmp_path: Path) -> None:
    uri, server = store
    contents = {f"images/{number}.bin": bytes([number]) * 5000 for number in range(6)}
    for name, content in contents.items():
        storage.write_bytes(f"{uri}/data/{name}", content)
    server.faults.set(kind, 2)
    folder = storage.download(f"{uri}/data", tmp_path / "down")
    assert server.faults.made == 2
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    assert found == contents


def test_a_store_that_is_gone_is_named_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from google.cloud.storage import retry

    monkeypatch.setattr(retry.DEFAULT_RETRY, "_timeout", 1.0)  # it is two minutes
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{gcs_server.free_port()}")
    with pytest.raises(HeadstartError, match="gs://bucket/name"):
        storage.download("gs://bucket/name", tmp_path / "down")
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


@pytest.fixture
def website(
    tmp_path: Path, in_front_of: Callable[[str, int], FaultyServer]
) -> Iterator[tuple[str, FaultyServer, bytes]]:
    """A URI of a file, the server that fails, and the file's content."""
    import functools
    import http.server
    import threading

    folder = tmp_path / "site"
    folder.mkdir()
    content = bytes(range(256)) * 4000
    (folder / "data.bin").write_bytes(content)
    quiet = type("Quiet", (http.server.SimpleHTTPRequestHandler,), {"log_message": lambda *_: None})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    faulty = in_front_of("127.0.0.1", server.server_address[1])
    yield f"{faulty.url}/data.bin#sha256={hashlib.sha256(content).hexdigest()}", faulty, content
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("kind", KINDS)
def test_a_download_over_http_is_whole(kind: str, website: tuple[str, FaultyServer, bytes], tmp_path: Path) -> None:
    uri, server, content = website
    server.faults.set(kind, 2 if kind != "slow" else 1)
    assert downloads.fetch(uri, tmp_path / "down").read_bytes() == content
    assert server.faults.made


@pytest.mark.slow
def test_a_download_that_never_succeeds_leaves_nothing_under_its_name(
    website: tuple[str, FaultyServer, bytes], tmp_path: Path
) -> None:
    uri, server, content = website
    server.faults.set("unavailable", 1000)
    with pytest.raises(HeadstartError, match="503"):
        downloads.fetch(uri, tmp_path / "down")
    assert not (tmp_path / "down" / "data.bin").exists()
    server.faults.set("", 0)
    assert downloads.fetch(uri, tmp_path / "down").read_bytes() == content
