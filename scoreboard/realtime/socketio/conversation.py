"""The conversation of Socket.IO 5, without I/O: messages of an engine session in; what the client wants, and frames, out.

It knows which namespaces the client is in, gathers binary attachments, and counts the acknowledgements that the client waits
for. What it cannot understand ends it: the caller then closes the engine, and nothing is said any more.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from scoreboard.domain.value import Value
from scoreboard.realtime.engineio.packets import Malformed
from scoreboard.realtime.socketio import packets
from scoreboard.realtime.socketio.packets import Kind, Packet, read_packet

NAMESPACES_MAX: Final = 10
#: Acknowledgements that one client may wait for.
OWED_MAX: Final = 100


class Entered(Value, frozen=True):
    """The client asks to be let into a namespace; ``auth`` is the JSON object that it brought, or nothing."""

    namespace: str
    auth: bytes


class Emitted(Value, frozen=True):
    """An event, or (with no name) an acknowledgement. An event with a number wants to be acknowledged by it."""

    namespace: str
    name: str
    args: tuple[bytes, ...]
    number: int | None
    attachments: tuple[bytes, ...]


class Left(Value, frozen=True):
    """The client left a namespace."""

    namespace: str


Said = Entered | Emitted | Left


class Conversation:
    """What one engine session says in Socket.IO."""

    __slots__ = ("_attachments", "_inside", "_new_sid", "_over", "_owed", "_waiting")

    def __init__(self, new_sid: Callable[[], str]) -> None:
        self._new_sid = new_sid
        self._inside: dict[str, bool] = {}  # False while it is not decided
        self._waiting: Packet | None = None
        self._attachments: list[bytes] = []
        self._owed = 0
        self._over = False

    def receive(self, message: str | bytes) -> Said | None:
        """What the client said, if this message completes it; raises Malformed, and then the conversation is over."""
        if self._over:
            raise Malformed("it is over")
        try:
            return self._attach(message) if isinstance(message, bytes) else self._read(message)
        except Malformed:
            self.end()
            raise

    def accept(self, namespace: str, sid: str | None = None, pid: str | None = None) -> bytes:
        """Let the client in, under a new id unless one is given; with ``pid`` it may come back."""
        if namespace not in self._inside:
            return b""
        self._inside[namespace] = True
        return packets.connected(namespace, sid or self._new_sid(), pid)

    def refuse(self, namespace: str, message: str) -> bytes:
        """Do not let the client in. It may ask again."""
        return packets.refused(namespace, message) if self._inside.pop(namespace, None) is not None else b""

    def emit(self, namespace: str, name: str, args: Sequence[bytes], attachments: Sequence[bytes] = ()) -> bytes:
        """An event for this client alone."""
        return packets.event(namespace, name, args, attachments) if self._inside.get(namespace) else b""

    def acknowledge(self, said: Emitted, args: Sequence[bytes], attachments: Sequence[bytes] = ()) -> bytes:
        """The answer to an event that wants one."""
        if said.number is None or not self._owed:
            return b""
        self._owed -= 1
        inside = self._inside.get(said.namespace)
        return packets.ack(said.namespace, said.number, args, attachments) if inside else b""

    def dismiss(self, namespace: str) -> bytes:
        """Put the client out."""
        return packets.disconnected(namespace) if self._inside.pop(namespace, False) else b""

    def end(self) -> None:
        """Nothing more is heard or said."""
        self._over = True
        self._owed = 0
        self._inside.clear()
        self._attachments.clear()
        self._waiting = None

    def _read(self, text: str) -> Said | None:
        if self._waiting is not None:
            raise Malformed("text where an attachment belongs")
        packet = read_packet(text)
        if packet.kind is Kind.CONNECT:
            return self._enter(packet)
        if not self._inside.get(packet.namespace):
            raise Malformed("a namespace that the client is not in")
        if packet.kind is Kind.DISCONNECT:
            del self._inside[packet.namespace]
            return Left(packet.namespace)
        if packet.attachments:
            self._waiting = packet
            return None
        return self._emitted(packet)

    def _enter(self, packet: Packet) -> Entered:
        if packet.namespace in self._inside or len(self._inside) >= NAMESPACES_MAX:
            raise Malformed("the client is there already, or in too many")
        self._inside[packet.namespace] = False
        return Entered(packet.namespace, b"".join(packet.args))

    def _attach(self, data: bytes) -> Said | None:
        packet = self._waiting
        if packet is None:
            raise Malformed("an attachment to nothing")
        self._attachments.append(data)
        if len(self._attachments) < packet.attachments:
            return None
        self._waiting = None
        return self._emitted(packet)

    def _emitted(self, packet: Packet) -> Emitted:
        attachments, self._attachments = tuple(self._attachments), []
        if packet.name and packet.number is not None:
            if self._owed >= OWED_MAX:
                raise Malformed("too many acknowledgements are waited for")
            self._owed += 1
        return Emitted(packet.namespace, packet.name, packet.args, packet.number, attachments)
