"""Faults that tests make real: small disks, disks that cannot be written, a server that fails as told."""

from __future__ import annotations

import http.client
import http.server
import socket
import subprocess
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path


class Disk:
    """A file system of its own, in memory."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def remount(self, options: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{options}", str(self.folder)], check=True)

    def fill(self) -> None:
        """Leave no byte free."""
        with (self.folder / "filling").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass

    def names(self) -> list[str]:
        return sorted(path.name for path in self.folder.rglob("*") if path.name != "filling")


@dataclass
class Faults:
    """What the server does to the next requests; `kind` is throttled, unavailable, slow or cut."""

    kind: str = ""
    left: int = 0
    made: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def set(self, kind: str, count: int) -> None:
        self.kind, self.left, self.made = kind, count, 0

    def take(self) -> str:
        with self.lock:
            if self.left <= 0:
                return ""
            self.left -= 1
            self.made += 1
            return self.kind


_STATUS = {"throttled": (429, "Too Many Requests"), "unavailable": (503, "Service Unavailable")}


def failing_handler(host: str, port: int, faults: Faults) -> type[http.server.BaseHTTPRequestHandler]:
    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _pass_on(self) -> None:
            length = int(self.headers.get("Content-Length") or 0)
            if self.headers.get("Transfer-Encoding") == "chunked":
                body = b""
                while size := int(self.rfile.readline(), 16):
                    body += self.rfile.read(size)
                    self.rfile.readline()
                self.rfile.readline()
            else:
                body = self.rfile.read(length)
            fault = faults.take()
            if fault in _STATUS:
                status, reason = _STATUS[fault]
                self.send_response(status, reason)
                self.send_header("Content-Length", "0")
                self.send_header("Retry-After", "1")
                self.end_headers()
                return
            connection = http.client.HTTPConnection(host, port, timeout=60)
            headers = {name: value for name, value in self.headers.items() if name.lower() != "transfer-encoding"}
            if body:
                headers["Content-Length"] = str(len(body))
            connection.request(self.command, self.path, body or None, headers)
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            self.send_response(answer.status, answer.reason)
            for name, value in answer.getheaders():
                if name.lower() not in ("transfer-encoding", "content-length", "connection"):
                    self.send_header(name, value)
            told = answer.getheader("Content-Length") if self.command == "HEAD" else str(len(content))
            self.send_header("Content-Length", told or "0")
            self.end_headers()
            if fault == "slow":
                for start in range(0, len(content), max(len(content) // 5, 1)):
                    self.wfile.write(content[start : start + max(len(content) // 5, 1)])
                    self.wfile.flush()
                    time.sleep(0.2)
            elif fault == "cut":
                self.wfile.write(content[: len(content) // 2])
                self.wfile.flush()
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
            else:
                self.wfile.write(content)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = _pass_on  # noqa: N815

        def log_message(self, *_: object) -> None:
            return None

    return Handler


@dataclass
class FaultyServer:
    """A server in front of another that fails as its `faults` say."""

    url: str
    faults: Faults


def descendants(process: int) -> dict[int, str]:
    """Ids of the living processes that `process` started, they themselves, and so on, with their command lines."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state, parent = (entry / "stat").read_text().rsplit(") ", 1)[1].split()[:2]
            except OSError:
                continue
            if state != "Z":
                parents[int(entry.name)] = int(parent)
    found: dict[int, str] = {}
    level = [process]
    while level:
        level = [child for child, parent in parents.items() if parent in level]
        for child in level:
            try:
                found[child] = (Path("/proc") / str(child) / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
    return found
