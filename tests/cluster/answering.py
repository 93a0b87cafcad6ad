"""An HTTP server on this machine that plays the APIs of a cluster, and keeps what it was asked."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit


@dataclass(frozen=True)
class Asked:
    """One request as it came in."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: Any


@dataclass
class Answer:
    """What to send back: JSON unless it is bytes or text; `drop` closes the connection without a word."""

    body: Any = None
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    drop: bool = False


Handler = Callable[[Asked], Answer | None]


class AnsweringServer:
    """Serves on a free port of 127.0.0.1; `handle` gives the answer to a request, None stands for 404."""

    def __init__(self, handle: Handler) -> None:
        self.asked: list[Asked] = []
        outer = self

        class RequestHandler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def _serve(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                raw = self.rfile.read(length) if length else b""
                parts = urlsplit(self.path)
                try:
                    body = json.loads(raw) if raw else None
                except ValueError:
                    body = raw
                asked = Asked(
                    self.command,
                    unquote(parts.path),
                    {key: values[0] for key, values in parse_qs(parts.query).items()},
                    {name.title(): value for name, value in self.headers.items()},
                    body,
                )
                outer.asked.append(asked)
                answer = handle(asked) or Answer(
                    {"error": f"no such path {asked.path}", "code": 5, "message": "Not Found", "details": []}, 404
                )
                if answer.drop:
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_RDWR)
                    return
                if isinstance(answer.body, bytes):
                    content, kind = answer.body, "application/octet-stream"
                elif isinstance(answer.body, str):
                    content, kind = answer.body.encode(), "text/plain"
                else:
                    content, kind = json.dumps(answer.body).encode(), "application/json"
                self.send_response(answer.status)
                for name, value in {"Content-Type": kind, **answer.headers}.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = do_DELETE = do_PATCH = do_PUT = _serve  # noqa: N815

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), RequestHandler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def host(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> AnsweringServer:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def requests(self, method: str, ending: str = "") -> list[Asked]:
        """Return what was asked with a method, at paths that end in a text."""
        return [asked for asked in self.asked if asked.method == method and asked.path.endswith(ending)]
