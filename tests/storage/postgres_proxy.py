"""A TCP proxy before PostgreSQL that can become silent, as a network or a pooler can: it drops data in both directions.

``quiet`` says when a connection becomes silent: ``all`` (now, and new connections too), ``after login`` (after the first
ReadyForQuery), ``commit lost`` (at the first COMMIT, which the server does not get) and ``commit unanswered`` (at the first
COMMIT, which the server gets). A silent connection stays silent, even when ``quiet`` is ``""`` again.
"""

from __future__ import annotations

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator
from typing import Literal

Quiet = Literal["", "all", "after login", "commit lost", "commit unanswered"]
_READY = b"Z\x00\x00\x00\x05I"


class PostgresProxy:
    """A proxy that listens on a port of its own and connects to a unix socket."""

    def __init__(self, server: str) -> None:
        self.quiet: Quiet = ""
        self.connections = 0
        self._server = server
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._ended = threading.Event()
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, database_url: str) -> str:
        """The URL of a database, through the proxy."""
        path = database_url.partition("@/")[2].partition("?")[0]
        return f"postgresql://postgres@127.0.0.1:{self.port}/{path}?sslmode=disable&gssencmode=disable"

    def close(self) -> None:
        """Close the listening socket and all connections."""
        self._ended.set()
        self._listening.close()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listening.accept()
                self.connections += 1
                threading.Thread(target=self._forward, args=(client,), daemon=True).start()

    def _forward(self, client: socket.socket) -> None:
        with client, socket.socket(socket.AF_UNIX) as server, selectors.DefaultSelector() as ready, contextlib.suppress(OSError):
            server.connect(self._server)
            for one in (client, server):
                ready.register(one, selectors.EVENT_READ)
            silent = False
            while not self._ended.is_set():
                silent = silent or self.quiet == "all"
                for key, _ in ready.select(0.05):
                    one = client if key.fileobj is client else server
                    data = one.recv(65_536)
                    if not data:
                        return
                    silent = silent or self.quiet == "all"
                    lost = silent or (one is client and b"commit" in data.lower() and self.quiet == "commit lost")
                    if not lost:
                        (server if one is client else client).sendall(data)
                    silent = silent or lost or self._becomes_silent(one is client, data)

    def _becomes_silent(self, from_client: bool, data: bytes) -> bool:
        if from_client:
            return self.quiet == "commit unanswered" and b"commit" in data.lower()
        return self.quiet == "after login" and _READY in data


@contextlib.contextmanager
def postgres_proxy(directory: object) -> Iterator[PostgresProxy]:
    """Run a proxy before the PostgreSQL server whose socket is in the directory."""
    proxy = PostgresProxy(f"{directory}/.s.PGSQL.5432")
    try:
        yield proxy
    finally:
        proxy.close()
