"""Server side of a WebSocket: the sans-I/O core of `websockets` over a socket, usable from any thread."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Iterator
from typing import Any

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol


class FakeConnection:
    """One WebSocket; iteration yields its messages until it is closed."""

    user_id: str | None = None

    def __init__(self, transport: socket.socket) -> None:
        self._transport = transport
        self._protocol = ServerProtocol()
        self._lock = threading.Lock()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """The page's messages in order, until either side closes."""
        while not self._protocol.close_expected():
            try:
                data = self._transport.recv(65536)
            except OSError:
                data = b""
            if not data:
                return
            with self._lock:
                self._protocol.receive_data(data)
                events = self._protocol.events_received()
                for event in events:
                    if isinstance(event, Request):
                        self._protocol.send_response(self._protocol.accept(event))
                self._flush()
            yield from (
                json.loads(bytes(event.data)) for event in events if isinstance(event, Frame) and event.opcode is Opcode.TEXT
            )

    def send(self, message: dict[str, Any]) -> None:
        """Send one message, unless the connection is closed."""
        with self._lock:
            if self._protocol.state is State.OPEN:
                self._protocol.send_text(json.dumps(message).encode())
                self._flush()

    def close(self, code: int) -> None:
        """Send a close frame, unless the connection is closed."""
        with self._lock:
            if self._protocol.state is State.OPEN:
                self._protocol.send_close(code)
                self._flush()

    def _flush(self) -> None:
        with contextlib.suppress(OSError):
            for data in self._protocol.data_to_send():
                self._transport.sendall(data)
