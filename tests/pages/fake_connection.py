"""A WebSocket of the fake server: the sans-I/O core of `websockets` over a socket, from any thread."""

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


class Member:
    """One WebSocket: iterate to hear its messages until it is closed."""

    user_id: str | None = None

    def __init__(self, transport: socket.socket) -> None:
        self._transport = transport
        self._protocol = ServerProtocol()
        self._speaking = threading.Lock()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """What the page says, in order, until one of both has hung up."""
        while not self._protocol.close_expected():
            try:
                data = self._transport.recv(65536)
            except OSError:
                data = b""
            if not data:
                return
            with self._speaking:
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
        """Say one message, unless the page is gone."""
        with self._speaking:
            if self._protocol.state is State.OPEN:
                self._protocol.send_text(json.dumps(message).encode())
                self._flush()

    def close(self, code: int) -> None:
        """Say goodbye, unless the page is gone."""
        with self._speaking:
            if self._protocol.state is State.OPEN:
                self._protocol.send_close(code)
                self._flush()

    def _flush(self) -> None:
        with contextlib.suppress(OSError):
            for data in self._protocol.data_to_send():
                self._transport.sendall(data)
