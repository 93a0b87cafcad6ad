"""A proxy that breaks connections in the middle of an answer."""

import contextlib
import socket
import threading


class BreakingProxy:
    """Passes TCP on to a server; cuts the first `cuts` connections that answer more than `after` bytes."""

    def __init__(self, host: str, target: int, after: int, cuts: int, port: int = 0) -> None:
        self._target, self._after, self._cuts = (host, target), after, cuts
        self.cut = 0
        self.requests: list[str] = []
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", port))
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
