"""A proxy in front of a Redis: it can go silent without closing a connection, and can choose its Redis by role.

It runs in a thread, so that tests on the reactor and tests of whole server processes can use it.
"""

from __future__ import annotations

import re
import selectors
import socket
import threading
from collections.abc import Callable
from pathlib import Path

from tests.storage_redis.redis_server import RedisServer

Target = Callable[[], Path | None]
_MESSAGE = re.compile(rb"\*3\r\n\$7\r\nmessage\r\n\$\d+\r\n[^\r]*\r\n\$\d+\r\n[^\r]*\r\n")


def master_of(*servers: RedisServer) -> Target:
    """Chooses the first of these servers that is a master, as a load balancer by role does."""

    def choose() -> Path | None:
        running = [one for one in servers if not one.stopped]  # to wait for a stopped one would hold up all connections
        return next((one.socket for one in running if "role:master" in one.ask("INFO", "replication", within_s=1.0)), None)

    return choose


class _Pipe:
    """A client's connection and ours to the server."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.subscribed = False

    def other(self, end: socket.socket) -> socket.socket:
        return self.server if end is self.client else self.client


class RedisProxy:
    """Forwards bytes from a port on loopback to the Redis that ``choose`` returns for each new connection."""

    def __init__(self, choose: Target) -> None:
        self._choose = choose
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = f"redis://127.0.0.1:{self.port}"
        self.accepted = 0
        #: While True, messages to subscribers are dropped, and all else is forwarded.
        self.drops_messages = False
        #: While True, new connections are closed at once.
        self.refuses = False
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._pipes: dict[socket.socket, _Pipe] = {}
        self._silenced: set[_Pipe] = set()
        self._closing = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def silence(self, *, only_subscribed: bool | None = None) -> int:
        """Forward nothing more on the present connections, and close none of them. Returns their number.

        ``only_subscribed`` chooses the connections that have subscribed (True), or those that have not (False).
        """
        pipes = {pipe for pipe in list(self._pipes.values()) if only_subscribed in (None, pipe.subscribed)}
        self._silenced |= pipes
        return len(pipes)

    def close(self) -> None:
        """End it, with all its connections."""
        self._closing = True
        self._thread.join(5)
        for end in [self._listener, *self._pipes]:
            end.close()
        self._selector.close()

    def _serve(self) -> None:
        while not self._closing:
            for key, _ in self._selector.select(0.05):
                end = key.fileobj
                assert isinstance(end, socket.socket)
                if end is self._listener:
                    self._accept()
                elif end in self._pipes:
                    self._forward(end)

    def _accept(self) -> None:
        client, _ = self._listener.accept()
        self.accepted += 1
        target = None if self.refuses else self._choose()
        server = socket.socket(socket.AF_UNIX)
        try:
            server.connect(str(target or "/nowhere"))
        except OSError:
            client.close()
            server.close()
            return
        pipe = _Pipe(client, server)
        for end in (client, server):
            self._pipes[end] = pipe
            self._selector.register(end, selectors.EVENT_READ)

    def _forward(self, end: socket.socket) -> None:
        pipe = self._pipes[end]
        try:
            data = end.recv(65_536)
            if data and pipe not in self._silenced:
                pipe.subscribed = pipe.subscribed or (end is pipe.client and b"SUBSCRIBE" in data)
                pipe.other(end).sendall(_MESSAGE.sub(b"", data) if self.drops_messages and end is pipe.server else data)
        except OSError:
            data = b""
        if not data and not (pipe in self._silenced and end is pipe.server):  # a silent proxy does not forward a close, either
            for each in (pipe.client, pipe.server):
                self._drop(each)
        elif not data:
            self._selector.unregister(end)

    def _drop(self, end: socket.socket) -> None:
        if self._pipes.pop(end, None) is not None:
            if end.fileno() in self._selector.get_map():
                self._selector.unregister(end)
            end.close()
