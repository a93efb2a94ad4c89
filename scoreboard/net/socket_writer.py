"""Socket writer: writes ready bytes to one transport, and knows which of them the client has not read."""

from __future__ import annotations

import socket
from typing import Any, Final, Protocol

from twisted.internet.abstract import FileDescriptor

from scoreboard.net.receive_window import ReceiveWindow
from scoreboard.socket_first import has_unsent, is_bare, write_socket_first

#: How many bytes the kernel holds beyond what the client has room for (plus one segment, 64 KiB at most). By default it holds
#: megabytes a socket: a client that does not read would cost this memory, and would be noticed late.
UNSENT_BYTES_MAX: Final = 16_384


class FrameSink(Protocol):
    """Receiver of the frames for one client."""

    def offer(self, data: bytes) -> None:
        """Write the data, or keep it until the client polls."""

    @property
    def drained(self) -> bool:
        """Whether all that was offered has left this process."""


class SocketWriter:
    """Writer of bytes to one transport. It knows whether they have left this process."""

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
        """Write to the socket at once if nothing waits before the data, else to the transport's buffer."""
        if self._direct:
            write_socket_first(self._transport, data)
        else:
            self._transport.write(data)

    @property
    def drained(self) -> bool:
        """Whether all that was written has left this process."""
        return not has_unsent(self._descriptor)

    def unread_s(self, now_s: float) -> float:
        """For how many seconds the client's program has read nothing of what its kernel received; 0 if this cannot be known."""
        return self._peer.measure(now_s)

    def close_writing(self) -> None:
        """Close our half after what was written: the peer then sees the end of the stream, and may still send."""
        if self._direct:
            self._transport.loseWriteConnection()
        else:
            self._transport.loseConnection()
