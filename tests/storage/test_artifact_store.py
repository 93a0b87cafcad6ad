"""A task's end waits for a store that does not answer, and only for one that its outputs go to."""

import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from headstart.components.storage.artifact_store import wait

OUTPUTS = ["--executor_input", '{"outputs": {"artifacts": {"record": {"uri": "minio://mlpipeline/v2/artifacts/x"}}}}']


@pytest.fixture
def port() -> int:
    with closing(socket.socket()) as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


class Store:
    """Answers with `status`, from `start` on."""

    def __init__(self, port: int, status: int = 403) -> None:
        self.status = status

        class Handler(BaseHTTPRequestHandler):
            def do_GET(handler) -> None:  # noqa: N805
                handler.send_response(self.status)
                handler.end_headers()

            def log_message(handler, *_: object) -> None:  # noqa: N805
                pass

        self.server = HTTPServer(("127.0.0.1", port), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture
def store(port: int) -> Iterator[Store]:
    made = Store(port)
    yield made
    made.stop()


def took(seconds: float, words: list[str], port: int, *names: str) -> tuple[bool, float]:
    began = time.monotonic()
    found = wait(seconds, words, [(name, port) for name in names or ("127.0.0.1",)])
    return found, time.monotonic() - began


def test_a_store_that_answers_is_not_waited_for(store: Store, port: int) -> None:
    for store.status in (200, 403, 404):
        found, seconds = took(60, OUTPUTS, port)
        assert found and seconds < 5


def test_a_store_that_comes_back_ends_the_waiting(port: int, capsys: pytest.CaptureFixture[str]) -> None:
    made: list[Store] = []
    threading.Timer(1.0, lambda: made.append(Store(port, 503))).start()  # it starts, and says so
    threading.Timer(2.5, lambda: setattr(made[0], "status", 403)).start()
    found, seconds = took(60, OUTPUTS, port)
    made[0].stop()
    assert found and 2.5 <= seconds < 20
    assert capsys.readouterr().err.count("does not answer") == 1


def test_a_store_that_stays_away_is_given_up(port: int) -> None:
    found, seconds = took(1.5, OUTPUTS, port)
    assert not found and 1.5 <= seconds < 10


def test_nothing_is_waited_for_where_outputs_go_elsewhere_or_there_is_no_such_store(port: int) -> None:
    for words in ([], ["--executor_input", '{"uri": "gs://bucket/x", "minio": "s3://"}']):
        assert took(60, words, port)[0]
    found, seconds = took(60, OUTPUTS, port, "no-such-store.invalid")
    assert found and seconds < 30


def test_another_name_is_tried_where_one_is_not_known(store: Store, port: int) -> None:
    assert took(60, OUTPUTS, port, "no-such-store.invalid", "127.0.0.1")[0]


def test_it_is_a_command_that_imports_next_to_nothing() -> None:
    loaded = "import sys; import headstart.components.storage.artifact_store; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", loaded], capture_output=True, text=True, check=True).stdout.split()
    assert not {"tensorflow", "numpy", "pandas", "kfp", "google.cloud.storage", "boto3"} & set(modules)
    done = subprocess.run([sys.executable, "-m", "headstart.components.storage.artifact_store", "1", "x"], check=False)
    assert done.returncode == 0
