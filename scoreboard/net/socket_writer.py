"""Socket writer: writes ready bytes to one transport, and knows which of them the client has not read."""

from __future__ import annotations

import socket
from typing import Any, Final, Protocol

from twisted.internet.abstract import FileDescriptor

from scoreboard.net.receive_window import ReceiveWindow
from scoreboard.socket_first import has_unsent, is_bare, write_socket_first

#: What the kernel takes ahead of what the client has room for (and what it makes one segment of, 64 KiB at most). By itself it
#: takes megabytes a socket: memory that a client which does not read costs us, and old news that hide it from us.
UNSENT_BYTES_MAX: Final = 16_384


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
