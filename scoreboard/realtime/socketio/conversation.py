"""Conversation of Socket.IO 5, without I/O: it decodes messages of an Engine.IO session, and encodes frames.

It knows which namespaces the client is in, collects binary attachments, and counts the acknowledgements that the client waits
for. A malformed message ends it: then the caller closes the Engine.IO session.
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
UNACKNOWLEDGED_MAX: Final = 100


class Entered(Value, frozen=True):
    """The client asks to enter a namespace. ``auth`` is the JSON object that it sent, or empty."""

    namespace: str
    auth: bytes


class Emitted(Value, frozen=True):
    """An event, or (if the name is None) an acknowledgement. An event with a number asks for an acknowledgement."""

    namespace: str
    name: str | None
    args: tuple[bytes, ...]
    number: int | None
    attachments: tuple[bytes, ...]


class Left(Value, frozen=True):
    """The client left a namespace."""

    namespace: str


Received = Entered | Emitted | Left


class Conversation:
    """Conversation with one client."""

    __slots__ = ("_accepted", "_attachments", "_ended", "_new_sid", "_unacknowledged", "_waiting")

    def __init__(self, new_sid: Callable[[], str]) -> None:
        self._new_sid = new_sid
        self._accepted: dict[str, bool] = {}  # False until the client is accepted
        self._waiting: Packet | None = None
        self._attachments: list[bytes] = []
        self._unacknowledged = 0
        self._ended = False

    def receive(self, message: str | bytes) -> Received | None:
        """Return what the client sent, if this message completes it. Raises Malformed, and then the conversation has ended."""
        if self._ended:
            raise Malformed("the conversation has ended")
        try:
            return self._attach(message) if isinstance(message, bytes) else self._read(message)
        except Malformed:
            self.end()
            raise

    def accept(self, namespace: str, sid: str | None = None, pid: str | None = None) -> bytes:
        """Accept the client in a namespace, with a new id unless one is given. With ``pid`` it can recover the session."""
        if namespace not in self._accepted:
            return b""
        self._accepted[namespace] = True
        return packets.connected(namespace, sid or self._new_sid(), pid)

    def refuse(self, namespace: str, message: str, code: int | None = None) -> bytes:
        """Refuse the client. It may ask again."""
        return packets.refused(namespace, message, code) if self._accepted.pop(namespace, None) is not None else b""

    def emit(self, namespace: str, name: str, args: Sequence[bytes], attachments: Sequence[bytes] = ()) -> bytes:
        """Encode an event for this client alone."""
        return packets.event(namespace, name, args, attachments) if self._accepted.get(namespace) else b""

    def acknowledge(self, received: Emitted, args: Sequence[bytes], attachments: Sequence[bytes] = ()) -> bytes:
        """Encode the acknowledgement of an event, if it asked for one."""
        if received.number is None or not self._unacknowledged:
            return b""
        self._unacknowledged -= 1
        accepted = self._accepted.get(received.namespace)
        return packets.ack(received.namespace, received.number, args, attachments) if accepted else b""

    def disconnect(self, namespace: str) -> bytes:
        """Disconnect the client from a namespace."""
        return packets.disconnected(namespace) if self._accepted.pop(namespace, False) else b""

    def end(self) -> None:
        """End the conversation: nothing more is decoded or encoded."""
        self._ended = True
        self._unacknowledged = 0
        self._accepted.clear()
        self._attachments.clear()
        self._waiting = None

    def _read(self, text: str) -> Received | None:
        if self._waiting is not None:
            raise Malformed("text in place of an attachment")
        packet = read_packet(text)
        if packet.kind is Kind.CONNECT:
            return self._enter(packet)
        if not self._accepted.get(packet.namespace):
            raise Malformed("a namespace that the client is not in")
        if packet.kind is Kind.DISCONNECT:
            del self._accepted[packet.namespace]
            return Left(packet.namespace)
        if packet.attachments:
            self._waiting = packet
            return None
        return self._emitted(packet)

    def _enter(self, packet: Packet) -> Entered:
        if packet.namespace in self._accepted or len(self._accepted) >= NAMESPACES_MAX:
            raise Malformed("the client is in the namespace already, or in too many")
        self._accepted[packet.namespace] = False
        return Entered(packet.namespace, b"".join(packet.args))

    def _attach(self, data: bytes) -> Received | None:
        packet = self._waiting
        if packet is None:
            raise Malformed("an attachment without an event")
        self._attachments.append(data)
        if len(self._attachments) < packet.attachments:
            return None
        self._waiting = None
        return self._emitted(packet)

    def _emitted(self, packet: Packet) -> Emitted:
        attachments, self._attachments = tuple(self._attachments), []
        if packet.name is not None and packet.number is not None:
            if self._unacknowledged >= UNACKNOWLEDGED_MAX:
                raise Malformed("too many acknowledgements are waited for")
            self._unacknowledged += 1
        return Emitted(packet.namespace, packet.name, packet.args, packet.number, attachments)
