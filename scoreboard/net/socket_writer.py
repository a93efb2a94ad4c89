"""Socket writer: bytes go to the socket at once where it takes them, and through the transport's buffer where it does not.

``writeSomeData`` saves a turn of the reactor and two ``epoll_ctl`` for each write that the kernel can take at once, which is
nearly all of them: 6 µs of 42 for a read of the board. Nothing waits here; what does not fit waits in the transport.
"""

from __future__ import annotations

import socket
from typing import Any, Final, Protocol

from twisted.internet.abstract import FileDescriptor

from scoreboard.net.receive_window import ReceiveWindow

#: What the kernel takes ahead of what the client has room for (and what it makes one segment of, 64 KiB at most). By itself it
#: takes megabytes a socket: memory that a client which does not read costs us, and old news that hide it from us.
UNSENT_BYTES_MAX: Final = 16_384


def is_bare(transport: Any) -> bool:
    """Whether a transport is the socket itself. Where something wraps it, a write to the socket would bypass TLS."""
    return isinstance(transport, FileDescriptor) and not getattr(transport, "TLS", False)


def write_socket_first(transport: Any, data: bytes) -> None:
    """Write to a bare transport: to its socket if nothing waits before the data, to its buffer what does not fit."""
    if transport.connected and not has_unsent(transport):
        sent = transport.writeSomeData(data)
        if sent == len(data):
            return
        if sent.__class__ is int:  # else the connection is lost: writing through the reactor lets it find out and say so
            data = data[sent:]
    transport.write(data)


def has_unsent(transport: Any) -> bool:
    """Whether a transport holds bytes that its socket has not taken. Twisted has no public name for the two buffers."""
    return bool(transport.dataBuffer or transport._tempDataBuffer)


class FrameSink(Protocol):
    """Where frames for one client go."""

    def offer(self, data: bytes) -> None:
        """Write, or keep it for when the client asks."""

    @property
    def drained(self) -> bool:
        """Whether all that was offered has left this process."""


class SocketWriter:
    """Writes ready bytes to one transport, and knows whether they have left this process."""

    __slots__ = ("_descriptor", "_direct", "_peer", "_transport")

    def __init__(self, transport: Any) -> None:
        descriptor = transport
        while not isinstance(descriptor, FileDescriptor):
            descriptor = descriptor.transport
        self._transport = transport
        self._descriptor: Any = descriptor
        self._direct = is_bare(transport)
        handle = getattr(descriptor, "socket", None)
        self._peer = ReceiveWindow(handle)
        if handle is not None and handle.family in (socket.AF_INET, socket.AF_INET6):
            handle.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX)

    def offer(self, data: bytes) -> None:
        """Write: to the socket at once if nothing waits before it, through the transport's buffer otherwise."""
        if self._direct:
            write_socket_first(self._transport, data)
        else:
            self._transport.write(data)

    @property
    def drained(self) -> bool:
        """Whether all that was written has left this process."""
        return not has_unsent(self._descriptor)

    def unread_s(self, now_s: float) -> float:
        """For how long the client has read nothing of what its kernel took for it, as far as that can be known."""
        return self._peer.measure(now_s)

    def close_writing(self) -> None:
        """No more will be written: the peer sees the end of the stream once it has what was, and may still speak."""
        if self._direct:
            self._transport.loseWriteConnection()
        else:
            self._transport.loseConnection()
