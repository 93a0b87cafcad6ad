"""Downloads are resumed where they broke and checked; no partial file is taken for a whole one."""

import contextlib
import hashlib
import io
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from headstart.components.datasets import downloads
from headstart.components.datasets.importing import import_dataset
from headstart.components.errors import HeadstartError, SettingError
from tests.datasets import drawn_files

CONTENT = np.random.default_rng(3).bytes(700_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves `content`; cuts the first `cuts` answers after `after` bytes."""

    content = CONTENT
    after = 200_000
    cuts = 0
    ranges = True
    etag = '"one"'
    status = 200
    location = ""
    drip = 0.0

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.asked: list[str | None] = []
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        if self.server.location and "moved" not in self.path:
            self.send_response(302)
            self.send_header("Location", self.server.location)
            self.end_headers()
            return
        if self.server.drip:
            with contextlib.suppress(OSError):
                self.wfile.write(b"HTTP/1.1 200 OK\r\n" + (b"" if self.path.endswith("headers") else b"\r\n"))
                while True:
                    self.wfile.write(b"X-Drip: 1\r\n" if self.path.endswith("headers") else b"x")
                    time.sleep(self.server.drip)
        if self.server.status != 200:
            self.send_error(self.server.status)
            return
        start = 0
        if asked and self.server.ranges and self.headers.get("If-Range") == self.server.etag:
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
        body = self.server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("ETag", self.server.etag)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.cuts:
            self.server.cuts -= 1
            body = body[: self.server.after]
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, format: str, *arguments: object) -> None:
        return


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setattr(downloads, "_PAUSE", 0.0)
    running = Server()
    thread = threading.Thread(target=running.serve_forever, daemon=True)
    thread.start()
    yield running
    running.shutdown()
    running.server_close()


def test_a_break_is_taken_up_where_it_happened(server: Server, tmp_path: Path) -> None:
    server.cuts = 2
    path = downloads.fetch(f"{server.url}/set.bin#sha256={SHA256}", tmp_path)
    assert path.read_bytes() == CONTENT
    assert server.asked == [None, "bytes=200000-", "bytes=400000-"]
    assert [entry.name for entry in tmp_path.iterdir()] == ["set.bin"]


def test_a_later_call_takes_up_what_an_earlier_one_left(server: Server, tmp_path: Path) -> None:
    server.cuts, server.after = 1000, 30_000
    with pytest.raises(HeadstartError, match="broke 6 times"):
        downloads.fetch(f"{server.url}/set.bin", tmp_path)
    assert not (tmp_path / "set.bin").exists()
    server.cuts = 0
    server.asked.clear()
    assert downloads.fetch(f"{server.url}/set.bin", tmp_path).read_bytes() == CONTENT
    assert server.asked == ["bytes=180000-"]


def test_a_file_that_changed_meanwhile_is_fetched_anew(server: Server, tmp_path: Path) -> None:
    server.cuts, server.after = 1000, 30_000
    with pytest.raises(HeadstartError):
        downloads.fetch(f"{server.url}/set.bin", tmp_path)
    server.cuts, server.etag, server.content = 0, '"two"', CONTENT[::-1]
    assert downloads.fetch(f"{server.url}/set.bin", tmp_path).read_bytes() == CONTENT[::-1]


def test_a_server_without_ranges_is_asked_for_everything_again(server: Server, tmp_path: Path) -> None:
    server.cuts, server.ranges = 1, False
    assert downloads.fetch(f"{server.url}/set.bin#sha256={SHA256}", tmp_path).read_bytes() == CONTENT


def test_a_wrong_checksum_removes_the_file(server: Server, tmp_path: Path) -> None:
    with pytest.raises(HeadstartError, match=f"SHA256 is {SHA256}, expected {'0' * 64}"):
        downloads.fetch(f"{server.url}/set.bin#sha256={'0' * 64}", tmp_path)
    assert not list(tmp_path.iterdir())
    # The well-known file is checked against its published MD5 without being asked to.
    with pytest.raises(HeadstartError, match=r"MD5 is .*, expected eb9058c3a382ffc7106e4002c42a8d85"):
        downloads.fetch(f"{server.url}/cifar-100-python.tar.gz", tmp_path)


def test_what_a_server_refuses_is_said(server: Server, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(HeadstartError, match="answered 404"):
        downloads.fetch(f"{server.url}/set.bin", tmp_path)
    server.status = 503
    with pytest.raises(HeadstartError, match=r"broke 6 times.*503"):
        downloads.fetch(f"{server.url}/set.bin", tmp_path)
    with pytest.raises(SettingError, match=r"http:// can be changed"):
        downloads.fetch("http://example.org/set.bin", tmp_path)
    with pytest.raises(SettingError, match="sha256 must be 64"):
        downloads.fetch("https://example.org/set.bin#sha256=12", tmp_path)


def test_a_whole_file_that_is_there_is_kept(server: Server, tmp_path: Path) -> None:
    for _ in range(2):
        downloads.fetch(f"{server.url}/set.bin#sha256={SHA256}", tmp_path)
    assert len(server.asked) == 1


def test_an_archive_is_imported_from_its_address(server: Server, tmp_path: Path) -> None:
    archive = drawn_files.tar_of(drawn_files.fruits(tmp_path / "in"), tmp_path / "fruits.tar.gz")
    server.content = archive.read_bytes()
    server.cuts, server.after = 1, 5000
    uri = server.url.replace("//", "//user:secret@") + "/fruits.tar.gz?token=secret"
    description = import_dataset(uri, tmp_path / "out", image_size=16)
    assert description.counts == {"train": 15, "validation": 3, "test": 6}
    assert description.source == f"{server.url}/fruits.tar.gz", "credentials are left out"
    assert "secret" not in (tmp_path / "out" / "dataset.json").read_text()


def test_redirects_are_followed_to_safe_places_alone(server: Server, tmp_path: Path) -> None:
    server.location = "/moved?signature=1"
    path = downloads.fetch(f"{server.url}/set.bin#sha256={SHA256}", tmp_path)
    assert path.name == "set.bin", "the server does not choose the name"
    assert path.read_bytes() == CONTENT
    for location in ("http://example.org/moved", "ftp://example.org/x", "file:///etc/passwd", "//example.org/x"):
        server.location = location
        with pytest.raises(HeadstartError, match=r"it redirects to .*, which can be changed on its way"):
            downloads.fetch(f"{server.url}/other.bin", tmp_path)
    server.location = "/again"
    with pytest.raises(HeadstartError, match="more than 10 redirects"):
        downloads.fetch(f"{server.url}/other.bin", tmp_path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["set.bin"]


def test_from_https_no_redirect_leads_to_this_machine(monkeypatch: pytest.MonkeyPatch, server: Server) -> None:
    # What an https server answers, without one: a redirect to a service that only this machine reaches.
    import requests

    answer = requests.Response()
    answer.status_code, answer.headers["Location"] = 302, f"{server.url}/moved"
    answer.raw = io.BytesIO()
    monkeypatch.setattr(requests, "get", lambda *_, **__: answer)
    with pytest.raises(HeadstartError, match="can be changed on its way"):
        downloads._answer("https://example.org/set.bin", {})
    assert not server.asked


@pytest.mark.parametrize("what", ["headers", "content"])
def test_what_drips_for_ever_ends(server: Server, tmp_path: Path, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    server.drip = 0.02
    monkeypatch.setattr(downloads, "_HEADER_SECONDS", 0.3)
    monkeypatch.setattr(downloads, "_IN_SECONDS", 0.3)
    with pytest.raises(HeadstartError, match=r"the last time: (no answer within|fewer than 65536 bytes)"):
        downloads.fetch(f"{server.url}/{what}", tmp_path)


@pytest.mark.parametrize("scheme", ["http://example.org", "ftp://example.org", "HTTP://example.org"])
def test_only_https_is_asked(scheme: str, tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="can be changed on its way"):
        downloads.fetch(f"{scheme}/set.bin", tmp_path)


def test_a_file_beyond_the_limit_is_not_fetched(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(downloads, "_SIZE_LIMIT", 100_000)
    with pytest.raises(HeadstartError, match="700000 bytes; 100000 are allowed"):
        downloads.fetch(f"{server.url}/set.bin", tmp_path)


def test_a_file_of_the_same_name_is_not_overwritten(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.zip").write_bytes(b"mine")
    (tmp_path / "data.zip.partial").write_bytes(b"mine too")
    for fragment in ("", f"#sha256={SHA256}"):
        with pytest.raises(SettingError, match=r"data.zip: is there already"):
            downloads.fetch(f"{server.url}/data.zip{fragment}", tmp_path)
    (tmp_path / "data.zip").unlink()
    assert downloads.fetch(f"{server.url}/data.zip", tmp_path).read_bytes() == CONTENT
    assert (tmp_path / "data.zip.partial").read_bytes() == b"mine too"
    assert downloads.fetch(f"{server.url}/data.zip#sha256={SHA256}", tmp_path).read_bytes() == CONTENT
