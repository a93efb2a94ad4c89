"""TCP connection without a network: Twisted's own buffering, and a socket that accepts as many bytes as the test allows."""

from __future__ import annotations

import base64
import json
import os
import struct
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.python.failure import Failure


class FakeReactor:
    """Methods of a reactor that a file descriptor calls."""

    def __init__(self) -> None:
        self.readers: set[object] = set()
        self.writers: set[object] = set()

    def addReader(self, one: object) -> None:
        self.readers.add(one)

    def addWriter(self, one: object) -> None:
        self.writers.add(one)

    def removeReader(self, one: object) -> None:
        self.readers.discard(one)

    def removeWriter(self, one: object) -> None:
        self.writers.discard(one)


class FakeTransport(FileDescriptor):
    """The server's end of a connection. ``room`` is how many bytes the socket still accepts; ``sent`` are those it accepted."""

    TLS = False

    def __init__(self, host: str = "192.0.2.7", room: int = 2**60) -> None:
        self.fake_reactor = FakeReactor()
        super().__init__(self.fake_reactor)  # type: ignore[arg-type]  # all that a descriptor asks of it
        self.connected = 1
        self.room = room
        self.sent = b""
        self.finished = False
        self.lost: str | None = None
        self._aborting = False
        self.protocol: Any = None
        self.address = IPv4Address("TCP", host, 40_000)
        self.startReading()

    def getPeer(self) -> IPv4Address:
        return self.address

    def getHost(self) -> IPv4Address:
        return IPv4Address("TCP", "192.0.2.1", 3000)

    def setTcpNoDelay(self, enabled: bool) -> None:
        assert enabled

    def writeSomeData(self, data: Any) -> int:
        assert not self.finished, "output after the end of the stream"
        taken = bytes(data[: self.room])
        self.room -= len(taken)
        self.sent += taken
        return len(taken)

    def _closeWriteConnection(self) -> None:
        self.finished = True

    def abortConnection(self) -> None:  # as in Twisted, the protocol is called in the reactor's next turn
        self._aborting = True
        self.stopReading()
        self.stopWriting()

    def lose(self, why: Exception, lost: str) -> None:
        if self.lost is None:
            self.lost = lost
            reason = Failure(why)
            FileDescriptor.connectionLost(self, reason)
            self.protocol.connectionLost(reason)

    @property
    def reading(self) -> bool:
        return self in self.fake_reactor.readers

    @property
    def waiting_bytes(self) -> int:
        return len(self.dataBuffer) - self.offset + self._tempDataLen

    def step(self) -> None:
        """Do what a reactor does with an aborted or a writable socket, until it is done or the socket is full."""
        if self._aborting:
            self.lose(ConnectionAborted(), "aborted")
        while self.lost is None and self in self.fake_reactor.writers:
            before = len(self.sent), self.waiting_bytes, self.finished
            why = self.doWrite()
            if why is not None:
                self.lose(ConnectionDone(), "closed")
            elif before == (len(self.sent), self.waiting_bytes, self.finished):
                return


class Client:
    """The client's end. It sends whatever bytes the test gives it."""

    def __init__(self, transport: FakeTransport) -> None:
        self.transport = transport
        self._read = 0

    def send(self, data: bytes) -> None:
        if self.transport.lost is None and self.transport.reading:
            self.transport.protocol.dataReceived(data)
        self.transport.step()

    def break_connection(self) -> None:
        """Break the connection."""
        self.transport.lose(ConnectionLost(), "broken")

    def disconnect(self) -> None:
        """Read to the end of the stream, and close."""
        assert self.transport.finished
        self.transport.lose(ConnectionDone(), "closed")

    def handshake(self, target: str = "/ws", *extra: str, token: str | None = None, **headers: str | None) -> str:
        """Ask for an upgrade, and return the header of the answer. Names have underscores; None omits a header."""
        fields: dict[str, str | None] = {
            "host": "board.example",
            "upgrade": "websocket",
            "connection": "Upgrade",
            "sec-websocket-key": base64.b64encode(os.urandom(16)).decode(),
            "sec-websocket-version": "13",
            "authorization": None if token is None else f"Bearer {token}",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        }
        text_lines = [f"{name}: {value}" for name, value in fields.items() if value is not None]
        self.send("\r\n".join([f"GET {target} HTTP/1.1", *text_lines, *extra, "", ""]).encode("latin-1"))
        return self.head()

    def head(self) -> str:
        head, sep, _ = self.transport.sent[self._read :].partition(b"\r\n\r\n")
        if not sep:
            return ""
        self._read += len(head) + len(sep)
        return head.decode("latin-1")

    def body(self) -> Any:
        body = self.transport.sent[self._read :]
        self._read += len(body)
        return json.loads(body)

    def send_event(self, event: str, data: Any = None, number: int | None = None) -> None:
        message = {"event": event, **({} if data is None else {"data": data}), **({} if number is None else {"id": number})}
        self.send(frame(1, json.dumps(message).encode()))

    def frames(self) -> list[tuple[int, bytes]]:
        """Return (opcode, payload) of each frame since the last call."""
        found, data = [], self.transport.sent[self._read :]
        at = 0
        while at < len(data):
            assert data[at] & 0x70 == 0
            opcode, size = data[at] & 15, data[at + 1]
            at += 2
            if size == 126:
                (size,) = struct.unpack_from("!H", data, at)
                at += 2
            elif size == 127:
                (size,) = struct.unpack_from("!Q", data, at)
                at += 8
            assert at + size <= len(data), "half a frame"
            found.append((opcode, data[at : at + size]))
            at += size
        self._read += at
        return found

    def events(self) -> list[Any]:
        """Return the JSON of each frame since the last call. All must be text."""
        frames = self.frames()
        assert all(opcode == 1 for opcode, _ in frames), frames
        return [json.loads(payload) for _, payload in frames]

    def closed(self) -> tuple[int, str]:
        """Return (code, reason) of the close frame, which must be the last frame."""
        opcode, payload = self.frames()[-1]
        assert opcode == 8
        return int.from_bytes(payload[:2], "big"), payload[2:].decode()


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, masked: bool = True, rsv: int = 0) -> bytes:
    """Encode a client's frame, masked with zeros unless it is to be unmasked."""
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    mask_bit = 0x80 if masked else 0
    size = len(payload)
    if size < 126:
        head = bytes((first, mask_bit | size))
    elif size < 65_536:
        head = bytes((first, mask_bit | 126)) + struct.pack("!H", size)
    else:
        head = bytes((first, mask_bit | 127)) + struct.pack("!Q", size)
    return head + (b"\0\0\0\0" if masked else b"") + payload
